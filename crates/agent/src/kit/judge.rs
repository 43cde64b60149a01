//! What the kit cannot do, as findings.

use std::collections::BTreeSet;

use felhom_engine::{Finding, codes};

use super::archives::choose;
use super::facts::{Facts, GuestFact};
use super::{network, order};

/// What a person should know before the kit is needed.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = unread(facts);
    for guest in facts.all_guests() {
        found.extend(of_guest(facts, guest));
    }
    found.extend(keys(facts));
    found.sort_by_key(|one| std::cmp::Reverse(one.severity));
    found
}

fn unread(facts: &Facts) -> Vec<Finding> {
    let lists = [
        ("the storages", facts.storages.as_ref().err()),
        ("the bridges", facts.interfaces.as_ref().err()),
        ("the mounted disks", facts.disks.as_ref().err()),
        ("the guests", facts.guests.as_ref().err()),
        (
            "the version of Proxmox VE",
            facts.pve_version.as_ref().err(),
        ),
        ("the certificate", facts.fingerprint.as_ref().err()),
    ];
    let lists = lists
        .into_iter()
        .filter_map(|(what, why)| Some(format!("{what} could not be read: {}", why?)));
    let guests = facts.all_guests().iter().flat_map(|guest| {
        let why = [
            ("its configuration", guest.config.as_ref().err()),
            (
                "the configuration inside its archive",
                guest.archived.as_ref().and_then(|one| one.as_ref().err()),
            ),
        ];
        let vmid = guest.vmid;
        why.into_iter().filter_map(move |(what, why)| {
            Some(format!("guest {vmid}: {what} could not be read: {}", why?))
        })
    });
    lists
        .chain(guests)
        .chain(facts.unread.iter().cloned())
        .map(|detail| {
            Finding::new(codes::KIT_INCOMPLETE, "kit", detail)
                .hint("`felhom-agent doctor` names rights that lack; print the kit again when the cause is gone")
        })
        .collect()
}

fn of_guest(facts: &Facts, guest: &GuestFact) -> Vec<Finding> {
    let subject = format!("guest {}", guest.vmid);
    let mut found = Vec::new();
    let off =
        |one: &super::facts::ArchiveFact| facts.place(one.volid.storage().as_str()).is_off_box();
    match choose(facts, guest) {
        // The page says it; nobody has to be called for what was decided.
        None if !guest.selected => {}
        None => found.push(
            Finding::new(codes::KIT_NO_ARCHIVE, &subject, "no storage lists an archive of it")
                .hint(format!("felhom-agent backup run {}", guest.vmid)),
        ),
        Some(choice) if !off(choice.main) => found.push(
            Finding::new(
                codes::KIT_NO_OFF_BOX,
                &subject,
                format!("its newest archive {} lies on the box, and so do all others", choice.main.volid),
            )
            .hint("back it up to a removable disk, a share or a backup server as well: `backup run VMID --storage STORAGE`"),
        ),
        Some(_) => {}
    }
    let needed = order::storages(facts, guest);
    let lacking = needed.iter().filter(|id| facts.storage(id).is_none());
    let mut lacking: Vec<String> = lacking.map(|id| format!("storage {id}")).collect();
    let bridges: BTreeSet<&str> = network::made(facts)
        .filter_map(|one| one.get("iface"))
        .collect();
    let plugged = guest.config.as_ref().map(super::facts::Config::bridges);
    let mut plugged = plugged.unwrap_or_default();
    plugged.sort();
    plugged.dedup();
    let unknown = plugged.iter().filter(|one| !bridges.contains(one.as_str()));
    lacking.extend(unknown.map(|one| format!("bridge {one}")));
    found.extend(lacking.into_iter().map(|what| {
        Finding::new(
            codes::KIT_NOT_DESCRIBED,
            &subject,
            format!("it needs {what}, of which no definition can be read"),
        )
        .hint("let the agent's token see it (`SDN.Audit` on the bridge, `Datastore.Audit` on the storage), or write down how it is made")
    }));
    found
}

/// Keys without which the chosen archives cannot be read.
fn keys(facts: &Facts) -> Vec<Finding> {
    let used: BTreeSet<&str> = facts
        .all_guests()
        .iter()
        .filter_map(|guest| choose(facts, guest))
        .map(|choice| choice.main.volid.storage().as_str())
        .collect();
    let unsaid = used.into_iter().filter(|id| {
        let encrypted = facts
            .storage(id)
            .is_some_and(|one| one.get("encryption-key").is_some());
        encrypted && !facts.keys.contains_key(*id)
    });
    unsaid
        .map(|id| {
            let detail = "nobody said that the key of its backups is stored off the box, and this kit does not hold it";
            Finding::new(codes::RECOVERY_KIT_UNCONFIRMED, format!("storage {id}"), detail)
                .hint(format!("felhom-agent pbs kit --storage {id}"))
        })
        .collect()
}
