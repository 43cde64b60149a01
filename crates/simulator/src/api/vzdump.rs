//! API methods: backups.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::archive;
use crate::call::{Answer, ApiError, Call, Params, Reply, object};
use crate::guest::{formats, props};
use crate::route::{Kind, Route, Rule, may, need, with};
use crate::storage::access;
use crate::storage::retention::Retention;
use crate::vma;
use crate::workers::vzdump::{self, Job};
use crate::world::World;

fn retention(text: &str) -> Result<(), String> {
    Retention::parse(text).map(drop)
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/nodes/{node}/vzdump",
        rule: Rule::User,
        params: &[
            may("all", Kind::Bool),
            may("bwlimit", Kind::Int(0, i64::MAX)),
            may("compress", Kind::Enum(&["0", "1", "gzip", "lzo", "zstd"])),
            may("dumpdir", Kind::Text),
            may("exclude", Kind::VmidList),
            may("exclude-path", Kind::Array),
            may("fleecing", Kind::Properties(&formats::FLEECING)),
            may("ionice", Kind::Int(0, 8)),
            may("job-id", Kind::Short(50)),
            may("lockwait", Kind::Int(0, i64::MAX)),
            may("mailnotification", Kind::Enum(&["always", "failure"])),
            may("mailto", Kind::List),
            may("mode", Kind::Enum(&["snapshot", "suspend", "stop"])),
            with("notes-template", Kind::Short(1024), "storage"),
            may(
                "notification-mode",
                Kind::Enum(&["auto", "legacy-sendmail", "notification-system"]),
            ),
            may(
                "pbs-change-detection-mode",
                Kind::Enum(&["legacy", "data", "metadata"]),
            ),
            may("performance", Kind::Properties(&formats::PERFORMANCE)),
            may("pigz", Kind::Int(i64::MIN, i64::MAX)),
            may("pool", Kind::Text),
            with("protected", Kind::Bool, "storage"),
            may("prune-backups", Kind::Format(retention)),
            may("quiet", Kind::Bool),
            may("remove", Kind::Bool),
            may("script", Kind::Text),
            may("stdexcludes", Kind::Bool),
            may("stdout", Kind::Bool),
            may("stop", Kind::Bool),
            may("stopwait", Kind::Int(0, i64::MAX)),
            may("storage", Kind::StorageId),
            may("tmpdir", Kind::Text),
            may("vmid", Kind::VmidList),
            may("zstd", Kind::Int(i64::MIN, i64::MAX)),
        ],
        handler: start,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/vzdump/defaults",
        rule: Rule::User,
        params: &[may("storage", Kind::StorageId)],
        handler: defaults,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/vzdump/extractconfig",
        rule: Rule::User,
        params: &[need("volume", Kind::Text)],
        handler: extract_config,
    },
];

/// What a caller must hold for the options that jobs have in common.
pub(super) fn check_common(world: &World, call: &Call<'_>) -> Result<(), ApiError> {
    if call.auth.is_root() {
        return Ok(());
    }
    for key in ["tmpdir", "dumpdir", "script", "job-id"] {
        if call.params.has(key) {
            return Err(ApiError::param(key, "Only root may set this option."));
        }
    }
    let limits = ["bwlimit", "ionice", "performance"];
    if limits.iter().any(|key| call.params.has(key)) {
        world.check(call.auth, "/", &["Sys.Modify"])?;
    }
    let fleecing = call.params.text("fleecing");
    let fleecing =
        fleecing.and_then(|text| props::parse(&formats::FLEECING, "fleecing", &text).ok());
    match fleecing
        .as_ref()
        .and_then(|fleecing| fleecing.get("storage"))
    {
        Some(storage) => {
            let path = format!("/storage/{storage}");
            world.check(call.auth, &path, &["Datastore.AllocateSpace"])
        }
        None => Ok(()),
    }
}

/// Options that contradict each other, or name nothing to back up.
pub(super) fn verify(params: &Params) -> Result<(), ApiError> {
    let names_guests = params.text("vmid").is_some_and(|text| !text.is_empty());
    for (key, is_set) in [
        ("all", params.flag("all")),
        ("exclude", params.has("exclude")),
        ("pool", params.has("pool")),
    ] {
        if is_set && names_guests {
            return Err(ApiError::param(key, "option conflicts with option 'vmid'"));
        }
    }
    if let Some(template) = params.text("notes-template")
        && let Some(error) = vzdump::unknown_variable(&template)
    {
        return Err(ApiError::param("notes-template", error));
    }
    let selects = params.flag("all") || params.has("exclude") || params.has("pool");
    if names_guests || selects || params.flag("stop") {
        return Ok(());
    }
    Err(ApiError::param("vmid", "property is missing"))
}

/// What is refused before anybody looks which guests are meant.
fn check(world: &World, call: &Call<'_>, storage: &str) -> Result<(), ApiError> {
    if call.params.flag("stdout") {
        let text = "option is only allowed on the command line interface.";
        return Err(ApiError::param("stdout", text));
    }
    check_common(world, call)?;
    if call.params.has("prune-backups") {
        let path = format!("/storage/{storage}");
        world.check(call.auth, &path, &["Datastore.Allocate"])?;
    }
    verify(call.params)
}

fn ids(text: &str) -> BTreeSet<u32> {
    let parts = text.split(|c: char| c == ',' || c == ';' || c == '\0' || c.is_whitespace());
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// The guests meant, and whether they were named one by one.
fn selection(world: &World, call: &Call<'_>) -> Result<(BTreeSet<u32>, bool), ApiError> {
    let pool = call.params.text("pool");
    let exclude = ids(&call.params.text("exclude").unwrap_or_default());
    if let Some(text) = call.params.text("vmid").filter(|text| !text.is_empty()) {
        return Ok((ids(&text), true));
    }
    let members = match pool {
        Some(name) => {
            world.check_pool_exists(&name)?;
            world
                .pools
                .get(&name)
                .map(|pool| pool.vms.clone())
                .unwrap_or_default()
        }
        None if call.params.flag("stop") && !call.params.flag("all") => BTreeSet::new(),
        None => world
            .guests
            .lxc
            .keys()
            .chain(world.qemu.keys())
            .copied()
            .collect(),
    };
    Ok((members.difference(&exclude).copied().collect(), false))
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\"'\"'"))
    }
}

/// The job as `vzdump` would be called for it.
fn command_line(call: &Call<'_>, named: &[u32]) -> String {
    let mut words = vec!["vzdump".to_owned()];
    words.extend(named.iter().map(ToString::to_string));
    for (key, value) in &call.params.0 {
        let values: Vec<&Value> = match value.as_array() {
            Some(list) => list.iter().collect(),
            None if key == "vmid" => Vec::new(),
            None => vec![value],
        };
        for value in values {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), ToOwned::to_owned);
            words.push(format!("--{key}"));
            words.push(quoted(&text));
        }
    }
    words.join(" ")
}

/// `POST /nodes/N/vzdump`: guests are looked at in the task only.
fn start(call: &Call<'_>) -> Reply {
    let storage = call
        .params
        .text("storage")
        .unwrap_or_else(|| "local".into());
    let job = {
        let world = call.sim.lock();
        check(&world, call, &storage)?;
        let (guests, named) = selection(&world, call)?;
        let guests: Vec<u32> = guests.into_iter().collect();
        if call.params.flag("stop") {
            let path = format!("/nodes/{}", world.node.name);
            world.check(call.auth, &path, &["Sys.Modify"])?;
        }
        let may_be_none = call.params.flag("all") || call.params.has("exclude");
        if guests.is_empty() && (!may_be_none || call.params.flag("stop")) {
            return Ok(Answer::Data(json!("OK")));
        }
        let path = format!("/storage/{storage}");
        if !call.params.has("dumpdir") {
            world.check(call.auth, &path, &["Datastore.AllocateSpace"])?;
        }
        let command = command_line(call, if named { &guests } else { &[] });
        let limit_free = world.has(call.auth, &path, "Datastore.Allocate");
        job(call, guests, named, storage, command, limit_free)?
    };
    let id = match job.guests.as_slice() {
        [one] => one.to_string(),
        _ => String::new(),
    };
    let upid = call
        .sim
        .start_task(call.auth, "vzdump", &id, move |worker| {
            vzdump::run(worker, job)
        });
    Ok(Answer::Data(json!(upid)))
}

fn job(
    call: &Call<'_>,
    guests: Vec<u32>,
    named: bool,
    storage: String,
    command: String,
    limit_free: bool,
) -> Result<Job, ApiError> {
    let params = call.params;
    let prune = match params.text("prune-backups") {
        Some(text) => {
            Some(Retention::parse(&text).map_err(|error| ApiError::param("prune-backups", error))?)
        }
        None => None,
    };
    let exclude = match params.0.get("exclude-path") {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(ToOwned::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    let unless_off = |key: &str| params.int(key) != Some(0);
    Ok(Job {
        guests,
        named,
        storage,
        mode: params.text("mode").unwrap_or_else(|| "snapshot".into()),
        compress: params.text("compress").unwrap_or_else(|| "0".into()),
        remove: unless_off("remove"),
        prune,
        protected: params.flag("protected"),
        notes: params.text("notes-template"),
        stdexcludes: unless_off("stdexcludes"),
        exclude,
        lockwait: params.int("lockwait").unwrap_or(180),
        bwlimit: params.int("bwlimit").unwrap_or(0),
        ionice: params.int("ionice").unwrap_or(7),
        command,
        limit_free,
    })
}

/// `GET …/vzdump/defaults`
fn defaults(call: &Call<'_>) -> Reply {
    let storage = call
        .params
        .text("storage")
        .unwrap_or_else(|| "local".into());
    let world = call.sim.lock();
    let look = &["Datastore.Audit", "Datastore.AllocateSpace"];
    world.check_any(call.auth, &format!("/storage/{storage}"), look)?;
    let definition = world.storage.usable(&storage)?;
    let retention = world.storage_retention(&storage).unwrap_or_default();
    let dumpdir = format!(
        "{}/dump",
        definition
            .path()
            .unwrap_or("/var/lib/vz")
            .trim_end_matches('/')
    );
    let mut defaults = object(json!({
        "all": 0, "bwlimit": 0, "compress": "0", "dumpdir": dumpdir, "fleecing": { "enabled": 0 }, "ionice": 7,
        "lockwait": 180, "mailnotification": "always", "mode": "snapshot", "notification-mode": "auto",
        "performance": { "max-workers": 16, "pbs-entries-max": 1_048_576 }, "pigz": 0,
        "prune-backups": retention.to_string(), "quiet": 0, "remove": 1, "stdexcludes": 1, "stop": 0, "stopwait": 10,
        "storage": storage, "zstd": 1,
    }));
    let excludes = &world.guests.vzdump_excludes;
    if !excludes.is_empty() {
        defaults.insert("exclude-path".to_owned(), json!(excludes.join(",")));
    }
    let node = format!("/nodes/{}", world.node.name);
    if !world.has(call.auth, &node, "Sys.Audit") {
        // Whoever just backs up need not know these.
        defaults.retain(|key, _| !["dumpdir", "ionice"].contains(&key.as_str()));
    }
    Ok(Answer::Data(Value::Object(defaults)))
}

/// The configuration in a snapshot, with the storage's token and key.
fn config_on_server(call: &Call<'_>, world: &World, volid: &str) -> Reply {
    let storage = volid.split(':').next().unwrap_or_default();
    let remote = world.pbs_remote(storage).map_err(ApiError::die)?;
    let missing = || ApiError::die(format!("volume '{volid}' does not exist"));
    let id = remote.snapshot(volid).ok_or_else(missing)?;
    let name = if id.kind == "vm" {
        "qemu-server.conf"
    } else {
        "pct.conf"
    };
    let file = format!("{name}.blob");
    let found = world.pbs_read(&call.sim.state_dir, &remote, &id, &file);
    let text = found.map_err(|error| {
        tracing::debug!(%error, "the official client would say so");
        ApiError::die(remote.failure(&format!("restore {} {name} -", id.dir())))
    })?;
    Ok(Answer::Data(json!(String::from_utf8_lossy(&text))))
}

/// `GET …/vzdump/extractconfig`: read access to the archive, and VM.Backup on the guest it came from.
fn extract_config(call: &Call<'_>) -> Reply {
    let volid = call.params.need("volume");
    let world = call.sim.lock();
    world.check_volume_access(call.auth, None, &volid, Some("backup"))?;
    let volume = access::parse(&world, &volid)?;
    if let Some(owner) = volume.owner {
        world.check(call.auth, &format!("/vms/{owner}"), &["VM.Backup"])?;
    }
    let backup = world
        .backup(&volid)
        .ok_or_else(|| ApiError::die(format!("volume '{volid}' does not exist")))?;
    if world.is_pbs(&volume.storage) {
        return config_on_server(call, &world, &volid);
    }
    let shown = world.dump_path_shown(&volume.storage, volume.name.trim_start_matches("backup/"));
    drop(world);
    if backup.subtype == "qemu" {
        let text = vma::header(&backup.path)
            .map_err(|error| error.to_string())
            .and_then(|front| front.config("qemu-server.conf").ok_or_else(String::new))
            .map_err(|error| {
                let text = format!("Failed to extract config from VMA archive: {error}");
                ApiError::die(text)
            })?;
        return Ok(Answer::Data(json!(text)));
    }
    let failed = || {
        ApiError::die(format!(
            "command 'tar xpOf {shown} ./etc/vzdump/pct.conf --occurrence' failed: exit code 2"
        ))
    };
    let text = archive::read_member(&backup.path, "etc/vzdump/pct.conf")
        .map_err(|_| failed())?
        .ok_or_else(failed)?;
    Ok(Answer::Data(json!(String::from_utf8_lossy(&text))))
}
