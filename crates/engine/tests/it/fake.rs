//! A world as small as the jobs need it, with dice for what goes wrong.

mod restored;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use felhom_engine::*;
use felhom_ids::*;

pub(crate) use restored::*;

pub(crate) fn vmid(number: u32) -> Vmid {
    Vmid::new(number).unwrap()
}

pub(crate) fn volid() -> VolumeId {
    "local:backup/vzdump-lxc-9010-2026_11_23-00_19_43.tar.zst"
        .parse()
        .unwrap()
}

pub(crate) fn installation() -> InstallationId {
    "00112233445566778899aabbccddeeff".parse().unwrap()
}

pub(crate) fn job_id() -> JobId {
    "0123456789abcdef".parse().unwrap()
}

pub(crate) fn mount(key: &str, path: &str, source: &str, backup: bool) -> Mount {
    let source = if source.starts_with('/') {
        MountSource::Bind(source.to_owned())
    } else {
        MountSource::Volume(source.parse().unwrap())
    };
    let size = Some("1G".parse().unwrap());
    Mount {
        key: key.into(),
        path: path.into(),
        source,
        backup,
        size,
    }
}

/// A container as in the measured matrix: rootfs, a volume in, a volume out, a bind mount.
pub(crate) fn guest() -> GuestConfig {
    let nic = Nic {
        index: 0,
        name: "eth0".into(),
        bridge: Some("vmbr0".into()),
        hwaddr: Some("BC:24:11:00:00:01".into()),
        ip: Some("dhcp".into()),
        link_down: false,
    };
    let keys = [
        "arch",
        "cores",
        "features",
        "hostname",
        "memory",
        "mp1",
        "mp2",
        "mp3",
        "net0",
        "ostype",
        "rootfs",
        "swap",
        "unprivileged",
    ];
    GuestConfig {
        hostname: Some("demo-guest".into()),
        unprivileged: true,
        features: Some("nesting=1,keyctl=1".into()),
        memory_mib: Some(256),
        nics: vec![nic],
        mounts: vec![
            mount("rootfs", "/", "local-lvm:vm-9010-disk-0", true),
            mount("mp1", "/mnt/mp1", "local-lvm:vm-9010-disk-1", true),
            mount("mp2", "/mnt/mp2", "local-lvm:vm-9010-disk-2", false),
            mount("mp3", "/mnt/mp3", "/srv/media", false),
        ],
        keys: keys.into_iter().map(str::to_owned).collect(),
        ..GuestConfig::default()
    }
}

pub(crate) fn storage(id: &str, content: &str) -> StorageFacts {
    StorageFacts {
        id: id.parse().unwrap(),
        kind: "dir".into(),
        active: true,
        content: BTreeSet::from([content.to_owned()]),
        total: 20 << 30,
        avail: 15 << 30,
        retention: Retention::KeepAll,
        max_protected: None,
        thin_pool: None,
        sparse: false,
        preallocates: false,
    }
}

pub(crate) fn node() -> NodeFacts {
    NodeFacts {
        cluster_nodes: 1,
        memory_available: 4 << 30,
        root_avail: 10 << 30,
        root_total: 20 << 30,
        vzdump_running: None,
        now_s: None,
        uptime_s: Some(500_000),
    }
}

pub(crate) fn policy() -> RestoreTestPolicy {
    RestoreTestPolicy {
        first_vmid: vmid(9100),
        last_vmid: vmid(9199),
        pool: "felhom-scratch".parse().unwrap(),
        bridge: "vmbr9".parse().unwrap(),
        target: "local-lvm".parse().unwrap(),
        memory_mib: 512,
        cores: 1,
        evidence: EvidenceLevel::Booted,
        stable_for: Duration::from_secs(2),
        evidence_timeout: Duration::from_secs(30),
        floors: Floors {
            storage_percent: 10,
            metadata_percent: 10,
            root_bytes: 1 << 30,
            memory_bytes: 512 << 20,
        },
        wait_limit: Duration::from_mins(1),
        no_progress: Duration::from_mins(1),
        settle: Duration::from_secs(20),
    }
}

pub(crate) fn backup_policy() -> BackupPolicy {
    BackupPolicy {
        storage: "local".parse().unwrap(),
        mode: BackupMode::Snapshot,
        wait_limit: Duration::from_mins(1),
        lockwait_min: 1,
        no_progress: Duration::from_mins(1),
        settle: Duration::from_secs(20),
        storage_floor: 1 << 30,
    }
}

pub(crate) fn test_job() -> Job {
    let request = RestoreTestRequest {
        volid: volid(),
        installation: installation(),
        job: job_id(),
        nonce: 4711,
        policy: policy(),
        leased: vec![],
        content_bytes: None,
    };
    Job {
        id: job_id(),
        created: Timestamp::from_secs(0),
        kind: JobKind::RestoreTest(Box::new(RestoreTestJob::new(request))),
    }
}

pub(crate) fn backup_job() -> Job {
    backup_job_of(|_| {})
}

pub(crate) fn backup_job_of(change: impl FnOnce(&mut BackupRequest)) -> Job {
    let mark = Mark {
        installation: installation(),
        job: job_id(),
        vmid: vmid(9010),
    };
    let mut request = BackupRequest {
        vmid: vmid(9010),
        mark,
        policy: backup_policy(),
        volumes: None,
        former: None,
    };
    change(&mut request);
    Job {
        id: job_id(),
        created: Timestamp::from_secs(0),
        kind: JobKind::Backup(Box::new(BackupJob::new(request))),
    }
}

/// What can go wrong with one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// A look fails, a request never leaves.
    Unreachable,
    /// The request is carried out and its answer is lost.
    LostAfter,
    /// The request is lost on the way.
    LostBefore,
    /// A task fails.
    TaskFails,
    /// A task ends without a verdict, its work half done.
    TaskUndetermined,
    /// A guard trips.
    Trips,
    /// The server refuses.
    Refused,
    /// Somebody else puts a guest of theirs under the scratch VMID, or changes the mark on ours.
    Hijacked,
}

pub(crate) const TROUBLES: [Trouble; 9] = [
    Trouble::None,
    Trouble::Unreachable,
    Trouble::LostAfter,
    Trouble::LostBefore,
    Trouble::TaskFails,
    Trouble::TaskUndetermined,
    Trouble::Trips,
    Trouble::Refused,
    Trouble::Hijacked,
];

#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    pub(crate) config: GuestConfig,
    pub(crate) running: bool,
    pub(crate) foreign: bool,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) scratch: Option<Scratch>,
    /// The guest that a restore made, to stay.
    pub(crate) restored: Option<Restored>,
    pub(crate) notes: String,
    pub(crate) archives: Vec<VolumeId>,
    pub(crate) tasks: Vec<(Upid, TaskVerdict)>,
    /// How often each mutation took effect.
    pub(crate) effects: BTreeMap<String, u32>,
    /// What was destroyed that was not ours.
    pub(crate) harmed: Vec<String>,
    pub(crate) clock: u32,
}

impl World {
    fn task(&mut self, kind: &str, id: &str, user: &str, verdict: TaskVerdict) -> Upid {
        self.clock += 1;
        let upid: Upid = format!(
            "UPID:pve:{0:08X}:{0:08X}:{0:08X}:{kind}:{id}:{user}:",
            self.clock
        )
        .parse()
        .unwrap();
        self.tasks.push((upid.clone(), verdict));
        upid
    }

    /// Carries a mutation out; `verdict` is how its task ends.
    fn carry_out(&mut self, mutation: &Mutation, verdict: &TaskVerdict) -> Option<Upid> {
        *self
            .effects
            .entry(format!("{} {:?}", mutation.name(), mutation.task()))
            .or_default() += 1;
        let works = matches!(verdict, TaskVerdict::Succeeded);
        let half = matches!(verdict, TaskVerdict::Undetermined(_));
        match mutation {
            Mutation::Restore(plan) if works => self.scratch = Some(restored(plan)),
            Mutation::Restore(_) if half => self.scratch = Some(stub("create")),
            Mutation::ReleaseUnfinished { .. } => self.release(),
            Mutation::CreateGolden { vmid, .. } if self.scratch.is_none() => {
                self.scratch = Some(golden(*vmid));
            }
            Mutation::DestroyStub { .. } if half => self.scratch = Some(stub("destroyed")),
            Mutation::DestroyStub { .. } if works => match self.scratch.take() {
                Some(scratch) if scratch.foreign || !scratch.config.keys.is_empty() => {
                    self.harmed
                        .push("destroyed with all that bears its number".into());
                }
                _ => {}
            },
            Mutation::RestoreGuest(_)
            | Mutation::StartRestored(_)
            | Mutation::DestroyRestored(_) => self.carry_out_restore(mutation, works, half),
            Mutation::Start(_) | Mutation::Stop(_) if works => {
                if let Some(scratch) = &mut self.scratch {
                    if scratch.foreign {
                        self.harmed.push(mutation.name().into());
                    }
                    scratch.running = matches!(mutation, Mutation::Start(_));
                }
            }
            Mutation::Destroy(_)
                if works && self.scratch.take().is_some_and(|scratch| scratch.foreign) =>
            {
                self.harmed.push("destroyed".into());
            }
            Mutation::Backup { .. } if works => self.archives.push(volid()),
            Mutation::SetNotes { notes, .. } => self.notes.clone_from(notes),
            _ => {}
        }
        let (kind, id) = mutation.task()?;
        Some(self.task(kind, &id, "felhom@pve!t", verdict.clone()))
    }

    /// The root helper takes the lock from a stub, and does nothing to one that it took it from before.
    fn release(&mut self) {
        if let Some(scratch) = &mut self.scratch {
            if scratch.foreign || scratch.config.keys.iter().any(|key| key != "lock") {
                self.harmed.push("released".into());
            }
            scratch.config.lock = None;
            scratch.config.keys.clear();
        }
    }

    pub(crate) fn hijack(&mut self) {
        let mut config = guest();
        config.description = None;
        self.scratch = Some(Scratch {
            config,
            running: false,
            foreign: true,
        });
    }

    pub(crate) fn perform(&mut self, step: &Step, trouble: Trouble) -> Outcome {
        // Between the look and the request nothing can be done from outside the server; before the look everything must.
        if trouble == Trouble::Hijacked && self.scratch.is_some() && !step.is_mutation() {
            self.hijack();
        }
        if trouble == Trouble::Hijacked
            && !step.is_mutation()
            && let Some(restored) = &mut self.restored
        {
            restored.hijack();
        }
        match step {
            Step::Observe(observe) => self.observe(observe, trouble),
            Step::Mutate(mutation) => self.mutate(mutation, trouble),
            Step::FindTask {
                mutation, known, ..
            } => {
                let wanted = mutation.task().unwrap();
                let fresh = self.tasks.iter().map(|(upid, _)| upid).find(|upid| {
                    upid.kind() == wanted.0 && upid.id() == wanted.1 && !known.contains(*upid)
                });
                Outcome::Found {
                    upid: fresh.cloned(),
                    effect: EffectSeen::No,
                }
            }
            Step::Follow { upid, guard, .. } => {
                if trouble == Trouble::Trips && guard.is_some() {
                    return Outcome::Followed(Followed::Tripped {
                        reason: "the pool is filling".into(),
                    });
                }
                if trouble == Trouble::Unreachable {
                    return unreachable();
                }
                let verdict = self
                    .tasks
                    .iter()
                    .find(|(known, _)| known == upid)
                    .unwrap()
                    .1
                    .clone();
                Outcome::Followed(Followed::Ended {
                    verdict,
                    log: backup_log(),
                    elapsed_ms: 10,
                })
            }
        }
    }

    fn mutate(&mut self, mutation: &Mutation, trouble: Trouble) -> Outcome {
        let text = "simulated".to_owned();
        Outcome::Sent(match trouble {
            Trouble::Unreachable => Sent::NotSent(RemoteError {
                class: ErrorClass::Unreachable,
                text,
            }),
            Trouble::Refused => Sent::Refused(RemoteError {
                class: ErrorClass::Forbidden,
                text,
            }),
            Trouble::LostBefore => Sent::Lost(RemoteError {
                class: ErrorClass::Unreachable,
                text,
            }),
            Trouble::LostAfter => {
                self.carry_out(mutation, &TaskVerdict::Succeeded);
                Sent::Lost(RemoteError {
                    class: ErrorClass::Unreachable,
                    text,
                })
            }
            Trouble::TaskFails
            | Trouble::TaskUndetermined
            | Trouble::None
            | Trouble::Trips
            | Trouble::Hijacked => {
                let verdict = match trouble {
                    Trouble::TaskFails => TaskVerdict::Failed("simulated failure".into()),
                    Trouble::TaskUndetermined => {
                        TaskVerdict::Undetermined("unexpected status".into())
                    }
                    _ => TaskVerdict::Succeeded,
                };
                self.carry_out(mutation, &verdict)
                    .map_or(Sent::Done, Sent::Started)
            }
        })
    }

    fn observe(&mut self, observe: &Observe, trouble: Trouble) -> Outcome {
        if trouble == Trouble::Unreachable {
            return unreachable();
        }
        match observe {
            Observe::BackupSubject { .. } => Outcome::BackupSubject(Box::new(backup_subject())),
            Observe::BackupResult { known, .. } => Outcome::BackupResult(Box::new(BackupResult {
                new_archives: self
                    .archives
                    .iter()
                    .filter(|volid| !known.contains(*volid))
                    .map(archive)
                    .collect(),
                state: running(),
                archived_config: Some(guest()),
                other_backup: None,
            })),
            Observe::ArchiveContent { .. } => Outcome::ArchiveContent(Box::new(content())),
            Observe::TestSubject { .. } => Outcome::TestSubject(Box::new(test_subject())),
            Observe::Scratch { .. } => Outcome::Scratch(Box::new(self.scratch_facts())),
            Observe::Evidence { nonces, .. } => Outcome::Evidence(Box::new(Evidence {
                stable: self.scratch.as_ref().is_some_and(|scratch| scratch.running),
                nonces_seen: nonces.iter().map(|(_, address)| address.clone()).collect(),
                booted_after_ms: Some(5),
                node_uptime_s: Some(1_000_000),
                ..Evidence::default()
            })),
            Observe::RestoreSubject { .. } => Outcome::RestoreSubject(Box::new(RestoreSubject {
                taken: self.restored.is_some(),
                ..restore_subject()
            })),
            Observe::Restored { .. } => Outcome::Restored(Box::new(self.restored_facts())),
            Observe::Archive { .. } => {
                let notes = Some(self.notes.clone());
                Outcome::Archive(Some(Box::new(ArchiveFacts {
                    notes,
                    ..archive(&volid())
                })))
            }
            Observe::Archives { .. } => Outcome::Archives(Box::default()),
            Observe::Snapshots { .. } => Outcome::Snapshots(vec![]),
            // Guards and backup servers have worlds of their own.
            Observe::GuardSubject { .. } | Observe::PbsSnapshots { .. } => unreachable(),
            Observe::Tasks { .. } => {
                Outcome::Tasks(self.tasks.iter().map(|(upid, _)| upid.clone()).collect())
            }
        }
    }

    /// What is listed of a VMID, in the order in which it began.
    pub(crate) fn tasks_of(&self, vmid: &str) -> Vec<TaskFacts> {
        let of_guest = self.tasks.iter().filter(|(upid, _)| upid.id() == vmid);
        let facts = of_guest.map(|(upid, _)| TaskFacts {
            upid: upid.clone(),
            running: false,
            status: None,
        });
        facts.collect()
    }

    fn scratch_facts(&self) -> ScratchFacts {
        let existence = self.scratch.as_ref().map_or(Existence::Absent, |scratch| {
            Existence::Guest(Box::new(scratch.config.clone()))
        });
        ScratchFacts {
            existence,
            state: self.scratch.as_ref().map(|scratch| GuestState {
                running: scratch.running,
                ..GuestState::default()
            }),
            volumes: Some(vec![]),
            tasks: self.tasks_of("9100"),
        }
    }
}

/// A golden container as the root helper makes it.
pub(crate) fn golden(vmid: Vmid) -> Scratch {
    let config = GuestConfig {
        description: Some(format!("felhom: golden container {vmid}")),
        ..guest()
    };
    Scratch {
        config,
        running: false,
        foreign: false,
    }
}

/// What a task that was cut off leaves: nothing but its lock.
pub(crate) fn stub(lock: &str) -> Scratch {
    let config = GuestConfig {
        lock: Some(lock.to_owned()),
        keys: BTreeSet::from(["lock".to_owned()]),
        ..GuestConfig::default()
    };
    Scratch {
        config,
        running: false,
        foreign: false,
    }
}

pub(crate) fn restored(plan: &RestorePlan) -> Scratch {
    let mut config = guest();
    config.description = Some(plan.mark.to_string());
    config.keys.insert("description".into());
    config
        .mounts
        .retain(|mount| plan.mounts.iter().any(|planned| planned.key == mount.key));
    config.keys.retain(|key| key != "mp2" && key != "mp3");
    for (place, mount) in config.mounts.iter_mut().enumerate() {
        let volume = format!("{}:vm-{}-disk-{place}", plan.storage, plan.vmid);
        mount.source = MountSource::Volume(volume.parse().unwrap());
    }
    for nic in &mut config.nics {
        nic.bridge = Some(plan.bridge.to_string());
        nic.link_down = true;
    }
    Scratch {
        config,
        running: false,
        foreign: false,
    }
}

fn unreachable() -> Outcome {
    Outcome::Failed(RemoteError {
        class: ErrorClass::Unreachable,
        text: "simulated".into(),
    })
}

pub(crate) fn running() -> GuestState {
    GuestState {
        running: true,
        pid: Some(1),
        uptime_s: 10,
        lock: None,
        snapshots: vec![],
    }
}

pub(crate) fn archive(volid: &VolumeId) -> ArchiveFacts {
    ArchiveFacts {
        volid: volid.clone(),
        vmid: Some(vmid(9010)),
        size: 1000,
        ctime: 0,
        notes: None,
        protected: false,
        encrypted: None,
    }
}

pub(crate) fn backup_subject() -> BackupSubject {
    BackupSubject {
        excludes: Ok(Vec::new()),
        config: guest(),
        state: running(),
        node: node(),
        storage: Some(storage("local", "backup")),
        known_backups: BTreeSet::new(),
        protected_backups: 0,
        tasks: BTreeSet::new(),
        missing_privileges: vec![],
    }
}

pub(crate) fn test_subject() -> TestSubject {
    TestSubject {
        archive: Some(archive(&volid())),
        archived: guest(),
        config_error: None,
        node: node(),
        target: Some(storage("local-lvm", "rootdir")),
        bridge: Some(BridgeFacts {
            name: "vmbr9".parse().unwrap(),
            ports: vec![],
            addresses: vec![],
        }),
        pool: Some("felhom-scratch".parse().unwrap()),
        free_vmids: vec![vmid(9100)],
        missing_privileges: vec![],
    }
}

pub(crate) fn backup_log() -> Vec<String> {
    [
        "INFO: status = running",
        "INFO: including mount point rootfs ('/') in backup",
        "INFO: including mount point mp1 ('/mnt/mp1') in backup",
        "INFO: excluding volume mount point mp2 ('/mnt/mp2') from backup (disabled)",
        "INFO: excluding bind mount point mp3 ('/mnt/mp3') from backup (not a volume)",
        "INFO: backup mode: snapshot",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect()
}

pub(crate) fn content() -> ArchiveContent {
    let tally = MountTally {
        members: 3,
        bytes: 100,
    };
    ArchiveContent {
        complete: true,
        config_first: true,
        members: 10,
        bytes: 200,
        mounts: BTreeMap::from([("rootfs".to_owned(), tally), ("mp1".to_owned(), tally)]),
        mount_roots: BTreeSet::from(["rootfs".to_owned(), "mp1".to_owned()]),
        ..ArchiveContent::default()
    }
}

/// Drives a job; `trouble(n)` is what happens to its n-th step. Returns the job and how many steps it took.
pub(crate) fn drive(
    mut job: Job,
    world: &mut World,
    mut trouble: impl FnMut(usize, &Step) -> Trouble,
) -> (Job, usize) {
    let mut now = Timestamp::from_secs(1);
    let mut steps = 0;
    for _ in 0..400 {
        match job.next(now) {
            Next::Do(step) => {
                let what = trouble(steps, &step);
                let outcome = world.perform(&step, what);
                steps += 1;
                now = now.plus(Duration::from_millis(50));
                job.record(now, outcome);
                // What goes through the journal is the same job.
                let text = serde_json::to_string(&job).unwrap();
                assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
            }
            Next::Wait { until, .. } => now = until,
            Next::Pause(_) => job.resume(),
            Next::Done => return (job, steps),
        }
    }
    panic!("the job does not end: {job:?}");
}

/// One trouble at the first step of this name.
pub(crate) fn at(name: &'static str, what: Trouble) -> impl FnMut(usize, &Step) -> Trouble {
    let mut spent = false;
    move |_, step| {
        if !spent && step.name() == name {
            spent = true;
            return what;
        }
        Trouble::None
    }
}
