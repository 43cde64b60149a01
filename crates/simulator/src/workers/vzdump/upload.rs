//! A guest's backup to a backup server: what the official client, or QEMU, does there, and the lines it prints.

use std::sync::Arc;

use super::Job;
use crate::pbs::{Content, Order, Remote, SnapshotId, Source, catalog, tree};
use crate::sim::Sim;
use crate::tasks::Worker;

/// A snapshot that is being written: listed without files until it is finished, gone when its writer dies.
pub(crate) struct Upload {
    sim: Arc<Sim>,
    pub(crate) remote: Remote,
    pub(crate) id: SnapshotId,
    upid: String,
    finished: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.sim.lock().pbs_abandon(&self.id);
        let text = "backup ended but finished flag is not set.";
        self.sim.pbs_conclude(&self.upid, &Err(text.to_owned()));
    }
}

impl Upload {
    /// Opens a snapshot; fails with the server's words.
    pub(crate) fn begin(worker: &Worker, remote: &Remote, id: &SnapshotId) -> Result<Self, String> {
        let sim = Arc::clone(&worker.sim);
        sim.lock().pbs_begin(remote, id)?;
        let upid = sim.pbs_note(
            &remote.auth,
            "backup",
            &format!("{}:{}", id.store, id.group()),
        );
        Ok(Self {
            sim,
            remote: remote.clone(),
            id: id.clone(),
            upid,
            finished: false,
        })
    }

    /// Writes everything, the manifest last; answers the archive's bytes, and those that were new.
    pub(crate) fn finish(mut self, files: Vec<Content>) -> Result<(u64, u64), String> {
        let now = self.sim.pbs_now();
        let order = Order {
            id: self.id.clone(),
            owner: self.remote.auth.clone(),
            files,
            key: self.remote.key.clone(),
            sign_only: false,
            log: None,
            notes: None,
        };
        let sizes = self.sim.lock().pbs_write(&order, now)?;
        self.finished = true;
        self.sim.pbs_conclude(&self.upid, &Ok(()));
        Ok(sizes)
    }
}

/// The key of an encrypted snapshot, readable with the private half of the storage's master key only.
pub(crate) fn master_key(remote: &Remote) -> Result<Option<Content>, String> {
    let (Some(key), Some(pem)) = (&remote.key, &remote.master) else {
        return Ok(None);
    };
    Ok(Some(Content {
        name: "rsa-encrypted.key.blob".into(),
        source: Source::Plain(key.sealed_for(pem)?),
    }))
}

/// The files of a container's snapshot, in the order of its manifest.
pub(crate) fn container(
    config: Vec<u8>,
    rules: Vec<u8>,
    tar: &[u8],
    names: &str,
    remote: &Remote,
) -> Result<Vec<Content>, String> {
    let file = |name: &str, data: Vec<u8>| Content {
        name: name.to_owned(),
        source: Source::Bytes(data),
    };
    let mut files = vec![
        file("root.pxar.didx", tree::wrap(tar)),
        file("pct.conf.blob", config),
        file("catalog.pcat1.didx", catalog(names)),
    ];
    if !rules.is_empty() {
        files.push(file("fw.conf.blob", rules));
    }
    files.extend(master_key(remote)?);
    Ok(files)
}

/// The client's call, as it stands in the log.
pub(crate) fn command(
    remote: &Remote,
    id: &SnapshotId,
    sources: &[String],
    excludes: &[String],
    has_rules: bool,
) -> String {
    let temporary = format!("/var/tmp/vzdumptmp3711_{}/etc/vzdump", id.id);
    let mut words = vec![
        "lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- /usr/bin/proxmox-backup-client backup".to_owned(),
        format!("--crypt-mode={}", if remote.key.is_some() { "encrypt --keyfd=12" } else { "none" }),
    ];
    if remote.master.is_some() {
        words.push("--master-pubkey-fd=13".into());
    }
    words.push(format!("pct.conf:{temporary}/pct.conf"));
    if has_rules {
        words.push(format!("fw.conf:{temporary}/pct.fw"));
    }
    words.push("root.pxar:/mnt/vzsnap0".into());
    words.extend(
        sources
            .iter()
            .map(|path| format!("--include-dev /mnt/vzsnap0/.{path}")),
    );
    words.push("--skip-lost-and-found".into());
    words.extend(excludes.iter().map(|path| format!("--exclude={path}")));
    words.push(format!(
        "--backup-type ct --backup-id {} --backup-time {}",
        id.id, id.time
    ));
    words.push(format!(
        "--entries-max 1048576 --repository {}",
        remote.repository
    ));
    if !remote.ns.is_empty() {
        words.push(format!("--ns {}", remote.ns));
    }
    words.join(" ")
}

/// What the client says before it sends anything.
pub(crate) fn preamble(upload: &Upload, node: &str, at: &str, has_rules: bool) -> Vec<String> {
    let (remote, id) = (&upload.remote, &upload.id);
    let temporary = format!("/var/tmp/vzdumptmp3711_{}/etc/vzdump", id.id);
    let mut lines = vec![
        format!("Starting backup: {}", id.dir()),
        format!("Client name: {node}"),
        format!("Starting backup protocol: {at}"),
    ];
    if let Some(key) = &remote.key {
        lines.push("Using encryption key from file descriptor..".into());
        lines.push(format!("Encryption key fingerprint: {}", key.short()));
    }
    lines.push("No previous manifest available.".into());
    let repository = &remote.repository;
    lines.push(format!(
        "Upload config file '{temporary}/pct.conf' to '{repository}' as pct.conf.blob"
    ));
    if has_rules {
        lines.push(format!(
            "Upload config file '{temporary}/pct.fw' to '{repository}' as fw.conf.blob"
        ));
    }
    lines.push(format!(
        "Upload directory '/mnt/vzsnap0' to '{repository}' as root.pxar.didx"
    ));
    lines
}

/// Adds the guest's part of the log to its snapshot; a failure is a warning only.
pub(crate) fn send_log(worker: &Worker, job: &Job, id: &SnapshotId, lines: &[String]) {
    let mut world = worker.sim.lock();
    let sent = world
        .pbs_remote(&job.storage)
        .and_then(|remote| world.pbs_log(&remote, id, &lines.join("\n")));
    drop(world);
    if let Err(text) = sent {
        worker.warn(format!("uploading backup task log failed: {text}"));
    }
}
