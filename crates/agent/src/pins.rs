//! The pin that follows the node's certificate. What will be shown next is learned over a connection that is pinned to what
//! is shown now, and taken when exactly that is shown; at no time is more than one certificate trusted.

use std::path::Path;

use felhom_engine::Timestamp;
use felhom_ids::Fingerprint;
use felhom_proxmox::pve::certificates::Certificate;
use felhom_proxmox::{Pve, fetch_leaf};

use crate::clock;
use crate::config::{Config, TrustConfig};
use crate::journal::{Journal, JournalError, PinChange};
use crate::remote;

/// What stands in the journal of it.
const HOW: &str = "read from certificates/info over a connection pinned to the former";

/// The certificate that `pveproxy` shows from its next start on, by the files that the node names: an admin's or an ACME
/// one goes before Proxmox's own (pve-manager `PVE/Service/pveproxy.pm`).
pub fn placed(listed: &[Certificate]) -> Option<&Fingerprint> {
    let of = |name: &str| {
        let mut all = listed.iter();
        let found = all.find(|one| one.filename.as_deref() == Some(name));
        found.and_then(|one| one.fingerprint.as_ref())
    };
    of("pveproxy-ssl.pem").or_else(|| of("pve-ssl.pem"))
}

/// The pin after all changes that were taken and that the configuration does not name yet.
pub fn current(configured: &Fingerprint, changes: &[PinChange]) -> Fingerprint {
    let taken = changes
        .iter()
        .filter(|change| change.taken.is_some() && !change.written);
    let mut pin = *configured;
    for change in taken {
        if change.former == pin {
            pin = change.next;
        }
    }
    pin
}

/// What is prepared to follow a pin.
pub fn prepared<'a>(pin: &Fingerprint, changes: &'a [PinChange]) -> Option<&'a PinChange> {
    let mut waiting = changes.iter().filter(|change| change.taken.is_none());
    waiting.find(|change| change.former == *pin)
}

/// What there is to know of the pin before a command begins.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The one certificate that is trusted.
    pub pin: Fingerprint,
    /// Whether it was taken just now.
    pub just_taken: bool,
    /// Whether the configuration names another one.
    pub only_in_journal: bool,
}

/// The pin by configuration and journal. What was prepared is taken when `take` says so and the node shows exactly that.
/// `None` where no certificate is pinned, or the journal knows of no change.
pub async fn follow(config: &Config, take: bool) -> Option<Followed> {
    let TrustConfig::Fingerprint(configured) = &config.trust else {
        return None;
    };
    let journal = Journal::read(&config.state_dir).await.ok()?;
    let changes = journal.pin_changes().await;
    let changes = changes
        .inspect_err(|error| tracing::debug!(%error, "changes of the pin cannot be read"))
        .ok()?;
    if changes.is_empty() {
        return None;
    }
    let pin = current(configured, &changes);
    let next = prepared(&pin, &changes).filter(|_| take);
    let taken = match next {
        Some(next) => took(config, &journal, next).await,
        None => None,
    };
    let just_taken = taken.is_some();
    let pin = taken.unwrap_or(pin);
    Some(Followed {
        only_in_journal: pin != *configured,
        pin,
        just_taken,
    })
}

/// Takes what was prepared when it is shown. Nothing secret is sent to find out.
async fn took(config: &Config, journal: &Journal, next: &PinChange) -> Option<Fingerprint> {
    let address = remote::address(config).ok()?;
    let leaf = fetch_leaf(&address, config.request_timeout).await.ok()?;
    if leaf.fingerprint != next.next {
        return None;
    }
    match journal
        .take_pin(&next.former, &next.next, clock::now())
        .await
    {
        // When it was somebody else, it is taken all the same.
        Ok(_) => Some(next.next),
        Err(error) => {
            tracing::warn!(%error, "the prepared pin is shown, and cannot be taken");
            None
        }
    }
}

/// What came of asking what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// What is pinned is what stands in the file.
    Nothing,
    /// Another certificate is in place.
    Next(Fingerprint),
    /// The pinned certificate does not stand among the node's own, or the node names none.
    Untold,
}

/// Learns what follows the pin, over a connection of `pve`, which must be pinned to it; and prepares it, unless only asked.
///
/// # Errors
/// When the node cannot be asked.
pub async fn learn(
    directory: &Path,
    pin: &Fingerprint,
    pve: &Pve,
    prepare: bool,
    now: Timestamp,
) -> Result<Learned, felhom_proxmox::Error> {
    let listed = pve.certificates().await?;
    let Some(next) = placed(&listed) else {
        return Ok(Learned::Untold);
    };
    let next = (next != pin).then_some(next);
    if prepare && let Err(error) = write(directory, pin, next, now).await {
        tracing::debug!(%error, "what follows the pin is not remembered");
    }
    Ok(next.map_or(Learned::Nothing, |next| Learned::Next(*next)))
}

async fn write(
    directory: &Path,
    pin: &Fingerprint,
    next: Option<&Fingerprint>,
    now: Timestamp,
) -> Result<(), JournalError> {
    if next.is_none() {
        // Nothing is made only to note that there is nothing.
        return match Journal::read(directory).await {
            Ok(journal) if prepared(pin, &journal.pin_changes().await?).is_some() => {
                journal.prepare_pin(pin, None, HOW, now).await
            }
            Ok(_) | Err(JournalError::Absent(_)) => Ok(()),
            Err(error) => Err(error),
        };
    }
    match Journal::to_note(directory).await? {
        Some(journal) => journal.prepare_pin(pin, next, HOW, now).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(byte: u8) -> Fingerprint {
        format!("{byte:02X}").repeat(32).parse().unwrap()
    }

    fn change(former: u8, next: u8, taken: bool, written: bool) -> PinChange {
        PinChange {
            former: print(former),
            next: print(next),
            learned: Timestamp::from_millis(1),
            how: HOW.to_owned(),
            taken: taken.then(|| Timestamp::from_millis(2)),
            written,
        }
    }

    fn certificate(name: &str, byte: u8) -> Certificate {
        let text = serde_json::json!({ "filename": name, "fingerprint": print(byte).to_string() });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn exactly_one_is_trusted_whatever_was_prepared_and_taken() {
        let chain = [
            change(1, 2, true, false),
            change(2, 3, true, false),
            change(3, 4, false, false),
        ];
        assert_eq!(current(&print(1), &chain), print(3));
        assert_eq!(prepared(&print(3), &chain).unwrap().next, print(4));
        assert_eq!(prepared(&print(1), &chain), None);
        // What the configuration names goes before what was before it.
        assert_eq!(current(&print(9), &chain), print(9));
        let written = [change(1, 2, true, true)];
        assert_eq!(current(&print(1), &written), print(1));
        // There and back again.
        let back = [change(1, 2, true, false), change(2, 1, true, false)];
        assert_eq!(current(&print(1), &back), print(1));
        let again = [&back[..], &[change(1, 2, true, false)]].concat();
        assert_eq!(current(&print(1), &again), print(2));
    }

    #[test]
    fn an_admins_certificate_goes_before_proxmox_own_and_the_authority_is_never_it() {
        let root = certificate("pve-root-ca.pem", 7);
        let own = certificate("pve-ssl.pem", 1);
        let acme = certificate("pveproxy-ssl.pem", 2);
        assert_eq!(placed(&[root.clone(), own.clone(), acme]), Some(&print(2)));
        assert_eq!(placed(&[root.clone(), own]), Some(&print(1)));
        assert_eq!(placed(&[root]), None);
    }

    #[tokio::test]
    async fn what_is_prepared_is_taken_once_and_what_was_never_shown_goes() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path(), "test").await.unwrap();
        let now = Timestamp::from_millis(5);
        for next in [2, 3, 3] {
            journal
                .prepare_pin(&print(1), Some(&print(next)), HOW, now)
                .await
                .unwrap();
        }
        let changes = journal.pin_changes().await.unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].next, print(3));
        assert!(!journal.take_pin(&print(1), &print(2), now).await.unwrap());
        assert!(journal.take_pin(&print(1), &print(3), now).await.unwrap());
        assert!(!journal.take_pin(&print(1), &print(3), now).await.unwrap());
        journal
            .prepare_pin(&print(1), None, HOW, now)
            .await
            .unwrap();
        assert_eq!(
            journal.pin_changes().await.unwrap().len(),
            1,
            "what was taken stays"
        );
    }
}
