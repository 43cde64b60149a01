//! One guest of a backup job: mode, stillness, archive, clean-up, with the log lines in PVE's order.

mod remote;

use std::fs;

use super::Job;
use super::inclusion::{self, Inclusion};
use super::medium;
use super::target::{self, Target};
use super::upload;
use crate::archive::{self, Compression, Plan, Source};
use crate::guest::config::Config;
use crate::guest::formats::Mount;
use crate::storage::backups::{self, log_time};
use crate::storage::volumes;
use crate::tasks::Worker;
use crate::workers::lock_file::{self, Kind};
use crate::workers::{blocking, power, seconds, snapshot, timing, totals};

/// One guest's backup in progress.
struct Run<'a> {
    worker: &'a Worker,
    job: &'a Job,
    vmid: u32,
    name: String,
    target: Target,
    mounts: Vec<Mount>,
    running: bool,
    /// The guest's part of the log, for the sidecar file.
    log: Vec<String>,
    /// What the clean-up has to undo.
    locked: bool,
    snapshotted: bool,
    stopped_at: Option<f64>,
}

/// Backs up one guest.
pub(crate) async fn backup(worker: &Worker, job: &Job, vmid: u32) -> Result<(), String> {
    let kind = worker.sim.lock().vmid_taken(vmid);
    match kind {
        None => return Err(format!("unable to find VM '{vmid}'")),
        Some("VM") => return super::machine::backup(worker, job, vmid).await,
        Some(_) => {}
    }
    target::check_limits(worker, job, vmid)?;
    let begun = worker.sim.clock.now();
    let dated = worker.sim.clock.shown();
    worker.log(format!("INFO: Starting Backup of VM {vmid} (lxc)"));
    worker.log(format!("INFO: Backup started at {}", log_time(dated)));
    let target = Target::new(worker, job, vmid, dated)?;
    let (name, mounts, running) = {
        let mut world = worker.sim.lock();
        world.reap(worker.sim.clock.now_f64());
        let guest = world.lxc(vmid).map_err(|error| error.in_task())?;
        (
            guest.name(vmid),
            guest.config.current.mounts(),
            guest.run.is_some(),
        )
    };
    let mut run = Run {
        worker,
        job,
        vmid,
        name,
        target,
        mounts,
        running,
        log: Vec::new(),
        locked: false,
        snapshotted: false,
        stopped_at: None,
    };
    let result = run.work().await;
    if result.as_ref().is_err_and(String::is_empty) {
        return result;
    }
    run.clean().await;
    run.write_log(result.as_ref().err());
    result?;
    let took = worker.sim.clock.now() - begun;
    let span = format!("{:02}:{:02}:{:02}", took / 3600, took / 60 % 60, took % 60);
    run.say(format!("Finished Backup of VM {vmid} ({span})"));
    worker.log(format!(
        "INFO: Backup finished at {}",
        log_time(worker.sim.clock.shown())
    ));
    worker.sim.count("vzdump", &vmid.to_string());
    Ok(())
}

impl Run<'_> {
    fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        let stamp = log_time(self.worker.sim.clock.shown());
        self.log.push(format!("{stamp} INFO: {line}"));
        self.worker.log(format!("INFO: {line}"));
    }

    async fn work(&mut self) -> Result<(), String> {
        let status = if self.running { "running" } else { "stopped" };
        self.say(format!("status = {status}"));
        self.lock().await?;
        self.worker
            .point("vzdump:prepare", &self.vmid.to_string())
            .await?;
        self.worker.sleep(seconds(timing::PREPARE)).await?;
        let mode = if self.running {
            self.job.mode.clone()
        } else {
            "stop".to_owned()
        };
        let judged = inclusion::judge(self.mounts.clone());
        let sources = match mode.as_str() {
            "stop" => self.stop_mode(judged).await?,
            "suspend" => self.suspend_mode(judged).await?,
            _ => self.snapshot_mode(judged).await?,
        };
        self.archive(sources).await?;
        target::complete(self.worker, self.job, &self.target, &self.name).await
    }

    async fn lock(&mut self) -> Result<(), String> {
        let _file = lock_file::take(self.worker, self.vmid, Kind::Config).await?;
        let mut world = self.worker.sim.lock();
        world
            .lxc(self.vmid)
            .map_err(|error| error.in_task())?
            .check_lock()?;
        world.lock_guest(self.vmid, "backup");
        self.locked = true;
        Ok(())
    }

    fn describe(&mut self, judged: &Inclusion) {
        self.say(format!("CT Name: {}", self.name));
        for line in &judged.lines {
            self.say(line.clone());
        }
    }

    fn announce(&mut self, mode: &str) {
        self.say(format!("backup mode: {mode}"));
        if self.job.bwlimit > 0 {
            self.say(format!("bandwidth limit: {} KiB/s", self.job.bwlimit));
        }
        self.say(format!("ionice priority: {}", self.job.ionice));
    }

    fn live(&self, included: &[Mount]) -> Vec<Source> {
        let state = &self.worker.sim.state_dir;
        let source = |mount: &Mount| Source {
            root: volumes::tree_path(state, mount.volume()),
            prefix: mount.path().trim_start_matches('/').to_owned(),
        };
        included.iter().map(source).collect()
    }

    async fn stop_mode(&mut self, judged: Inclusion) -> Result<Vec<Source>, String> {
        self.announce("stop");
        self.describe(&judged);
        if self.running {
            self.say("stopping virtual guest");
            self.stopped_at = Some(self.worker.sim.clock.now_f64());
            self.worker.sleep(seconds(timing::STOP)).await?;
            power::halt(self.worker, self.vmid);
        }
        Ok(self.live(&judged.included))
    }

    async fn suspend_mode(&mut self, judged: Inclusion) -> Result<Vec<Source>, String> {
        self.announce("suspend");
        self.describe(&judged);
        let temporary = self.target.shown_temporary();
        let pid = {
            let world = self.worker.sim.lock();
            let run = world
                .guests
                .lxc
                .get(&self.vmid)
                .and_then(|guest| guest.run.as_ref());
            run.map_or(0, |run| run.pid)
        };
        let from = format!("/proc/{pid}/root/");
        self.say(format!("starting first sync {from} to {temporary}"));
        let sources = self.live(&judged.included);
        let bytes: u64 = sources
            .iter()
            .map(|source| crate::guest::tree::size(&source.root))
            .sum();
        self.worker.sleep(seconds(timing::ARCHIVE)).await?;
        self.say(format!(
            "first sync finished - transferred {} bytes in 1s",
            short(bytes)
        ));
        self.say("suspending guest");
        let frozen = self.worker.sim.clock.now_f64();
        snapshot::freeze(self.worker, self.vmid, true);
        self.say(format!("starting final sync {from} to {temporary}"));
        let slept = self.worker.sleep(seconds(timing::SNAPSHOT)).await;
        if slept.is_ok() {
            self.say("final sync finished - transferred 0 bytes in 0s");
            self.say("resuming guest");
        }
        snapshot::freeze(self.worker, self.vmid, false);
        slept?;
        self.online_again(frozen);
        Ok(sources)
    }

    async fn snapshot_mode(&mut self, judged: Inclusion) -> Result<Vec<Source>, String> {
        self.describe(&judged);
        let capable = {
            let world = self.worker.sim.lock();
            judged
                .included
                .iter()
                .all(|mount| world.can_snapshot(mount.volume()))
        };
        if !capable {
            self.say("mode failure - some volumes do not support snapshots");
            self.say("trying 'suspend' mode instead");
            return self.suspend_mode(judged).await;
        }
        self.drop_old_snapshot().await?;
        self.announce("snapshot");
        let several = judged.included.len() > 1;
        if several {
            self.say("suspend vm to make snapshot");
        }
        let frozen = self.worker.sim.clock.now_f64();
        self.say("create storage snapshot 'vzdump'");
        self.worker
            .point("vzdump:snapshot", &self.vmid.to_string())
            .await?;
        let volumes: Vec<String> = judged
            .included
            .iter()
            .map(|mount| mount.volume().to_owned())
            .collect();
        // Interrupted here, PVE leaves the `snapshot` lock and a `[vzdump]` section (seen on 9.2).
        self.locked = false;
        snapshot::make(
            self.worker,
            self.vmid,
            "vzdump",
            "vzdump backup snapshot",
            &volumes,
        )
        .await?;
        self.worker.sim.lock().lock_guest(self.vmid, "backup");
        self.locked = true;
        self.snapshotted = true;
        if several {
            self.say("resume vm");
            self.online_again(frozen);
        }
        let state = &self.worker.sim.state_dir;
        let source = |mount: &Mount| Source {
            root: volumes::snapshot_path(state, mount.volume(), "vzdump"),
            prefix: mount.path().trim_start_matches('/').to_owned(),
        };
        Ok(judged.included.iter().map(source).collect())
    }

    async fn drop_old_snapshot(&mut self) -> Result<(), String> {
        let old = {
            let world = self.worker.sim.lock();
            world
                .guests
                .lxc
                .get(&self.vmid)
                .is_some_and(|g| g.config.snapshots.contains_key("vzdump"))
        };
        if !old {
            return Ok(());
        }
        self.say("found old vzdump snapshot (force removal)");
        snapshot::drop_snapshot(self.worker, self.vmid, "vzdump", true).await?;
        self.worker.sim.lock().lock_guest(self.vmid, "backup");
        Ok(())
    }

    fn online_again(&mut self, since: f64) {
        let span = crate::guest::whole(self.worker.sim.clock.now_f64() - since);
        let text = if span < 1 {
            "<1".to_owned()
        } else {
            span.to_string()
        };
        self.say(format!("guest is online again after {text} seconds"));
    }

    async fn archive(&mut self, sources: Vec<Source>) -> Result<(), String> {
        if let Some((remote, id)) = self.target.remote.clone() {
            return self.upload(sources, &remote, &id).await;
        }
        self.say(format!("creating vzdump archive '{}'", self.target.shown));
        let unfinished = self.target.unfinished();
        let plan = self.plan(sources);
        let compression = match self.job.compress.as_str() {
            "zstd" => Compression::Zstd,
            "0" => Compression::None,
            _ => return Err(self.command_failure(127)),
        };
        let path = unfinished.clone();
        let begun = self.worker.sim.clock.now_f64();
        let written = blocking(move || archive::write(&path, compression, &plan)).await?;
        let failure = self
            .worker
            .point("vzdump:archive", &self.vmid.to_string())
            .await;
        let bytes = match (failure, written) {
            (Err(error), _) => return Err(error),
            (Ok(()), Err(error)) => {
                tracing::debug!(%error, "archive not written");
                let lost = self.worker.sim.lock().storage.takes_data(&self.job.storage);
                if let Err(reason) = lost {
                    self.say(medium::last_words(reason));
                    return Err(self.command_failure(70));
                }
                return Err(self.command_failure(2));
            }
            (Ok(()), Ok(bytes)) => bytes,
        };
        let mut rate = timing::ARCHIVE_RATE;
        if let Ok(limit) = u32::try_from(self.job.bwlimit * 1024)
            && limit > 0
        {
            rate = rate.min(f64::from(limit));
        }
        let span = seconds(timing::transfer(timing::ARCHIVE, bytes, rate));
        if let Some(reason) = medium::transfer(self.worker, &self.job.storage, span).await? {
            self.say(medium::last_words(reason));
            return Err(self.command_failure(70));
        }
        let took = self.worker.sim.clock.now_f64() - begun;
        self.say(format!("Total bytes written: {}", totals(bytes, took)));
        fs::rename(&unfinished, &self.target.path).map_err(|error| error.to_string())?;
        let size = fs::metadata(&self.target.path).map_or(0, |meta| meta.len());
        self.say(format!("archive file size: {}", file_size(size)));
        Ok(())
    }

    fn plan(&self, sources: Vec<Source>) -> Plan {
        let mut world = self.worker.sim.lock();
        let guest = world
            .guests
            .lxc
            .get(&self.vmid)
            .cloned()
            .unwrap_or_default();
        let omitted = std::mem::take(&mut world.guests.vzdump_omits);
        // Those of a request add to the node's (pve-manager VZDump.pm).
        let configured = world.guests.vzdump_excludes.clone();
        drop(world);
        let mut current = guest.config.current;
        for key in ["lock", "parent", "digest"] {
            current.values.remove(key);
        }
        let text = Config {
            current,
            ..Config::default()
        }
        .print();
        let mut excludes = omitted;
        if self.job.stdexcludes {
            excludes.extend(["tmp/?*", "var/tmp/?*", "var/run/?*.pid"].map(ToOwned::to_owned));
        }
        for path in self.job.exclude.iter().chain(&configured) {
            match path.strip_prefix('/') {
                Some(anchored) => excludes.push(anchored.to_owned()),
                None => excludes.extend([path.clone(), format!("*/{path}")]),
            }
        }
        Plan {
            head: vec![
                ("etc/vzdump/pct.conf".into(), text.into_bytes()),
                ("etc/vzdump/pct.fw".into(), guest.firewall.into_bytes()),
            ],
            sources,
            excludes,
            now: u64::try_from(self.worker.sim.clock.shown()).unwrap_or_default(),
        }
    }

    fn command_failure(&self, code: u8) -> String {
        let compressor = match self.job.compress.as_str() {
            "zstd" => "zstd '--threads=1' ",
            "gzip" => "gzip --rsyncable ",
            "1" | "lzo" => "lzop ",
            _ => "cat ",
        };
        let path = self.target.shown_unfinished();
        format!(
            "command 'set -o pipefail && lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- tar cpf - --totals --one-file-system -p --sparse --numeric-owner --acls --xattrs '--directory=/mnt/vzsnap0' ./ | {compressor}>{path}' failed: exit code {code}"
        )
    }

    /// Undoes what the backup did to the guest, whether it succeeded or not.
    async fn clean(&mut self) {
        let _gone = fs::remove_file(self.target.unfinished()).is_ok();
        if let Some(since) = self.stopped_at.take() {
            self.say("restarting vm");
            match self.restart().await {
                Ok(()) => self.online_again(since),
                Err(error) => self.worker.log(error),
            }
        }
        if self.locked {
            self.worker.sim.lock().unlock_guest(self.vmid);
        }
        if self.snapshotted {
            self.say("cleanup temporary 'vzdump' snapshot");
            let result = snapshot::drop_snapshot(self.worker, self.vmid, "vzdump", true).await;
            match result {
                Ok(()) => self.worker.sim.lock().unlock_guest(self.vmid),
                Err(error) => {
                    self.worker.log(format!(
                        "snapshot 'vzdump' was not (fully) removed - {error}"
                    ));
                }
            }
        }
    }

    /// The guest comes back also when the job was told to stop.
    async fn restart(&self) -> Result<(), String> {
        if self
            .worker
            .sim
            .lock()
            .guests
            .lxc
            .get(&self.vmid)
            .is_some_and(|guest| guest.run.is_some())
        {
            return Ok(());
        }
        power::start_regardless(self.worker, self.vmid).await
    }

    fn write_log(&self, error: Option<&String>) {
        let mut lines = self.log.clone();
        if let Some(error) = error {
            let stamp = log_time(self.worker.sim.clock.shown());
            lines.push(format!(
                "{stamp} ERROR: Backup of VM {} failed - {error}",
                self.vmid
            ));
        }
        lines.push(String::new());
        if let Some((_, id)) = &self.target.remote {
            if error.is_none() {
                upload::send_log(self.worker, self.job, id, &lines);
            }
            return;
        }
        let path = backups::log_path(&self.target.path);
        if let Err(error) = fs::write(path, lines.join("\n")) {
            tracing::debug!(%error, "no log beside the archive");
        }
    }
}

/// `1MB`, as vzdump prints file sizes.
pub(super) fn file_size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{}KB", bytes >> 10)
    } else if bytes < 1 << 30 {
        format!("{}MB", bytes >> 20)
    } else {
        let hundredths = (u128::from(bytes) * 100) >> 30;
        format!("{}.{:02}GB", hundredths / 100, hundredths % 100)
    }
}

/// `2.03M`, as rsync prints sizes.
fn short(bytes: u64) -> String {
    let hundredths = u128::from(bytes) * 100 / 1_000_000;
    format!("{}.{:02}M", hundredths / 100, hundredths % 100)
}
