//! One virtual machine of a backup job (pve-manager VZDump.pm, qemu-server VZDump/QemuServer.pm): QEMU itself copies
//! its disks, so a machine that is down is started with its processors stopped. The guest agent, where it answers,
//! holds the file systems still for the moment in which the copy begins; nothing else makes them consistent.

mod remote;

use std::fs;

use super::Job;
use super::guest::file_size;
use super::medium;
use super::target::{self, Target};
use super::upload;
use crate::archive::Compression;
use crate::guest::config::{Config, Section};
use crate::guest::props;
use crate::qemu::drives::{self, Drive};
use crate::qemu::image;
use crate::storage::backups::{self, log_time};
use crate::storage::volumes;
use crate::tasks::Worker;
use crate::vma::{self, Device, Plan, Written};
use crate::workers::lock_file::{self, Kind};
use crate::workers::qemu::power::{self, Begin};
use crate::workers::{blocking, seconds, timing};

/// One machine's backup in progress.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the clean-up has to undo, each for itself"
)]
struct Run<'a> {
    worker: &'a Worker,
    job: &'a Job,
    vmid: u32,
    name: String,
    target: Target,
    section: Section,
    /// It ran before the backup.
    running: bool,
    mode: String,
    included: Vec<Drive>,
    /// The guest's part of the log, for the sidecar file.
    log: Vec<String>,
    /// What the clean-up has to undo.
    locked: bool,
    suspended: bool,
    /// QEMU runs for the backup alone.
    started: bool,
    stopped_at: Option<i64>,
}

/// Backs up one machine.
pub(crate) async fn backup(worker: &Worker, job: &Job, vmid: u32) -> Result<(), String> {
    target::check_limits(worker, job, vmid)?;
    let begun = worker.sim.clock.now();
    let dated = worker.sim.clock.shown();
    worker.log(format!("INFO: Starting Backup of VM {vmid} (qemu)"));
    worker.log(format!("INFO: Backup started at {}", log_time(dated)));
    let target = Target::new(worker, job, vmid, dated)?;
    let guest = {
        let mut world = worker.sim.lock();
        world.reap_machines(worker.sim.clock.now_f64());
        world
            .machine(vmid)
            .map_err(|error| error.in_task())?
            .clone()
    };
    let running = guest.run.is_some();
    let mut run = Run {
        worker,
        job,
        vmid,
        name: guest.name(vmid),
        target,
        section: guest.config.current,
        running,
        mode: if running {
            job.mode.clone()
        } else {
            "stop".to_owned()
        },
        included: Vec::new(),
        log: Vec::new(),
        locked: false,
        suspended: false,
        started: false,
        stopped_at: None,
    };
    let result = run.work().await;
    if result.as_ref().is_err_and(String::is_empty) {
        return result;
    }
    run.clean();
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
        self.tell("INFO", line);
    }

    fn tell(&mut self, level: &str, line: impl Into<String>) {
        let line = line.into();
        let stamp = log_time(self.worker.sim.clock.shown());
        self.log.push(format!("{stamp} {level}: {line}"));
        self.worker.log(format!("{level}: {line}"));
    }

    async fn work(&mut self) -> Result<(), String> {
        let status = if self.running { "running" } else { "stopped" };
        self.say(format!("status = {status}"));
        self.lock().await?;
        let id = self.vmid.to_string();
        self.worker.point("vzdump:prepare", &id).await?;
        self.worker.sleep(seconds(timing::PREPARE)).await?;
        if self.mode == "snapshot" {
            self.prepare();
        }
        self.say(format!("backup mode: {}", self.mode));
        if self.job.bwlimit > 0 {
            self.say(format!("bandwidth limit: {} KiB/s", self.job.bwlimit));
        }
        self.say(format!("ionice priority: {}", self.job.ionice));
        if self.mode != "snapshot" {
            self.prepare();
            self.hold_still().await?;
        }
        let text = self.assemble();
        let kind = if self.target.remote.is_some() {
            "Proxmox Backup Server"
        } else {
            "vzdump"
        };
        self.say(format!("creating {kind} archive '{}'", self.target.shown));
        self.archive(text).await?;
        target::complete(self.worker, self.job, &self.target, &self.name).await
    }

    async fn lock(&mut self) -> Result<(), String> {
        let _file = lock_file::take(self.worker, self.vmid, Kind::Machine).await?;
        let mut world = self.worker.sim.lock();
        world
            .machine(self.vmid)
            .map_err(|error| error.in_task())?
            .check_lock()?;
        world.lock_machine(self.vmid, "backup");
        self.locked = true;
        Ok(())
    }

    /// What is in and what is out.
    fn prepare(&mut self) {
        if let Some(name) = self.section.get("name").map(ToOwned::to_owned) {
            self.say(format!("VM Name: {name}"));
        }
        for (drive, judged) in drives::judge(&self.section) {
            let (key, file) = (&drive.key, &drive.file);
            if let Err(reason) = judged {
                self.say(format!("exclude disk '{key}' '{file}' ({reason})"));
                continue;
            }
            let size = drive
                .size()
                .map(|size| format!(" {}", props::print_size(size)));
            let size = size.unwrap_or_default();
            self.say(format!("include disk '{key}' '{file}'{size}"));
            self.included.push(drive);
        }
    }

    /// Stops or suspends a running machine, where the mode wants it.
    async fn hold_still(&mut self) -> Result<(), String> {
        if !self.running {
            return Ok(());
        }
        self.stopped_at = Some(self.worker.sim.clock.now());
        if self.mode == "suspend" {
            self.say("suspending guest");
            power::set_state(self.worker, self.vmid, "paused");
            self.suspended = true;
            return Ok(());
        }
        self.say("stopping virtual guest");
        power::shutdown(self.worker, self.vmid, 600.0, false, true).await
    }

    /// The configuration as the archive keeps it.
    fn assemble(&mut self) -> String {
        let mut current = self.section.clone();
        for key in ["lock", "parent", "digest"] {
            current.values.remove(key);
        }
        let unused = |key: &str| matches!(drives::index(key), Some(("unused", _)));
        let skipped: Vec<String> = current
            .values
            .iter()
            .filter(|(key, _)| unused(key))
            .map(|(_, value)| value.clone())
            .collect();
        current.values.retain(|key, _| !unused(key));
        for volid in skipped {
            self.say(format!(
                "skip unused drive '{volid}' (not included into backup)"
            ));
        }
        let mut text = Config {
            current,
            ..Config::default()
        }
        .print();
        let mut keys: Vec<&Drive> = self.included.iter().collect();
        keys.sort_by(|one, other| one.key.cmp(&other.key));
        let map = |drive: &&Drive| {
            let (key, device) = (&drive.key, device_name(&drive.key));
            let storage = drive.file.split(':').next().unwrap_or_default();
            format!("#qmdump#map:{key}:{device}:{storage}:raw:\n")
        };
        text.extend(keys.iter().map(map));
        text
    }

    fn plan(&self, text: String) -> Plan {
        let world = self.worker.sim.lock();
        let mut configs = vec![("qemu-server.conf".to_owned(), text.into_bytes())];
        let rules = world
            .qemu
            .get(&self.vmid)
            .map(|guest| guest.firewall.clone());
        if let Some(rules) = rules.filter(|rules| !rules.is_empty()) {
            configs.push(("qemu-server.fw".to_owned(), rules.into_bytes()));
        }
        let mut devices: Vec<Device> = self
            .included
            .iter()
            .map(|drive| Device {
                name: device_name(&drive.key),
                image: image(&self.worker.sim.state_dir, &drive.file),
                size: world
                    .storage
                    .volumes
                    .get(&drive.file)
                    .map_or(0, |volume| volume.size),
            })
            .collect();
        devices.sort_by(|one, other| one.name.cmp(&other.name));
        let mut uuid = [0; 16];
        // Without entropy the id is all zeroes, which harms nobody here.
        if aws_lc_rs::rand::fill(&mut uuid).is_err() {
            tracing::debug!("no entropy for an archive's id");
        }
        Plan {
            uuid,
            ctime: self.worker.sim.clock.shown(),
            configs,
            devices,
        }
    }

    async fn archive(&mut self, text: String) -> Result<(), String> {
        let plan = self.plan(text);
        self.announce_key();
        let compression = match self.job.compress.as_str() {
            "zstd" => Compression::Zstd,
            _ if self.target.remote.is_some() => Compression::None,
            "0" => Compression::None,
            other => return Err(format!("{other} failed - wrong exit status 127")),
        };
        if plan.devices.is_empty() {
            self.say("backup contains no disks");
            self.say("starting diskless backup");
        }
        let with_disks = !plan.devices.is_empty();
        let result = self.copy(plan, compression, with_disks).await;
        if let Err(error) = &result
            && with_disks
        {
            if error.is_empty() {
                return result;
            }
            self.tell("ERROR", error.clone());
            self.say("aborting backup job");
            self.resume();
        }
        if self.started {
            self.say("stopping kvm after backup task");
            power::halt(self.worker, self.vmid);
            self.started = false;
        }
        result?;
        if self.target.remote.is_some() {
            return Ok(());
        }
        let unfinished = self.target.unfinished();
        fs::rename(&unfinished, &self.target.path).map_err(|error| error.to_string())?;
        let size = fs::metadata(&self.target.path).map_or(0, |meta| meta.len());
        self.say(format!("archive file size: {}", file_size(size)));
        Ok(())
    }

    async fn copy(
        &mut self,
        plan: Plan,
        compression: Compression,
        with_disks: bool,
    ) -> Result<(), String> {
        if with_disks {
            self.run_qemu()?;
        }
        let frozen = with_disks && self.freeze().await?;
        if with_disks {
            self.say("starting backup via QMP command");
        }
        let upload = self.open()?;
        let path = self.target.unfinished();
        let copied = plan.clone();
        let written = if upload.is_some() {
            Ok(remote::measure(&plan))
        } else {
            blocking(move || vma::write(&path, compression, &copied)).await?
        };
        if frozen {
            self.say("issuing guest-agent 'fs-thaw' command");
        }
        if with_disks {
            self.say(format!("started backup task '{}'", volumes::uuid()));
            self.resume();
            self.tell_bitmaps();
        }
        self.worker
            .point("vzdump:archive", &self.vmid.to_string())
            .await?;
        let written = written.map_err(|error| {
            tracing::debug!(%error, "archive not written");
            "job failed with err -28 - No space left on device".to_owned()
        })?;
        if with_disks {
            self.progress(written).await?;
        }
        match upload {
            Some(upload) => remote::store(upload, plan),
            None => Ok(()),
        }
    }

    fn run_qemu(&mut self) -> Result<(), String> {
        let world = self.worker.sim.lock();
        let up = world
            .qemu
            .get(&self.vmid)
            .is_some_and(|guest| guest.run.is_some());
        drop(world);
        if up {
            return Ok(());
        }
        self.say("starting kvm to execute backup task");
        power::launch(self.worker, self.vmid, Begin::Prelaunch)?;
        self.started = !self.running;
        Ok(())
    }

    /// Whether file systems were asked to stand still; an answer that says no is an error line, and no end.
    async fn freeze(&mut self) -> Result<bool, String> {
        if self.mode == "stop" {
            return Ok(false);
        }
        let now = self.worker.sim.clock.now_f64();
        let (wanted, answers) = {
            let world = self.worker.sim.lock();
            let guest = world.qemu.get(&self.vmid);
            let wanted = guest.is_some_and(|guest| guest.agent_option().1);
            (wanted, guest.is_some_and(|guest| guest.agent_answers(now)))
        };
        if !wanted {
            self.say("skipping guest filesystem freeze - disabled in VM options");
            return Ok(false);
        }
        if !answers {
            self.say("skipping guest filesystem freeze - agent configured but not running?");
            return Ok(false);
        }
        self.say("issuing guest-agent 'fs-freeze' command");
        match self
            .worker
            .point("vzdump:freeze", &self.vmid.to_string())
            .await
        {
            Err(error) if error.is_empty() || self.worker.cancelled() => return Err(error),
            Err(error) => self.tell("ERROR", error),
            Ok(()) => {}
        }
        Ok(true)
    }

    /// A machine that was held still goes on as soon as the copy has begun.
    fn resume(&mut self) {
        if !self.running {
            return;
        }
        match self.stopped_at.take() {
            Some(since) => {
                let span = self.worker.sim.clock.now() - since;
                self.say(format!("resuming VM again after {span} seconds"));
            }
            None => self.say("resuming VM again"),
        }
        power::set_state(self.worker, self.vmid, "running");
    }

    async fn progress(&mut self, written: Written) -> Result<(), String> {
        let held = written.total - written.zero;
        let mut rate = timing::ARCHIVE_RATE;
        if let Ok(limit) = u32::try_from(self.job.bwlimit * 1024)
            && limit > 0
        {
            rate = rate.min(f64::from(limit));
        }
        let begun = self.worker.sim.clock.now();
        let span = seconds(timing::transfer(timing::ARCHIVE, held, rate));
        if let Some(reason) = medium::transfer(self.worker, &self.job.storage, span).await? {
            self.say(medium::last_words(reason));
            return Err("vma_queue_write: write error - Broken pipe".into());
        }
        let took = self.worker.sim.clock.now() - begun;
        let a_second = |bytes: u64| bytes / u64::try_from(took).unwrap_or(1).max(1);
        let (total, read, wrote) = (
            rendered(written.total, 1),
            rendered(a_second(written.total), 1),
            rendered(a_second(held), 1),
        );
        self.say(format!(
            "100% ({total} of {total}) in {took}s, read: {read}/s, write: {wrote}/s"
        ));
        if written.zero > 0 {
            let percent = written.zero * 100 / written.total.max(1);
            let zero = rendered(written.zero, 2);
            self.say(format!(
                "backup is sparse: {zero} ({percent}%) total zero data"
            ));
        }
        let total = rendered(written.total, 2);
        if took > 0 {
            self.say(format!("transferred {total} in {took} seconds ({read}/s)"));
        } else {
            self.say(format!("transferred {total} in <1 seconds"));
        }
        Ok(())
    }

    /// Undoes what the backup did to the machine, whether it succeeded or not.
    fn clean(&mut self) {
        if self.locked {
            self.worker.sim.lock().unlock_machine(self.vmid);
        }
        if self.suspended {
            self.say("resume vm");
            power::set_state(self.worker, self.vmid, "running");
        }
        let down = {
            let world = self.worker.sim.lock();
            world
                .qemu
                .get(&self.vmid)
                .is_some_and(|guest| guest.run.is_none())
        };
        if self.running && self.mode == "stop" && down {
            self.say("restarting vm");
            if let Err(error) = power::launch(self.worker, self.vmid, Begin::Running) {
                self.worker.log(error);
            }
        }
        let _gone = fs::remove_file(self.target.unfinished()).is_ok();
    }

    fn write_log(&self, error: Option<&String>) {
        let mut lines = self.log.clone();
        if let Some(error) = error {
            let stamp = log_time(self.worker.sim.clock.shown());
            let vmid = self.vmid;
            lines.push(format!(
                "{stamp} ERROR: Backup of VM {vmid} failed - {error}"
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

/// The TPM's state is a device for the backup only.
fn device_name(key: &str) -> String {
    match key {
        "tpmstate0" => "drive-tpmstate0-backup".to_owned(),
        key => format!("drive-{key}"),
    }
}

/// `4.00 GiB`, as `PVE::Format::render_bytes` prints sizes.
fn rendered(bytes: u64, digits: usize) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = (0..4_u32).rev().find(|step| bytes >> (10 * (step + 1)) > 0);
    let step = step.map_or(0, |step| step + 1);
    let unit = units
        .get(usize::try_from(step).unwrap_or_default())
        .unwrap_or(&"B");
    if step == 0 {
        return format!("{bytes} {unit}");
    }
    let scale = 10_u128.pow(u32::try_from(digits).unwrap_or(1));
    let parts = (u128::from(bytes) * scale) >> (10 * step);
    format!("{}.{:0digits$} {unit}", parts / scale, parts % scale)
}
