//! A guest that a restore makes to stay, and what it is made from.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::*;
use felhom_ids::GuestKind;

use super::*;

#[derive(Debug, Clone)]
pub(crate) struct Restored {
    pub(crate) written: WrittenConfig,
    pub(crate) running: bool,
    pub(crate) foreign: bool,
}

impl Restored {
    /// As PVE makes it: what is set, what is carried over, and volumes that bear the VMID.
    pub(crate) fn of(plan: &RestoreRunPlan) -> Self {
        let mut values: BTreeMap<String, String> = plan
            .set
            .iter()
            .chain(&plan.carried)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        for (key, value) in &mut values {
            if key.starts_with("net") && !value.contains("hwaddr=") {
                value.push_str(",hwaddr=BC:24:11:FF:FF:01");
            }
        }
        let mut mounts = Vec::new();
        for (place, volume) in plan.volumes.iter().enumerate() {
            let id = format!("{}:vm-{}-disk-{place}", volume.storage, plan.vmid);
            let text = format!("{id},{},size={}", volume.options, volume.size);
            values.insert(volume.key.clone(), text);
            mounts.push(Mount {
                size: Some(volume.size),
                ..mount(&volume.key, &volume.path, &id, volume.filled)
            });
        }
        let mut written = written(&values);
        written.config.mounts = mounts;
        Self {
            written,
            running: false,
            foreign: false,
        }
    }

    /// What is left of a restore that was cut off.
    pub(crate) fn stub() -> Self {
        let values = BTreeMap::from([("lock".to_owned(), "create".to_owned())]);
        Self {
            written: written(&values),
            running: false,
            foreign: false,
        }
    }

    /// Somebody else's guest takes its place.
    pub(crate) fn hijack(&mut self) {
        self.written.values.remove("description");
        self.written.config.description = None;
        self.written.config.lock = None;
        self.written.config.keys.insert("hostname".to_owned());
        self.foreign = true;
    }
}

/// A configuration of these values; its mounts are not read.
fn written(values: &BTreeMap<String, String>) -> WrittenConfig {
    let on = |key: &str| values.get(key).is_some_and(|value| value == "1");
    WrittenConfig {
        config: GuestConfig {
            hostname: values.get("hostname").cloned(),
            unprivileged: on("unprivileged"),
            lock: values.get("lock").cloned(),
            description: values.get("description").cloned(),
            onboot: on("onboot"),
            protection: on("protection"),
            memory_mib: Some(256),
            keys: values.keys().cloned().collect(),
            ..GuestConfig::default()
        },
        values: values.clone(),
        raw_lxc: vec![],
    }
}

/// The configuration of [`guest`] as it is written in its archive.
pub(crate) fn archived() -> WrittenConfig {
    let values = [
        ("arch", "amd64"),
        ("cores", "1"),
        ("features", "nesting=1,keyctl=1"),
        ("hostname", "demo-guest"),
        ("memory", "256"),
        (
            "mp1",
            "local-lvm:vm-9010-disk-1,mp=/mnt/mp1,backup=1,size=1G",
        ),
        ("mp2", "local-lvm:vm-9010-disk-2,mp=/mnt/mp2,size=1G"),
        ("mp3", "/srv/media,mp=/mnt/mp3"),
        (
            "net0",
            "name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:01,ip=dhcp,newkey=x,type=veth",
        ),
        ("onboot", "1"),
        ("ostype", "debian"),
        ("rootfs", "local-lvm:vm-9010-disk-0,size=1G"),
        ("swap", "0"),
        ("tags", "prod"),
        ("unprivileged", "1"),
    ];
    let values = values.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut archived = written(&values.into());
    archived.config.mounts = guest().mounts;
    archived
}

pub(crate) fn restore_subject() -> RestoreSubject {
    let archived = archived();
    let storages = vec![storage("local-lvm", "rootdir"), storage("local", "backup")];
    let all = [
        "VM.Allocate",
        "VM.Audit",
        "VM.Backup",
        "VM.Config.Disk",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.PowerMgmt",
        "Datastore.AllocateSpace",
        "Datastore.Audit",
        "SDN.Use",
    ]
    .map(str::to_owned);
    let paths = restore_paths(&volid(), vmid(9020), &archived, &storages);
    RestoreSubject {
        archive: Some(archive(&volid())),
        archived,
        config_error: None,
        node: node(),
        storages,
        bridges: Some(BTreeSet::from(["vmbr0".to_owned()])),
        original: Original::Guest {
            kind: GuestKind::Lxc,
            running: true,
            onboot: true,
        },
        taken: false,
        volumes: BTreeMap::from([("local-lvm".parse().unwrap(), Some(BTreeSet::new()))]),
        rights: paths
            .into_iter()
            .map(|path| (path, all.clone().into()))
            .collect(),
    }
}

pub(crate) fn restore_request() -> RestoreRunRequest {
    RestoreRunRequest {
        volid: volid(),
        to: vmid(9020),
        identity: Identity::Fresh,
        hostname: None,
        storage: None,
        without_empty: false,
        link_down: false,
        start: false,
        installation: installation(),
        job: job_id(),
        policy: RestoreRunPolicy::from(&policy()),
        content_bytes: None,
        golden: false,
    }
}

pub(crate) fn restore_job(request: RestoreRunRequest) -> Job {
    Job {
        id: job_id(),
        created: Timestamp::from_secs(0),
        kind: JobKind::RestoreRun(Box::new(RestoreRunJob::new(request))),
    }
}

impl World {
    /// Carries a mutation of a restore out; `half` is a task that was cut off.
    pub(super) fn carry_out_restore(&mut self, mutation: &Mutation, works: bool, half: bool) {
        match mutation {
            Mutation::RestoreGuest(plan) if works => self.restored = Some(Restored::of(plan)),
            Mutation::RestoreGuest(_) if half => self.restored = Some(Restored::stub()),
            Mutation::StartRestored(_) if works => {
                if let Some(restored) = &mut self.restored {
                    if restored.foreign {
                        self.harmed.push("started".into());
                    }
                    restored.running = true;
                }
            }
            Mutation::DestroyRestored(_) if works => {
                let gone = self.restored.take();
                if gone.is_some_and(|guest| guest.foreign || guest.running) {
                    self.harmed.push("destroyed".into());
                }
            }
            _ => {}
        }
    }

    pub(crate) fn restored_facts(&self) -> RestoredFacts {
        let guest = self.restored.as_ref();
        let guest_facts = ScratchFacts {
            existence: guest.map_or(Existence::Absent, |guest| {
                Existence::Guest(Box::new(guest.written.config.clone()))
            }),
            state: guest.map(|guest| GuestState {
                running: guest.running,
                ..GuestState::default()
            }),
            volumes: Some(if guest.is_some() {
                vec!["local-lvm:vm-9020-disk-0".parse().unwrap()]
            } else {
                vec![]
            }),
            tasks: self.tasks_of("9020"),
        };
        RestoredFacts {
            guest: guest_facts,
            written: guest.map(|guest| guest.written.clone()),
        }
    }
}
