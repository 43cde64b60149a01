//! A container's backup to a backup server, with the lines of the official client.

use std::fs;

use jiff::Timestamp;

use super::Run;
use crate::archive::{self, Compression, Plan, Source};
use crate::pbs::{Remote, SnapshotId};
use crate::workers::vzdump::upload::{self, Upload};
use crate::workers::{blocking, fetch, human, seconds, timing};

/// `Mon Nov 23 15:26:07 2026`
fn ctime(at: i64) -> String {
    let time = Timestamp::from_second(at).unwrap_or_default();
    time.strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// Who says why it failed.
enum Failed {
    /// vzdump itself.
    Here(String),
    /// The official client.
    Client(String),
}

impl Run<'_> {
    pub(super) async fn upload(
        &mut self,
        sources: Vec<Source>,
        remote: &Remote,
        id: &SnapshotId,
    ) -> Result<(), String> {
        self.say(format!(
            "creating Proxmox Backup Server archive '{}'",
            id.dir()
        ));
        self.say("set max number of entries in memory for file-based backups to 1048576");
        let paths: Vec<String> = sources
            .iter()
            .map(|source| format!("/{}", source.prefix))
            .collect();
        let mut plan = self.plan(sources);
        let mut head = std::mem::take(&mut plan.head)
            .into_iter()
            .map(|(_, content)| content);
        let (config, rules) = (
            head.next().unwrap_or_default(),
            head.next().unwrap_or_default(),
        );
        let excludes: Vec<String> = plan
            .excludes
            .iter()
            .map(|glob| format!("/{glob}"))
            .collect();
        let command = upload::command(remote, id, &paths, &excludes, !rules.is_empty());
        self.say(format!("run: {command}"));
        let sent = self.send(plan, (config, rules), remote, id).await;
        match sent {
            Ok(()) => Ok(()),
            Err(Failed::Here(text)) => Err(text),
            // What the client complains of goes to the log; the task fails of the client's exit code.
            Err(Failed::Client(text)) => {
                self.say(format!("Error: {text}"));
                Err(format!("command '{command}' failed: exit code 255"))
            }
        }
    }

    async fn send(
        &mut self,
        plan: Plan,
        texts: (Vec<u8>, Vec<u8>),
        remote: &Remote,
        id: &SnapshotId,
    ) -> Result<(), Failed> {
        let upload = Upload::begin(self.worker, remote, id).map_err(Failed::Client)?;
        let (node, dated) = (
            self.worker.sim.lock().node.name.clone(),
            self.worker.sim.clock.shown(),
        );
        for line in upload::preamble(&upload, &node, &ctime(dated), !texts.1.is_empty()) {
            self.say(line);
        }
        let begun = self.worker.sim.clock.now_f64();
        let path = fetch::temporary(self.worker, "tar").map_err(Failed::Here)?;
        let file = path.clone();
        let written = blocking(move || archive::write(&file, Compression::None, &plan)).await;
        let tar = written.map_err(Failed::Here)?.and_then(|_| fs::read(&path));
        if fs::remove_file(&path).is_err() {
            tracing::debug!("nothing was written for an upload");
        }
        let point = self
            .worker
            .point("vzdump:archive", &self.vmid.to_string())
            .await;
        point.map_err(Failed::Here)?;
        let tar = tar.map_err(|error| Failed::Client(error.to_string()))?;
        let bytes = u64::try_from(tar.len()).unwrap_or_default();
        let span = seconds(timing::transfer(
            timing::ARCHIVE,
            bytes,
            timing::ARCHIVE_RATE,
        ));
        self.worker.sleep(span).await.map_err(Failed::Here)?;
        let took = self.worker.sim.clock.now_f64() - begun;
        let files = upload::container(texts.0, texts.1, &tar, &id.dir(), remote);
        let done = files.and_then(|files| upload.finish(files));
        let (size, new) = done.map_err(Failed::Client)?;
        self.tell(size, new, took);
        Ok(())
    }

    fn tell(&mut self, size: u64, new: u64, took: f64) {
        let (all, fresh) = (human(size), human(new.min(size)));
        self.say(format!(
            "root.pxar: had to backup {fresh} of {all} (compressed {fresh}) in {took:.2} s"
        ));
        let reused = size.saturating_sub(new);
        if reused > 0 {
            let percent = reused * 100 / size.max(1);
            self.say(format!(
                "root.pxar: backup was done incrementally, reused {} ({percent}%)",
                human(reused)
            ));
        }
        self.say("Uploaded backup catalog (1 KiB)");
        self.say(format!("Duration: {took:.2}s"));
        self.say(format!(
            "End Time: {}",
            ctime(self.worker.sim.clock.shown())
        ));
    }
}
