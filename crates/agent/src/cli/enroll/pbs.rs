//! `enroll pbs`: prints the runbook for a backup server, or carries it out with logins that it does not keep.

use std::path::{Path, PathBuf};

use clap::Args;
use felhom_ids::{TokenId, UserId, Vmid};
use felhom_proxmox::client::Address;
use felhom_proxmox::pbs::Place;
use felhom_proxmox::pve::identities::Door;
use felhom_proxmox::{Client, Pbs, Product, Pve, Settings, Trust};
use serde_json::{Value, json};

use super::login::{self, Asked};
use crate::cli::Context;
use crate::cli::context::{config_failure, parse, pve_failure};
use crate::config::{self, Config};
use crate::enroll::Identity;
use crate::enroll::pbs::look::{Seen, as_token};
use crate::enroll::pbs::perform::{Done, Session};
use crate::enroll::pbs::{Step, Wanted, plan, prove, runbook};
use crate::exit::{Exit, Failure};
use crate::{credentials, remote};

#[derive(Debug, Args)]
pub(in crate::cli) struct PbsArgs {
    /// The storage's name in Proxmox VE.
    #[arg(long, value_name = "STORAGE", default_value = "felhom-pbs")]
    storage: String,
    /// The backup server, `HOST` or `HOST:PORT`, as Proxmox VE reaches it.
    #[arg(long, value_name = "HOST")]
    server: String,
    /// SHA-256 of its certificate, as `proxmox-backup-manager cert info` shows it there.
    #[arg(long, value_name = "SHA256")]
    fingerprint: String,
    /// The datastore.
    #[arg(long, value_name = "NAME")]
    datastore: String,
    /// The namespace in it; it must be there.
    #[arg(long, value_name = "NS", default_value = "")]
    namespace: String,
    /// The user on the backup server that both tokens are of.
    #[arg(long, value_name = "USER@REALM", default_value = "felhom@pbs")]
    user: String,
    /// The directory of the recovery kit; beside the configuration if not given. It never leaves this machine by itself.
    #[arg(long, value_name = "DIR")]
    kit: Option<PathBuf>,
    /// A public RSA key (PEM, 4096 bits): each backup from then on carries a copy of the key that only its private half opens.
    #[arg(long, value_name = "FILE")]
    master_key: Option<PathBuf>,
    /// Back this guest up when all is set up, and read a part of it back with the kit's key.
    #[arg(long, value_name = "VMID")]
    prove: Option<String>,
    /// Only print the commands; so it does without `--admin`.
    #[arg(long, conflicts_with = "admin")]
    print: bool,
    /// Carry it out as this user of Proxmox VE, such as `root@pam`.
    #[arg(long, value_name = "USER@REALM")]
    admin: Option<String>,
    /// The file with that admin's password (mode 0600), or `-` for a line of standard input.
    #[arg(long, value_name = "FILE", requires = "admin")]
    password_file: Option<PathBuf>,
    /// The same for the second factor, if the server asks.
    #[arg(long, value_name = "FILE", requires = "admin")]
    second_factor_file: Option<PathBuf>,
    /// Carry the backup server's half out too, as this user of it; without, both secrets must be in their files.
    #[arg(long, value_name = "USER@REALM", requires = "admin")]
    pbs_admin: Option<String>,
    /// The file with that admin's password, or `-` for a (further) line of standard input.
    #[arg(long, value_name = "FILE", requires = "pbs_admin")]
    pbs_password_file: Option<PathBuf>,
    /// The same for the second factor.
    #[arg(long, value_name = "FILE", requires = "pbs_admin")]
    pbs_second_factor_file: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, args: &PbsArgs) -> Result<Exit, Failure> {
    let config = config::load(&context.path).map_err(|error| {
        config_failure(&error).hint("enrol with Proxmox VE first: felhom-agent enroll pve")
    })?;
    let wanted = wanted(args, &config)?;
    let prove = args
        .prove
        .as_deref()
        .map(|text| parse::<Vmid>("--prove", text))
        .transpose()?;
    if wanted.master_key.is_none() {
        context.printer.narrate(
            "note: no master key. Backups made before one is set never get a copy of the key under it; \
             `openssl genrsa -out master.pem 4096 && openssl rsa -in master.pem -pubout -out master-public.pem` on another \
             machine makes one, and `--master-key` takes its public half",
        );
    }
    let Some(admin) = &args.admin else {
        return print(context, args, &wanted);
    };
    let door = door(&wanted, &config)?;
    let pve = pve_admin(args, &parse("--admin", admin)?, &config).await?;
    let server = match &args.pbs_admin {
        Some(admin) => Some(pbs_admin(args, &parse("--pbs-admin", admin)?, &door).await?),
        None => None,
    };
    let narrate = |line: &str| context.printer.narrate(line);
    let session = Session {
        admin: server.as_ref(),
        pve: &pve,
        door: &door,
        say: &narrate,
    };
    let mut done = if args.dry_run {
        let seen = session.look(&wanted).await.map_err(|error| told(&error))?;
        planned(&wanted, &seen)?
    } else {
        session
            .enroll(&wanted)
            .await
            .map_err(|error| told(&error))?
    };
    if let (Some(vmid), false) = (prove, args.dry_run) {
        narrate(&format!("backing up guest {vmid} to `{}`", wanted.storage));
        let secret = credentials::read_secret(&wanted.reader.secret)
            .map_err(|error| Failure::new(Exit::Configuration, "credentials", error.to_string()))?;
        let reader =
            as_token(&door, &wanted.reader.token, &secret).map_err(|error| pve_failure(&error))?;
        let proofs = prove::round_trip(&wanted, &pve, &reader, vmid).await;
        done.proofs.extend(proofs.map_err(|error| told(&error))?);
    }
    let data = document(args, &wanted, &done);
    context
        .printer
        .document("felhom.enroll-pbs", &data, || text(args, &wanted, &done));
    Ok(Exit::Done)
}

fn told(error: &crate::enroll::EnrollError) -> Failure {
    super::failure(error)
}

fn planned(wanted: &Wanted, seen: &Seen) -> Result<Done, Failure> {
    let steps = plan::plan(wanted, seen).map_err(crate::enroll::EnrollError::Refused);
    Ok(Done {
        steps: steps.map_err(|error| told(&error))?,
        ..Done::default()
    })
}

/// For a box and a server where nothing has been made yet.
fn print(context: &Context, args: &PbsArgs, wanted: &Wanted) -> Result<Exit, Failure> {
    let done = planned(wanted, &Seen::nothing())?;
    let data = document(args, wanted, &done);
    context.printer.document("felhom.enroll-pbs", &data, || {
        runbook::script(wanted, &done.steps)
    });
    Ok(Exit::Done)
}

fn wanted(args: &PbsArgs, config: &Config) -> Result<Wanted, Failure> {
    let address = Address::of(Product::BackupServer, &args.server)
        .map_err(|error| Failure::new(Exit::Usage, "usage", format!("--server: {error}")))?;
    let storage = parse::<felhom_ids::StorageId>("--storage", &args.storage)?;
    let user: UserId = parse("--user", &args.user)?;
    let path = std::path::absolute(&config.path).unwrap_or_else(|_| config.path.clone());
    let base = path.parent().unwrap_or(Path::new("/")).to_owned();
    let identity = |name: String, file: String| -> Result<Identity, Failure> {
        let token: TokenId = parse("--user", &format!("{user}!{name}"))?;
        Ok(Identity {
            token,
            secret: base.join("credentials").join(file),
        })
    };
    let node = &config.node;
    let master_key = args.master_key.as_deref().map(master_key).transpose()?;
    let kit = args
        .kit
        .clone()
        .unwrap_or_else(|| base.join(format!("kit-{storage}")));
    Ok(Wanted {
        server: address.host().to_owned(),
        port: address.port(),
        fingerprint: parse("--fingerprint", &args.fingerprint)?,
        place: Place {
            store: parse("--datastore", &args.datastore)?,
            namespace: parse("--namespace", &args.namespace)?,
        },
        // A box may have several storages on one server, each with tokens of its own.
        writer: identity(
            format!("{node}-{storage}"),
            format!("pbs-{storage}-storage"),
        )?,
        reader: identity(format!("{node}-{storage}-agent"), format!("pbs-{storage}"))?,
        kit: std::path::absolute(&kit).unwrap_or(kit),
        master_key,
        config: path,
        storage,
    })
}

/// An RSA key of 4096 bits has 550 bytes in the form that PEM carries, and one of 3072 bits 422; this many base64 digits are between.
const MASTER_KEY_DIGITS: usize = 700;

/// The public half, and nothing that looks like the private one: that must never come near the box.
fn master_key(path: &Path) -> Result<String, Failure> {
    let fail = |message: String| Failure::new(Exit::Usage, "master-key", message);
    let pem = std::fs::read_to_string(path)
        .map_err(|error| fail(format!("`{}` cannot be read", path.display())).caused_by(&error))?;
    if pem.contains("PRIVATE KEY") {
        return Err(fail(format!("`{}` holds a private key", path.display())).hint(
            "keep it off this box; `openssl rsa -in FILE -pubout` makes the public half, which is what is wanted",
        ));
    }
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"));
    let Some(body) = body else {
        let message = format!("`{}` is no public key in PEM form", path.display());
        return Err(fail(message)
            .hint("it begins with `-----BEGIN PUBLIC KEY-----`; see `openssl rsa -pubout`"));
    };
    // Every backup would fail with `data too large for key size`: what is encrypted is the key's whole file.
    let digits = body.chars().filter(|c| !c.is_whitespace()).count();
    if digits < MASTER_KEY_DIGITS {
        let message = format!("`{}` holds a key of less than 4096 bits", path.display());
        return Err(fail(message)
            .hint("openssl genrsa -out master.pem 4096, on another machine; every backup would fail with a shorter one"));
    }
    Ok(pem)
}

fn door(wanted: &Wanted, config: &Config) -> Result<Door, Failure> {
    let text = format!("{}:{}", runbook::host(wanted), wanted.port);
    Ok(Door {
        address: Address::of(Product::BackupServer, &text)
            .map_err(|error| Failure::new(Exit::Usage, "usage", format!("--server: {error}")))?,
        trust: Trust::PinnedLeaf(wanted.fingerprint),
        timeout: config.request_timeout,
    })
}

async fn pve_admin(args: &PbsArgs, admin: &UserId, config: &Config) -> Result<Pve, Failure> {
    let unusable = |error: remote::RemoteError| {
        Failure::new(Exit::Configuration, "configuration", error.to_string())
            .hint("felhom-agent config check")
    };
    let door = Door {
        address: remote::address(config).map_err(unusable)?,
        trust: remote::trust(&config.trust).map_err(unusable)?,
        timeout: config.request_timeout,
    };
    let asked = Asked {
        product: Product::VirtualEnvironment,
        admin,
        password: args.password_file.as_deref(),
        second_factor: args.second_factor_file.as_deref(),
        known: true,
    };
    let ticket = login::ticket(&asked, &door).await?;
    let mut settings = Settings::new(door.address, ticket, door.trust);
    settings.timeouts.request = door.timeout;
    let client = Client::new(settings).map_err(|error| pve_failure(&error))?;
    let pve = Pve::new(client, config.node.clone());
    let held = pve.permissions_at("/storage").await;
    if !held
        .map_err(|error| pve_failure(&error))?
        .has("/storage", "Datastore.Allocate")
    {
        let message = format!("`{admin}` lacks Datastore.Allocate on `/storage`");
        return Err(Failure::new(Exit::Permission, "forbidden", message)
            .hint("log in as `root@pam`, or as somebody with the role Administrator on `/`"));
    }
    Ok(pve)
}

async fn pbs_admin(args: &PbsArgs, admin: &UserId, door: &Door) -> Result<Pbs, Failure> {
    let asked = Asked {
        product: Product::BackupServer,
        admin,
        password: args.pbs_password_file.as_deref(),
        second_factor: args.pbs_second_factor_file.as_deref(),
        known: false,
    };
    let ticket = login::ticket(&asked, door).await?;
    let mut settings = Settings::new(door.address.clone(), ticket, door.trust.clone());
    settings.timeouts.request = door.timeout;
    let pbs = Pbs::new(Client::new(settings).map_err(|error| pve_failure(&error))?);
    let held = pbs.permissions_at("/access/acl").await;
    if !held
        .map_err(|error| pve_failure(&error))?
        .has("/access/acl", "Permissions.Modify")
    {
        let message = format!("`{admin}` may not grant anything on the backup server");
        return Err(Failure::new(Exit::Permission, "forbidden", message).hint(
            "log in as `root@pam` there, or have its admin run what `felhom-agent enroll pbs --print` prints",
        ));
    }
    Ok(pbs)
}

fn document(args: &PbsArgs, wanted: &Wanted, done: &Done) -> Value {
    let step = |step: &Step| {
        json!({
            "where": match runbook::place(step) {
                runbook::Where::Server => "backup-server",
                runbook::Where::Node => "node",
            },
            "command": runbook::command(wanted, step),
        })
    };
    json!({
        "dry_run": args.dry_run || args.admin.is_none(),
        "storage": wanted.storage,
        "kit": wanted.kit,
        "steps": done.steps.iter().map(step).collect::<Vec<_>>(),
        "proofs": done.proofs,
        "proven": proven(done),
    })
}

/// Whether a backup was made and read back.
fn proven(done: &Done) -> bool {
    done.proofs.len() > 1
}

fn text(args: &PbsArgs, wanted: &Wanted, done: &Done) -> String {
    if args.dry_run && !done.steps.is_empty() {
        return runbook::script(wanted, &done.steps);
    }
    let mut lines = vec![match done.steps.len() {
        0 => "everything is there already; nothing was changed".to_owned(),
        count => format!("{count} step(s) carried out"),
    }];
    lines.extend(done.proofs.iter().map(|line| format!("  proved: {line}")));
    let kit = wanted.kit.display();
    lines.push(format!(
        "the recovery kit is at `{kit}`: without it, and without this box, nobody reads the backups"
    ));
    lines.push(format!(
        "  print {kit}/recovery.txt, keep it off the box, then: felhom-agent pbs kit --storage {} --stored-by NAME",
        wanted.storage
    ));
    if !proven(done) {
        lines.push(
            "not proven yet: the same command with `--prove VMID` backs a guest up and reads a part of it back with the kit's key"
                .to_owned(),
        );
    }
    lines.push(format!(
        "what is kept is the server's to say, by a prune job there: proxmox-backup-manager prune-job create felhom-{} --store {} \
         --schedule daily --keep-daily 14 --keep-weekly 8 --keep-monthly 12",
        wanted.storage, wanted.place.store
    ));
    lines.push(format!(
        "next: felhom-agent enroll pve, once more: it grants the agent's tokens what they need on `{0}`; then \
         `storage = \"{0}\"` in [backup], and felhom-agent pbs verify every week",
        wanted.storage
    ));
    lines.join("\n")
}
