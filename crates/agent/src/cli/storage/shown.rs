//! A storage for people and for programs.

use felhom_engine::Retention;
use felhom_engine::storages::{Answer, Attachment, Backing};
use serde_json::{Value, json};

use crate::clock;
use crate::output::size;
use crate::storages::Observed;

pub(super) const HEADER: [&str; 8] = [
    "STORAGE", "TYPE", "STATE", "SIZE", "FREE", "FULL IN", "KEEPS", "CONTENT",
];

/// The types that are known here.
fn kind(observed: &Observed) -> &'static str {
    match &observed.look.backing {
        Some(Backing::Dir { .. }) => "dir",
        Some(Backing::Nfs { .. }) => "nfs",
        Some(Backing::Cifs { .. }) => "cifs",
        Some(Backing::Pbs { .. }) => "pbs",
        Some(Backing::LvmThin { .. }) => "lvmthin",
        Some(Backing::Other { .. }) | None => "unknown",
    }
}

/// Who tells which storage it is.
fn told_by(observed: &Observed) -> Option<&'static str> {
    Some(match observed.look.backing.as_ref()? {
        Backing::Dir {
            filesystem: Some(_),
            ..
        } => "filesystem",
        Backing::Dir { .. } => "path",
        Backing::Nfs { .. }
        | Backing::Cifs { .. }
        | Backing::Pbs { .. }
        | Backing::LvmThin { .. } => "definition",
        Backing::Other { .. } => return None,
    })
}

fn retention(observed: &Observed) -> Retention {
    match &observed.config {
        Some(config) if config.keeps_all() => Retention::KeepAll,
        Some(_) => Retention::Limited,
        None => Retention::Unknown,
    }
}

fn rule(observed: &Observed) -> Option<String> {
    let config = observed.config.as_ref()?;
    config.prune_backups.as_ref().map(ToString::to_string)
}

pub(super) fn data(observed: &Observed) -> Value {
    let (look, config) = (&observed.look, observed.config.as_ref());
    let status = observed.status.as_ref().filter(|status| status.active);
    let growth = look.samples.growth();
    let known = observed.known.as_ref();
    json!({
        "id": look.id,
        "kind": kind(observed),
        "type": config.map(|config| &config.kind),
        "state": observed.state(),
        "why": observed.why,
        "active": active(observed),
        "durable_id": observed.durable_id(),
        "told_by": told_by(observed),
        "remembered": look.remembered,
        "ejected": known.is_some_and(|known| known.ejected.is_some()),
        "target": observed.target.as_ref().map(super::target::view),
        "first_seen_ms": known.map(|known| known.first_seen),
        "attached_ms": known.and_then(|known| known.attached),
        "content": config.map(|config| config.content.clone()).unwrap_or_default(),
        "total": status.and_then(|status| status.total),
        "used": status.and_then(|status| status.used),
        "avail": status.and_then(|status| status.avail),
        "thin_pool": observed.pool.as_ref().map(|pool| json!({
            "vg": pool.vg, "lv": pool.lv, "data_size": pool.lv_size, "data_used": pool.used,
            "metadata_size": pool.metadata_size, "metadata_used": pool.metadata_used,
        })),
        "samples": look.samples.all().len(),
        "growth": growth.map(|growth| json!({
            "bytes_per_day": growth.bytes_per_day,
            "full_in_s": growth.full_in.map(|left| left.as_secs()),
        })),
        "retention": retention(observed),
        "prune_backups": rule(observed),
        "max_protected": config.and_then(|config| config.max_protected_backups),
    })
}

/// The same in brief, for the page of `status`.
pub(in crate::cli) fn brief(observed: &Observed) -> Value {
    let status = observed.status.as_ref().filter(|status| status.active);
    json!({
        "storage": observed.look.id, "state": observed.state(), "active": active(observed),
        "total": status.and_then(|status| status.total), "avail": status.and_then(|status| status.avail),
    })
}

/// The same as a line.
pub(in crate::cli) fn line(observed: &Observed) -> String {
    let id = &observed.look.id;
    let state = match (observed.state(), active(observed)) {
        (Attachment::Wrong, _) => "ANOTHER ONE than before",
        (_, Some(true)) => "active",
        (_, Some(false)) if observed.target.is_some() => "not active, as its target",
        (_, Some(false)) if observed.look.may_be_away => "ejected",
        (_, Some(false)) => "INACTIVE",
        (_, None) => "UNKNOWN",
    };
    let status = observed.status.as_ref().filter(|status| status.active);
    match status.and_then(|status| Some((status.avail?, status.total?))) {
        Some((avail, total)) => format!("{id}: {state}, {} of {} free", size(avail), size(total)),
        None => match &observed.why {
            Some(why) => format!("{id}: {state}, {why}"),
            None => format!("{id}: {state}"),
        },
    }
}

/// Whether the node can use it now; `None` where nobody says.
fn active(observed: &Observed) -> Option<bool> {
    match &observed.look.answer {
        Answer::Active(active) => Some(*active),
        Answer::Undefined => Some(false),
        Answer::None(_) => None,
    }
}

pub(super) fn row(observed: &Observed) -> Vec<String> {
    let look = &observed.look;
    let status = observed.status.as_ref().filter(|status| status.active);
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
    let config = observed.config.as_ref();
    let left = look.samples.growth().and_then(|growth| growth.full_in);
    let left = left.map(|left| clock::age(i64::try_from(left.as_secs()).unwrap_or(i64::MAX)));
    let keeps = match retention(observed) {
        Retention::KeepAll => "all".to_owned(),
        Retention::Limited => rule(observed).unwrap_or_default(),
        Retention::Unknown => "-".to_owned(),
    };
    vec![
        look.id.to_string(),
        config.map_or_else(|| "-".to_owned(), |config| config.kind.clone()),
        state(observed),
        bytes(status.and_then(|status| status.total)),
        bytes(status.and_then(|status| status.avail)),
        left.unwrap_or_else(|| "-".to_owned()),
        keeps,
        config.map_or_else(|| "-".to_owned(), |config| config.content.join(",")),
    ]
}

fn state(observed: &Observed) -> String {
    let state = observed.state();
    let ejected = observed.look.may_be_away && observed.target.is_none();
    if ejected && state == Attachment::Detached {
        return "ejected".to_owned();
    }
    state.to_string()
}

/// Which storage it is, and what does not fit into the table.
pub(super) fn lines(observed: &Observed) -> Vec<String> {
    let look = &observed.look;
    let mut parts = Vec::new();
    match (observed.durable_id(), told_by(observed)) {
        (Some(id), Some("path")) => parts.push(format!(
            "{id} (nothing tells the file system's UUID, so a swapped disk is not noticed)"
        )),
        (Some(id), _) => parts.push(id),
        (None, _) => parts.push("nothing durable is known of it".to_owned()),
    }
    if let Some(was) = look.remembered.as_ref()
        && observed.durable_id().as_ref() != Some(was)
    {
        parts.push(format!("it was {was}"));
    }
    parts.extend(observed.why.clone());
    if observed.state() == Attachment::Unknown && observed.is_active() {
        let id = &look.id;
        parts.push(format!(
            "nobody can say whether it is the same; when it is: felhom-agent storage adopt {id}"
        ));
    }
    if let Some(pool) = &observed.pool {
        parts.push(format!(
            "data {} of {}, metadata {} of {}",
            size(pool.used),
            size(pool.lv_size),
            size(pool.metadata_used),
            size(pool.metadata_size)
        ));
    }
    if let Some(growth) = look.samples.growth() {
        let a_day = size(growth.bytes_per_day.unsigned_abs());
        let way = if growth.bytes_per_day < 0 {
            "shrinks"
        } else {
            "grows"
        };
        parts.push(format!("{way} by {a_day} a day"));
    }
    let quota = observed
        .config
        .as_ref()
        .and_then(|config| config.max_protected_backups);
    parts.extend(quota.map(|quota| match quota {
        -1 => "any number of protected backups".to_owned(),
        most => format!("at most {most} protected backups of a guest"),
    }));
    vec![format!("{}: {}", look.id, parts.join("; "))]
}
