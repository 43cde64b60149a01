//! Carrying the plan out, step by step, each said before it is done; then looking again.

use felhom_proxmox::pbs::identities::{Change, Door, IssueToken};
use felhom_proxmox::pve::storage::{CreateStorage, PbsPlace, StoragePlace};
use felhom_proxmox::{Delivery, Error, Pbs, Pve};
use secrecy::SecretString;

use super::super::{EnrollError, files};
use super::kit::{self, KitSeen};
use super::look::{Seen, look};
use super::{Step, Wanted, made_with, page, plan, runbook};
use crate::{clock, config, credentials};

/// Looking again finds what a lost secret or a lost answer left to do; more rounds than this mean that somebody undoes it.
const ROUNDS: usize = 4;

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// What is there at the end, as it was seen.
    pub proofs: Vec<String>,
}

/// The sessions of whoever enrols, and whom to tell.
pub struct Session<'a> {
    /// An admin of the backup server; none where its half was done by hand.
    pub admin: Option<&'a Pbs>,
    /// An admin of PVE.
    pub pve: &'a Pve,
    /// For the tokens' own sessions on the backup server.
    pub door: &'a Door,
    /// Told each command before it is carried out.
    pub say: &'a (dyn Fn(&str) + Sync),
}

impl Session<'_> {
    /// What is there.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn look(&self, wanted: &Wanted) -> Result<Seen, EnrollError> {
        let configured = is_configured(wanted)?;
        let seen = look(wanted, self.door, self.admin, Some(self.pve), configured).await?;
        Ok(seen)
    }

    /// Makes what is wanted, and compares what PVE says of the key with the kit. Running it again changes nothing, or goes on
    /// where it was interrupted.
    ///
    /// # Errors
    /// See [`EnrollError`].
    pub async fn enroll(&self, wanted: &Wanted) -> Result<Done, EnrollError> {
        let mut done = Done::default();
        for _ in 0..ROUNDS {
            let seen = self.look(wanted).await?;
            let steps = plan::plan(wanted, &seen).map_err(EnrollError::Refused)?;
            if steps.is_empty() {
                done.proofs = vec![key_in_use(wanted, &seen)];
                return Ok(done);
            }
            for step in steps {
                let command = runbook::command(wanted, &step);
                (self.say)(&command);
                self.step(wanted, &step)
                    .await
                    .map_err(|error| undetermined(error, command))?;
                done.steps.push(step);
            }
        }
        let text = "what was made is gone again when looked for".to_owned();
        Err(EnrollError::Unproven(vec![text]))
    }

    async fn step(&self, wanted: &Wanted, step: &Step) -> Result<(), EnrollError> {
        match step {
            Step::MakeKit => {
                let hint = format!("storage {} of {}", wanted.storage, self.pve.node());
                kit::make(&wanted.kit, clock::now().secs(), &hint).map(drop)
            }
            Step::WritePage => {
                let (key, text) = kit::read(&wanted.kit)?;
                let made = clock::local(clock::now());
                let all = self.pve.storage_configs().await?;
                let there = all.iter().find(|one| one.storage == wanted.storage);
                let escrow = wanted.has_escrow(there);
                let page = page::page(wanted, (&key, &text), escrow, &made);
                kit::write_page(&wanted.kit, &page)
            }
            Step::Change(change) => {
                self.admin()?.call(change).await?;
                Ok(())
            }
            Step::Issue {
                token,
                again,
                secret,
            } => {
                let admin = self.admin()?;
                if *again {
                    admin.call(&Change::DeleteToken(token.clone())).await?;
                }
                let issue = IssueToken {
                    token: token.clone(),
                    comment: made_with(&kit::read(&wanted.kit)?.0.fingerprint()),
                };
                let issued = admin.call(&issue).await?;
                files::write_secret(secret, &issued.0)
            }
            Step::Define => self.define(wanted).await,
            Step::WriteConfig => {
                let key = kit::read(&wanted.kit)?.0.fingerprint();
                let section = runbook::section(wanted, Some(&key));
                files::append_config(&wanted.config, &section)
            }
            Step::Forget(path) => files::remove(path),
        }
    }

    fn admin(&self) -> Result<&Pbs, EnrollError> {
        self.admin.ok_or_else(|| {
            EnrollError::Refused(vec!["nobody is logged in to the backup server".to_owned()])
        })
    }

    async fn define(&self, wanted: &Wanted) -> Result<(), EnrollError> {
        let (_, key) = kit::read(&wanted.kit)?;
        let place = StoragePlace::Pbs(Box::new(pbs_place(wanted, key)?));
        let create = CreateStorage {
            storage: wanted.storage.clone(),
            place,
            content: vec!["backup".to_owned()],
            // Its token could not prune: retention is the server's, as a prune job.
            prune_backups: "keep-all=1".parse().ok(),
        };
        self.pve.call(&create).await?;
        Ok(())
    }
}

fn pbs_place(wanted: &Wanted, key: SecretString) -> Result<PbsPlace, EnrollError> {
    let secret = credentials::read_secret(&wanted.writer.secret)
        .map_err(|error| EnrollError::Refused(vec![error.to_string()]))?;
    Ok(PbsPlace {
        server: wanted.server.clone(),
        port: (wanted.port != 8007).then_some(wanted.port),
        datastore: wanted.place.store.clone(),
        namespace: wanted.place.namespace.clone(),
        fingerprint: Some(wanted.fingerprint),
        token: wanted.writer.token.clone(),
        secret,
        key: Some(key),
        master_key: wanted.master_key.clone(),
    })
}

/// Whether the configuration has the section. Nothing is appended to one that cannot be read.
fn is_configured(wanted: &Wanted) -> Result<bool, EnrollError> {
    let config = config::load(&wanted.config)
        .map_err(|error| EnrollError::Refused(vec![error.to_string()]))?;
    Ok(config.pbs.contains_key(&wanted.storage))
}

fn key_in_use(wanted: &Wanted, seen: &Seen) -> String {
    match &seen.kit {
        KitSeen::Key { fingerprint, .. } => format!(
            "PVE encrypts what goes to `{}` with the key of the kit ({})",
            wanted.storage,
            fingerprint.short()
        ),
        KitSeen::Missing | KitSeen::Foreign(_) => String::new(),
    }
}

/// Whoever cannot tell whether a change happened says so; the next run looks.
fn undetermined(error: EnrollError, step: String) -> EnrollError {
    if let EnrollError::Server(source) = error {
        return if lost(&source) {
            EnrollError::Undetermined { step, source }
        } else {
            EnrollError::Server(source)
        };
    }
    error
}

fn lost(error: &Error) -> bool {
    error.delivery() == Delivery::Unknown
}
