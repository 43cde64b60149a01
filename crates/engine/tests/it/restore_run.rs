//! Restores that stay: what the plan says, what is refused, what is compared, and what a failed one leaves.

mod broken;
mod machine;
mod refused;
mod told;

use felhom_engine::*;
use felhom_ids::GuestKind;

use crate::fake::*;

fn plan(request: &RestoreRunRequest, subject: &RestoreSubject) -> RestoreRunPlan {
    plan_restore_run(request, subject)
}

fn report_of(job: &Job) -> &RestoreRunReport {
    let JobKind::RestoreRun(restore) = &job.kind else {
        unreachable!()
    };
    restore.report().unwrap()
}

#[test]
fn the_plan_names_what_comes_back_what_is_empty_and_what_is_missing() {
    let plan = plan(&restore_request(), &restore_subject());
    assert_eq!(plan.refused, vec![]);
    let volumes: Vec<_> = plan
        .volumes
        .iter()
        .map(|one| (one.key.as_str(), one.options.as_str(), one.filled))
        .collect();
    assert_eq!(
        volumes,
        [
            ("rootfs", "", true),
            ("mp1", "mp=/mnt/mp1,backup=1", true),
            ("mp2", "mp=/mnt/mp2,backup=0", false),
        ]
    );
    assert_eq!(plan.missing.len(), 1);
    assert_eq!(
        plan.commands(),
        ["pct set 9020 --mp3 /srv/media,mp=/mnt/mp3"]
    );
    assert_eq!(
        plan.set["net0"],
        "name=eth0,bridge=vmbr0,firewall=1,ip=dhcp,newkey=x,type=veth"
    );
    assert_eq!(plan.former_macs, ["BC:24:11:00:00:01"]);
    assert_eq!(plan.set["hostname"], "demo-guest-restored");
    assert_eq!((&*plan.set["onboot"], &*plan.set["protection"]), ("0", "0"));
    assert_eq!(plan.carried["tags"], "prod");
    assert_eq!(plan.carried["features"], "nesting=1,keyctl=1");
    assert!(!plan.carried.keys().any(|key| key.starts_with("mp")));
}

#[test]
fn a_kept_identity_keeps_interfaces_name_and_start() {
    let request = RestoreRunRequest {
        identity: Identity::Keep,
        ..restore_request()
    };
    let subject = RestoreSubject {
        original: Original::Gone,
        ..restore_subject()
    };
    let plan = plan(&request, &subject);
    assert_eq!(plan.refused, vec![]);
    assert_eq!(plan.set["net0"], subject.archived.values["net0"]);
    assert_eq!(plan.carried["hostname"], "demo-guest");
    assert_eq!(plan.carried["onboot"], "1");
    assert_eq!(plan.former_macs, Vec::<String>::new());
}

#[test]
fn a_host_name_gains_its_suffix_in_the_first_part_and_stays_short() {
    let long = "x".repeat(63);
    let name = |old: Option<&str>| {
        let mut subject = restore_subject();
        subject.archived.config.hostname = old.map(str::to_owned);
        plan(&restore_request(), &subject).set["hostname"].clone()
    };
    assert_eq!(name(Some("web.example.org")), "web-restored.example.org");
    assert_eq!(name(Some(&long)).len(), 63);
    assert_eq!(name(None), "CT9010-restored");
}

#[test]
fn the_description_keeps_its_text_and_carries_one_mark() {
    let mut subject = restore_subject();
    let first = plan(&restore_request(), &subject);
    let text = format!("my notes\n\n{}", first.set["description"]);
    subject.archived.config.description = Some(text);
    let request = RestoreRunRequest {
        job: JobId::from_bits(99),
        ..restore_request()
    };
    let second = plan(&request, &subject);
    let text = &second.set["description"];
    assert!(text.starts_with("my notes\n\nrestored from local:backup/"));
    assert_eq!(Mark::find(text), Some(second.mark));
}

#[test]
fn a_link_that_shall_be_down_is_and_addresses_are_told() {
    let mut subject = restore_subject();
    let net = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=192.0.2.7/24,ip6=auto";
    subject.archived.values.insert("net0".into(), net.into());
    let mut request = RestoreRunRequest {
        start: true,
        ..restore_request()
    };
    let up = plan(&request, &subject);
    assert!(
        up.clashes
            .iter()
            .any(|line| line.contains("192.0.2.7/24: it clashes while the original runs"))
    );
    assert!(
        up.refused[0].what.contains("fixed address"),
        "{:?}",
        up.refused
    );
    request.link_down = true;
    let down = plan(&request, &subject);
    assert_eq!(down.refused, vec![]);
    assert!(down.set["net0"].ends_with("link_down=1"));
}

#[test]
fn what_a_token_drops_is_told_with_the_line_that_brings_it_back() {
    let mut subject = restore_subject();
    let raw = ("lxc.cap.drop".to_owned(), "sys_time mknod".to_owned());
    subject.archived.raw_lxc = vec![raw];
    let unused = ("unused0".to_owned(), "local-lvm:vm-9010-disk-9".to_owned());
    subject.archived.values.extend([unused]);
    let request = RestoreRunRequest {
        without_empty: true,
        ..restore_request()
    };
    let plan = plan(&request, &subject);
    assert_eq!(plan.refused, vec![]);
    let missing: Vec<_> = plan.missing.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(missing, ["mp2", "mp3", "unused0", "lxc.cap.drop"]);
    assert_eq!(
        plan.commands(),
        [
            "pct set 9020 --mp2 local-lvm:1,mp=/mnt/mp2,backup=0",
            "pct set 9020 --mp3 /srv/media,mp=/mnt/mp3",
            "echo 'lxc.cap.drop: sys_time mknod' >> /etc/pve/lxc/9020.conf",
        ]
    );
}

#[test]
fn a_kept_identity_is_let_beside_an_original_that_is_stopped_for_good() {
    let request = RestoreRunRequest {
        identity: Identity::Keep,
        ..restore_request()
    };
    let subject = RestoreSubject {
        original: Original::Guest {
            kind: GuestKind::Lxc,
            running: false,
            onboot: false,
        },
        ..restore_subject()
    };
    let plan = plan(&request, &subject);
    assert_eq!(plan.refused, vec![]);
    assert!(
        plan.clashes
            .iter()
            .any(|line| line.contains("never start both"))
    );
}

#[test]
fn a_role_for_the_occasion_holds_what_is_held_there_already() {
    let mut subject = restore_subject();
    let held = ["VM.Audit", "VM.Backup"].map(str::to_owned);
    subject.rights.insert("/vms/9020".into(), held.into());
    let plan = plan(&restore_request(), &subject);
    let [lacking] = plan.lacking.as_slice() else {
        panic!("{:?}", plan.lacking)
    };
    assert!(!lacking.missing.contains(&"VM.Audit".to_owned()));
    for privilege in ["VM.Audit", "VM.Backup", "VM.Allocate"] {
        assert!(lacking.grant.contains(&privilege.to_owned()), "{privilege}");
    }
}

#[test]
fn a_thick_storage_must_hold_the_whole_and_all_are_watched() {
    let mut subject = restore_subject();
    subject.storages[0].kind = "lvm".into();
    let request = RestoreRunRequest {
        content_bytes: Some(1 << 20),
        golden: false,
        ..restore_request()
    };
    assert_eq!(plan(&request, &subject).space[0].needed, 3 << 30);
    subject.storages[0].kind = "dir".into();
    assert!(plan(&request, &subject).space[0].needed < 200 << 20);
    subject.storages[0].preallocates = true;
    assert_eq!(plan(&request, &subject).space[0].needed, 3 << 30);
    // A container's file system on ZFS has a quota and no reservation.
    subject.storages[0].preallocates = false;
    subject.storages[0].kind = "zfspool".into();
    assert!(plan(&request, &subject).space[0].needed < 200 << 20);
}

#[test]
fn a_restore_that_is_as_planned_stays_and_is_started_on_demand() {
    for start in [false, true] {
        let mut world = World::default();
        let request = RestoreRunRequest {
            start,
            ..restore_request()
        };
        let (job, _) = drive(restore_job(request), &mut world, |_, _| Trouble::None);
        let report = report_of(&job);
        assert_eq!(report.end, RestoreEnd::Restored, "{:?}", report.reasons);
        assert_eq!(report.findings, vec![]);
        assert_eq!(report.started, start);
        assert_eq!(world.restored.unwrap().running, start);
    }
}

/// The guest is made as planned, then something in it is changed before it is read again.
fn changed(change: impl FnOnce(&mut WrittenConfig)) -> (Job, World) {
    let mut world = World::default();
    let mut change = Some(change);
    let request = RestoreRunRequest {
        start: true,
        ..restore_request()
    };
    let mut job = restore_job(request);
    let mut now = Timestamp::from_secs(1);
    loop {
        match job.next(now) {
            Next::Do(step) => {
                if step.name() == "observe-restored"
                    && let Some(change) = change.take()
                {
                    change(&mut world.restored.as_mut().unwrap().written);
                }
                let outcome = world.perform(&step, Trouble::None);
                job.record(now, outcome);
            }
            Next::Wait { until, .. } => now = until,
            Next::Pause(error) => panic!("{error}"),
            Next::Done => return (job, world),
        }
    }
}

#[test]
fn whatever_is_not_as_planned_is_told_and_neither_started_nor_destroyed() {
    type Change = fn(&mut WrittenConfig);
    let set = |key: &'static str, value: &'static str| (key, value);
    let values = [
        set(
            "net0",
            "name=eth0,bridge=vmbr1,firewall=1,ip=dhcp,newkey=x,hwaddr=BC:24:11:FF:FF:01",
        ),
        set(
            "net0",
            "name=eth0,bridge=vmbr0,firewall=1,ip=dhcp,newkey=x,hwaddr=bc:24:11:00:00:01",
        ),
        set("net0", "name=eth0,bridge=vmbr0,firewall=1,ip=dhcp,newkey=x"),
        set(
            "net0",
            "name=eth0,bridge=vmbr0,firewall=1,ip=dhcp,hwaddr=BC:24:11:FF:FF:01",
        ),
        set("features", "nesting=1"),
        set("onboot", "1"),
        set("hostname", "demo-guest"),
        set("memory", "512"),
        set("hookscript", "local:snippets/x"),
        set(
            "mp1",
            "local-lvm:vm-9020-disk-1,mp=/mnt/mp1,backup=0,size=1G",
        ),
    ];
    for (key, value) in values {
        let (job, world) = changed(|written| {
            written.values.insert(key.into(), value.into());
        });
        told(&job, &world, key);
    }
    let structural: [(&str, Change); 4] = [
        ("tags", |written| drop(written.values.remove("tags"))),
        ("mp1", |written| {
            written.config.mounts.retain(|one| one.key != "mp1");
        }),
        ("mp2", |written| {
            let old: MountSource = MountSource::Volume("local-lvm:vm-9010-disk-2".parse().unwrap());
            written.config.mounts[2].source = old;
        }),
        ("lxc.mount.entry", |written| {
            written.raw_lxc = vec![("lxc.mount.entry".into(), "x".into())];
        }),
    ];
    for (key, change) in structural {
        let (job, world) = changed(change);
        told(&job, &world, key);
    }
}

fn told(job: &Job, world: &World, key: &str) {
    let report = report_of(job);
    assert_eq!(report.end, RestoreEnd::Differs, "{key}");
    assert!(
        report.reasons.iter().any(|one| one.contains(key)),
        "{key}: {:?}",
        report.reasons
    );
    let codes: Vec<_> = report
        .findings
        .iter()
        .map(|one| one.code.as_str())
        .collect();
    assert_eq!(codes, ["restore-differs"]);
    assert!(!world.restored.as_ref().unwrap().running, "{key}");
    assert!(
        !world.effects.keys().any(|one| one.starts_with("destroy")),
        "{key}"
    );
}

#[test]
fn switches_and_addresses_in_another_writing_are_as_planned() {
    let (job, world) = changed(|written| {
        let net =
            "bridge=vmbr0,firewall=1,hwaddr=BC:24:11:FF:FF:01,ip=dhcp,name=eth0,newkey=x,type=veth";
        written.values.insert("net0".into(), net.into());
        written.values.remove("protection");
        let text = format!("{}\n", written.values["description"]);
        written.values.insert("description".into(), text);
    });
    assert_eq!(
        report_of(&job).end,
        RestoreEnd::Restored,
        "{:?}",
        report_of(&job).reasons
    );
    assert!(world.restored.unwrap().running);
}
