//! Archives where a restore reads them: a file of a directory storage as it lies there; a snapshot of a backup server
//! brought over and put into the form of such a file, which goes when the restore ends.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::archive::Compression;
use crate::pbs::{Remote, SnapshotId, tree};
use crate::tasks::Worker;
use crate::vma;
use crate::workers::restore::locate;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// An archive that can be read.
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    /// As messages name it.
    pub(crate) shown: String,
    pub(crate) remote: Option<(Remote, SnapshotId)>,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.remote.is_some() && fs::remove_file(&self.path).is_err() {
            tracing::debug!(path = %self.path.display(), "nothing was fetched");
        }
    }
}

/// A temporary file of this world.
pub(crate) fn temporary(worker: &Worker, end: &str) -> Result<PathBuf, String> {
    let dir = worker.sim.state_dir.join("tmp");
    fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(dir.join(format!("vzdumptmp{}-{number}.{end}", std::process::id())))
}

impl Fetched {
    /// Finds the archive. Of a snapshot, nothing is brought over yet.
    pub(crate) fn find(worker: &Worker, volid: &str, end: &str) -> Result<Self, String> {
        let storage = volid.split(':').next().unwrap_or_default();
        let (is_pbs, remote) = {
            let world = worker.sim.lock();
            (world.is_pbs(storage), world.pbs_remote(storage))
        };
        if !is_pbs {
            let (path, shown) = locate(worker, volid)?;
            return Ok(Self {
                path,
                shown,
                remote: None,
            });
        }
        let remote = remote?;
        let id = remote
            .snapshot(volid)
            .ok_or_else(|| format!("unable to parse PBS volume name '{volid}'"))?;
        Ok(Self {
            path: temporary(worker, end)?,
            shown: id.dir(),
            remote: Some((remote, id)),
        })
    }

    /// Reads a file of the snapshot; a failure is told as the official client's, with its word in the log.
    fn read(&self, worker: &Worker, name: &str, target: &str) -> Result<Vec<u8>, String> {
        let Some((remote, id)) = &self.remote else {
            return Ok(Vec::new());
        };
        let found = worker
            .sim
            .lock()
            .pbs_read(&worker.sim.state_dir, remote, id, name);
        found.map_err(|text| {
            worker.log(format!("Error: {text}"));
            let short = name.rsplit_once('.').map_or(name, |(short, _)| short);
            remote.failure(&format!("restore {} {short} {target}", id.dir()))
        })
    }

    fn has(&self, worker: &Worker, name: &str) -> bool {
        let world = worker.sim.lock();
        self.remote.as_ref().is_some_and(|(remote, id)| {
            let snapshot = world.pbs_readable(remote, id);
            snapshot.is_ok_and(|snapshot| snapshot.files.iter().any(|file| file.filename == name))
        })
    }

    /// Brings a container's configuration over, as the front of an archive.
    pub(crate) fn container_config(&self, worker: &Worker) -> Result<(), String> {
        if self.remote.is_none() {
            return Ok(());
        }
        let config = self.read(worker, "pct.conf.blob", "-")?;
        let mut members = vec![("./etc/vzdump/pct.conf", config)];
        if self.has(worker, "fw.conf.blob") {
            members.push((
                "./etc/vzdump/pct.fw",
                self.read(worker, "fw.conf.blob", "-")?,
            ));
        }
        let mut front = Vec::new();
        for (name, content) in &members {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(u64::try_from(content.len()).unwrap_or_default());
            let field = header.as_old_mut().name.iter_mut();
            field
                .zip(name.bytes())
                .for_each(|(place, byte)| *place = byte);
            header.set_cksum();
            front.extend(header.as_bytes());
            front.extend(content);
            front.resize(front.len().next_multiple_of(512), 0);
        }
        fs::write(&self.path, front).map_err(|error| error.to_string())
    }

    /// Brings a container's tree over, behind its configuration.
    pub(crate) fn container_tree(&self, worker: &Worker, root: &str) -> Result<(), String> {
        if self.remote.is_none() {
            return Ok(());
        }
        let data = self.read(
            worker,
            "root.pxar.didx",
            &format!("{root} --allow-existing-dirs"),
        )?;
        let append = || {
            let mut file = File::options().append(true).open(&self.path)?;
            file.write_all(tree::unwrap(&data))
        };
        append().map_err(|error| error.to_string())
    }

    /// Brings a machine over as an archive: its configuration, and its drives with their data or without.
    pub(crate) fn machine(&self, worker: &Worker, with_data: bool) -> Result<(), String> {
        let Some((remote, id)) = &self.remote else {
            return Ok(());
        };
        let config = self.read(
            worker,
            "qemu-server.conf.blob",
            "/var/tmp/vzdumptmp3711/qemu-server.conf",
        )?;
        let mut configs = vec![("qemu-server.conf".to_owned(), config)];
        if self.has(worker, "fw.conf.blob") {
            let rules = self.read(worker, "fw.conf.blob", "/var/tmp/vzdumptmp3711/fw.conf")?;
            configs.push(("qemu-server.fw".to_owned(), rules));
        }
        let files = {
            let world = worker.sim.lock();
            world.pbs_readable(remote, id)?.files.clone()
        };
        let mut plan = vma::Plan {
            ctime: id.time,
            configs,
            ..vma::Plan::default()
        };
        for file in files {
            let Some(name) = file.filename.strip_suffix(".img.fidx") else {
                continue;
            };
            let image = temporary(worker, "raw")?;
            if with_data {
                image_of(worker, remote, id, &file.filename, &image)?;
            } else {
                File::create(&image).map_err(|error| error.to_string())?;
            }
            plan.devices.push(vma::Device {
                name: name.to_owned(),
                image,
                size: file.size,
            });
        }
        let written = vma::write(&self.path, Compression::None, &plan);
        for device in &plan.devices {
            fs::remove_file(&device.image).map_err(|error| error.to_string())?;
        }
        written.map(drop).map_err(|error| error.to_string())
    }
}

/// Writes a drive's data, holes left out.
fn image_of(
    worker: &Worker,
    remote: &Remote,
    id: &SnapshotId,
    name: &str,
    image: &std::path::Path,
) -> Result<(), String> {
    let world = worker.sim.lock();
    let pieces = world.pbs_pieces(&worker.sim.state_dir, remote, id, name);
    drop(world);
    let pieces = pieces.inspect_err(|text| worker.log(format!("restore failed: {text}")))?;
    let write = || {
        let mut file = File::create(image)?;
        for (at, piece) in pieces {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&piece)?;
        }
        Ok::<(), std::io::Error>(())
    };
    write().map_err(|error| error.to_string())
}
