//! The admin's login: from a file or a line of standard input, used once, kept nowhere.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use felhom_ids::{Fingerprint, UserId};
use felhom_proxmox::pve::identities::{self, Door, Login};
use felhom_proxmox::{Client, Product, Pve, Settings, Ticket, pbs};
use secrecy::{ExposeSecret, SecretString};

use super::PveArgs;
use super::desired::Desired;
use crate::cli::context::pve_failure;
use crate::exit::{Exit, Failure};

/// Logs in, with a second factor if the server wants one.
pub(super) async fn as_admin(
    args: &PveArgs,
    admin: &UserId,
    door: &Door,
    desired: &Desired<'_>,
) -> Result<Pve, Failure> {
    let asked = Asked {
        product: Product::VirtualEnvironment,
        admin,
        password: args.password_file.as_deref(),
        second_factor: args.second_factor_file.as_deref(),
        known: desired.is_configured(),
    };
    let ticket = ticket(&asked, door).await?;
    let mut settings = Settings::new(door.address.clone(), ticket, door.trust.clone());
    settings.timeouts.request = door.timeout;
    let client = Client::new(settings).map_err(|error| pve_failure(&error))?;
    let node = desired.node(&client).await?;
    let pve = Pve::new(client, node);
    sees_all(&pve, admin).await?;
    Ok(pve)
}

/// Whose login, and where the answers to the server's questions are.
pub(super) struct Asked<'a> {
    /// The server's kind.
    pub(super) product: Product,
    /// Who.
    pub(super) admin: &'a UserId,
    /// The file with the password.
    pub(super) password: Option<&'a Path>,
    /// The file with the second factor.
    pub(super) second_factor: Option<&'a Path>,
    /// Whether the configuration says by what the server is known, and not the command line.
    pub(super) known: bool,
}

/// Logs in to a server of either kind.
pub(super) async fn ticket(asked: &Asked<'_>, door: &Door) -> Result<Ticket, Failure> {
    let admin = asked.admin;
    let password = match asked.password {
        Some(path) => secret(path)?,
        None => return Err(unseen()),
    };
    let told = |error: felhom_proxmox::Error| {
        if let felhom_proxmox::Error::PinMismatch { address, seen, .. } = &error
            && !asked.known
        {
            let message =
                format!("{address} shows {seen}, and that is not what it is to be known by");
            return Failure::new(Exit::Remote, "untrusted", message)
                .hint(how_to_look(asked.product, seen));
        }
        if !matches!(error, felhom_proxmox::Error::Unauthorized { .. }) {
            return pve_failure(&error);
        }
        let message = format!("the server does not let `{admin}` in: {error}");
        Failure::new(Exit::Permission, "login", message)
            .hint("look at user and realm, then at the password")
    };
    let of_pve = asked.product == Product::VirtualEnvironment;
    let mut login = if of_pve {
        identities::login(door, admin, &password).await
    } else {
        pbs::identities::login(door, admin, &password).await
    }
    .map_err(told)?;
    if let Login::SecondFactor(challenge) = &login {
        let Some(path) = asked.second_factor else {
            let message = format!("the server wants a second factor of `{admin}`");
            return Err(
                Failure::new(Exit::Permission, "second-factor", message).hint(
                    if of_pve {
                        "give it by `--second-factor-file FILE`, or `-` for a line of standard input"
                    } else {
                        "give it by `--pbs-second-factor-file FILE`, or `-` for a line of standard input"
                    },
                ),
            );
        };
        let factor = factor(&secret(path)?);
        login = if of_pve {
            identities::answer_challenge(door, admin, challenge, &factor).await
        } else {
            pbs::identities::answer_challenge(door, admin, challenge, &factor).await
        }
        .map_err(told)?;
    }
    match login {
        Login::Ticket(ticket) => Ok(ticket),
        Login::SecondFactor(_) => {
            let message = "the server wants a third factor, which is more than we know of";
            Err(Failure::new(Exit::Permission, "second-factor", message))
        }
    }
}

/// Where the server's own certificate is, to compare it with what was seen.
pub(super) fn how_to_look(product: Product, seen: &Fingerprint) -> String {
    let look = match product {
        Product::VirtualEnvironment => {
            "on the node: openssl x509 -in /etc/pve/local/pveproxy-ssl.pem -noout -fingerprint -sha256 (or \
             pve-ssl.pem, if there is none)"
        }
        Product::BackupServer => "on the server: proxmox-backup-manager cert info",
    };
    format!("{look}; if it is the same, give `--fingerprint {seen}`")
}

/// Lists that permissions have shortened would hide whose role, pool or bridge it is.
async fn sees_all(pve: &Pve, admin: &UserId) -> Result<(), Failure> {
    for (path, privilege) in [
        ("/access", "Sys.Audit"),
        ("/", "Permissions.Modify"),
        ("/pool", "Pool.Audit"),
        ("/vms", "VM.Audit"),
        ("/storage", "Datastore.Audit"),
        ("/sdn", "SDN.Audit"),
    ] {
        let held = pve
            .permissions_at(path)
            .await
            .map_err(|error| pve_failure(&error))?;
        if !held.has(path, privilege) {
            let message = format!(
                "`{admin}` lacks {privilege} on `{path}`, and enrolling must see everything"
            );
            return Err(Failure::new(Exit::Permission, "forbidden", message)
                .hint("log in as `root@pam`, or as somebody with the role Administrator on `/`"));
        }
    }
    Ok(())
}

/// PVE wants the kind before the answer; what is only digits comes from an authenticator.
fn factor(given: &SecretString) -> SecretString {
    let text = given.expose_secret();
    if text.contains(':') {
        given.clone()
    } else {
        SecretString::from(format!("totp:{text}"))
    }
}

fn secret(path: &Path) -> Result<SecretString, Failure> {
    let fail = |error: std::io::Error| {
        let message = format!("`{}` cannot be read", path.display());
        Failure::new(Exit::Usage, "password", message).caused_by(&error)
    };
    let text = if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            return Err(unseen());
        }
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(fail)?;
        line
    } else {
        if std::fs::metadata(path).map_err(fail)?.mode() & 0o077 != 0 {
            let message = format!("`{}` is readable by others", path.display());
            return Err(Failure::new(Exit::Usage, "password", message)
                .hint(format!("chmod 600 {}", path.display())));
        }
        std::fs::read_to_string(path).map_err(fail)?
    };
    // Blanks may belong to a password; the line's end does not.
    let text = SecretString::from(text);
    let line = text.expose_secret().trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        let message = format!("`{}` holds no password", path.display());
        return Err(Failure::new(Exit::Usage, "password", message));
    }
    Ok(SecretString::from(line))
}

/// A password typed into a terminal would be seen on it.
fn unseen() -> Failure {
    let message = "a password is not read from a terminal that would show it";
    Failure::new(Exit::Usage, "password", message)
        .hint("systemd-ask-password | felhom-agent enroll … --password-file -, the rest of the command as it was")
}
