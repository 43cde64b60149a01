//! Carrying a plan out, step by step, each said before it is done; then looking again, and proving what was made.

use felhom_ids::TokenId;
use felhom_proxmox::pve::identities::{ApplyNetwork, Change, Door, IssueToken, IssuedSecret};
use felhom_proxmox::{Delivery, Error, FollowOptions, Outcome, Pve};

use super::look::{Seen, as_token, look};
use super::{Ability, EnrollError, Principal, Step, Wanted, files, plan, remove, runbook};
use crate::credentials;

/// Looking again finds what a lost secret or a lost answer left to do; more rounds than this mean that somebody undoes it.
const ROUNDS: usize = 3;

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// What the server refused us, as the commands for root on the node.
    pub by_hand: Vec<String>,
    /// What a removal left, and why.
    pub left: Vec<String>,
    /// What the principals have proved.
    pub proofs: Vec<String>,
}

/// An admin's session, and whom to tell.
pub struct Session<'a> {
    /// With the admin's rights.
    pub pve: &'a Pve,
    /// For the tokens' own sessions.
    pub door: &'a Door,
    /// Told each command before it is carried out.
    pub say: &'a (dyn Fn(&str) + Sync),
}

impl Session<'_> {
    /// What is there.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn look(&self, wanted: &Wanted) -> Result<Seen, EnrollError> {
        Ok(look(self.pve, self.door, wanted).await?)
    }

    /// Makes what is wanted and proves it. Running it again changes nothing, or goes on where it was interrupted.
    ///
    /// # Errors
    /// See [`EnrollError`].
    pub async fn enroll(&self, wanted: &Wanted) -> Result<Done, EnrollError> {
        let mut done = Done::default();
        for _ in 0..ROUNDS {
            let seen = self.look(wanted).await?;
            let mut steps = plan::plan(wanted, &seen).map_err(EnrollError::Refused)?;
            if !done.by_hand.is_empty() {
                steps.retain(|step| !step.is_network());
            }
            if steps.is_empty() {
                done.proofs = self.prove(wanted).await?;
                return Ok(done);
            }
            self.carry_out(steps, &mut done).await?;
        }
        let text = "what was made is gone again when looked for".to_owned();
        Err(EnrollError::Unproven(vec![text]))
    }

    /// Takes back what enrolling made.
    ///
    /// # Errors
    /// See [`EnrollError`].
    pub async fn remove(&self, wanted: &Wanted) -> Result<Done, EnrollError> {
        let seen = self.look(wanted).await?;
        let removal = remove::plan(wanted, &seen);
        let mut done = Done {
            left: removal.left,
            ..Done::default()
        };
        self.carry_out(removal.steps, &mut done).await?;
        Ok(done)
    }

    async fn carry_out(&self, steps: Vec<Step>, done: &mut Done) -> Result<(), EnrollError> {
        for step in steps {
            if step.is_network() && !done.by_hand.is_empty() {
                continue;
            }
            let command = runbook::command(&step, self.pve.node().as_str());
            (self.say)(&command);
            let Err(error) = self.step(&step).await else {
                done.steps.push(step);
                continue;
            };
            done.by_hand.push(by_hand(error, &step, command)?);
        }
        Ok(())
    }

    async fn step(&self, step: &Step) -> Result<(), EnrollError> {
        match step {
            Step::Change(change) => {
                self.pve.call(change).await?;
                Ok(())
            }
            Step::Issue { issue, secret } => {
                let issued = self.issue(issue).await?;
                files::write_secret(secret, &issued.0)
            }
            Step::ApplyNetwork => {
                let task = self.pve.start(&ApplyNetwork).await?;
                match self.pve.finish(task, &FollowOptions::default()).await? {
                    Outcome::Succeeded | Outcome::Warnings(_) => Ok(()),
                    Outcome::Failed(text) | Outcome::Undetermined(text) => {
                        Err(EnrollError::Network(text))
                    }
                }
            }
            Step::WriteConfig { path, text } => files::write_config(path, text),
            Step::RemoveFile(path) => files::remove(path),
        }
    }

    /// A server before 9 cannot give a token another secret: there it is made anew, and the next round grants again.
    async fn issue(&self, issue: &IssueToken) -> Result<IssuedSecret, Error> {
        match self.pve.call(issue).await {
            Err(Error::Parameter { .. }) if issue.regenerate => {
                self.pve
                    .call(&Change::DeleteToken(issue.token.clone()))
                    .await?;
                let fresh = IssueToken {
                    regenerate: false,
                    ..issue.clone()
                };
                self.pve.call(&fresh).await
            }
            other => other,
        }
    }

    /// Every principal shows what it was made for: the rights on the paths, and one harmless call.
    async fn prove(&self, wanted: &Wanted) -> Result<Vec<String>, EnrollError> {
        let roles = wanted.roles();
        let (mut proofs, mut problems) = (Vec::new(), Vec::new());
        for principal in wanted.principals() {
            let token = &principal.identity.token;
            let secret = match credentials::read_secret(&principal.identity.secret) {
                Ok(secret) => secret,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let pve = as_token(self.door, self.pve, token, &secret)?;
            let mut lacking = Vec::new();
            for (path, role) in &principal.grants {
                let held = pve.permissions_at(path).await?;
                let needed = roles.get(role).into_iter().flatten();
                lacking.extend(
                    needed
                        .filter(|privilege| !held.has(path, privilege))
                        .map(|privilege| format!("`{token}` lacks {privilege} on `{path}`")),
                );
            }
            if lacking.is_empty() {
                proofs.push(harmless(wanted, &principal, &pve, token).await?);
            }
            problems.extend(lacking);
        }
        if problems.is_empty() {
            Ok(proofs)
        } else {
            Err(EnrollError::Unproven(problems))
        }
    }
}

/// What the server did not let us do and root can; anything else ends the run.
fn by_hand(error: EnrollError, step: &Step, command: String) -> Result<String, EnrollError> {
    let EnrollError::Server(error) = error else {
        return Err(error);
    };
    if let (Error::Forbidden { .. }, Step::Change(Change::CreateBridge { bridge, .. })) =
        (error.as_ref(), step)
    {
        return Ok(runbook::stanza(bridge));
    }
    if error.delivery() == Delivery::Unknown {
        return Err(EnrollError::Undetermined {
            step: command,
            source: error,
        });
    }
    Err(EnrollError::Server(error))
}

/// A call that changes nothing, of the kind that the principal is there for.
async fn harmless(
    wanted: &Wanted,
    principal: &Principal,
    pve: &Pve,
    token: &TokenId,
) -> Result<String, Error> {
    let grants = principal.grants.len();
    let saw = if principal.identity == wanted.agent {
        format!(
            "the node's memory ({} MiB)",
            pve.node_status().await?.memory.total >> 20
        )
    } else if principal.identity == wanted.restore_test && wanted.has(Ability::RestoreTest) {
        let pool = pve.pool(&wanted.pool).await?;
        let members = pool.map_or(0, |pool| pool.members.len());
        format!("pool `{}` with {members} member(s)", wanted.pool)
    } else {
        format!("{} storage(s)", pve.storages().await?.len())
    };
    Ok(format!(
        "`{token}` holds its rights on {grants} path(s) and sees {saw}"
    ))
}
