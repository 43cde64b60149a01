//! The table of privileges against what a small box holds: who lacks what, and whether the commands mend it without loss.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::privileges::*;
use felhom_engine::*;

const USER: &str = "a@pve";
const TOKEN: &str = "a@pve!t";

fn setting() -> Setting {
    Setting {
        node: "n".parse().unwrap(),
        guests: BTreeSet::from(["101".parse().unwrap()]),
        backup_storage: "dump".parse().unwrap(),
        target_storage: "thin".parse().unwrap(),
        pool: "scratch".parse().unwrap(),
        bridge: "vmbr9".parse().unwrap(),
        first_scratch: "9100".parse().unwrap(),
        restore_tests: true,
    }
}

fn grant(path: &str, kind: SubjectKind, role: &str, propagate: bool) -> AclGrant {
    let subject = match kind {
        SubjectKind::User => USER,
        SubjectKind::Group => "g",
        SubjectKind::Token => TOKEN,
    };
    AclGrant {
        path: path.into(),
        kind,
        subject: subject.into(),
        role: role.into(),
        propagate,
    }
}

fn role(privileges: &[&str]) -> BTreeSet<String> {
    privileges.iter().map(|one| (*one).to_owned()).collect()
}

fn all() -> BTreeSet<String> {
    let needed = NEEDS
        .iter()
        .flat_map(|need| need.privileges.iter().copied());
    needed.map(str::to_owned).collect()
}

/// Everything is held everywhere, but for one privilege on one path.
fn held(without: Option<(&str, &str)>) -> HeldAt {
    let mut held = HeldAt::new();
    for path in paths_that_matter(&setting()) {
        let privileges = all().into_iter().map(|one| (one, true)).collect();
        held.insert(path, privileges);
    }
    if let Some((path, privilege)) = without {
        held.get_mut(path).unwrap().remove(privilege);
    }
    held
}

fn holder(effective: HeldAt, by_user: Option<HeldAt>) -> Holder {
    Holder {
        principal: Principal::Agent,
        both: true,
        user: USER.into(),
        token: TOKEN.into(),
        separated: Some(true),
        effective,
        by_user,
    }
}

fn rules(acl: Option<Vec<AclGrant>>) -> Rules {
    let roles = [
        ("Whole", all()),
        ("Backup", role(&["VM.Backup"])),
        ("NoAccess", role(&[])),
    ];
    Rules {
        roles: roles.map(|(name, set)| (name.to_owned(), set)).into(),
        acl,
    }
}

#[test]
fn every_privilege_of_the_table_is_missed_where_it_is_missing() {
    let setting = setting();
    let whole = holder(held(None), Some(held(None)));
    assert_eq!(assess(&setting, &[whole], &rules(Some(vec![]))), []);
    for need in NEEDS.iter().filter(|need| !need.any) {
        for (path, grant) in need.place.paths(&setting) {
            for privilege in need.privileges {
                let effective = held(Some((&path, privilege)));
                let one = holder(effective.clone(), Some(effective));
                let lacks = assess(&setting, &[one], &rules(None));
                let found = lacks.iter().find(|lack| {
                    lack.path == grant
                        && lack.privileges.contains_key(*privilege)
                        && lack
                            .operations
                            .contains_key(&(need.operation, need.purpose.command()))
                });
                let lack = found.unwrap_or_else(|| panic!("{need:?}: {lacks:?}"));
                assert!(lack.effect <= need.effect);
                assert!(!lack.mend.is_empty());
            }
        }
    }
}

#[test]
fn one_of_several_is_enough() {
    let path = "/sdn/zones/localnetwork/vmbr9";
    let mut one = holder(held(Some((path, "SDN.Audit"))), Some(held(None)));
    one.both = false;
    assert_eq!(assess(&setting(), &[one.clone()], &rules(None)), []);
    one.effective.get_mut(path).unwrap().remove("SDN.Use");
    let lacks = assess(&setting(), &[one], &rules(None));
    assert_eq!(lacks.len(), 1);
    assert_eq!(lacks[0].privileges.len(), 1);
}

#[test]
fn the_mending_role_repeats_what_each_side_inherits() {
    let path = "/vms/101";
    let acl = vec![
        grant("/", SubjectKind::User, "Whole", true),
        grant("/", SubjectKind::Token, "Whole", true),
        grant(path, SubjectKind::Token, "Backup", false),
    ];
    let mut effective = held(None);
    effective.insert(path.into(), BTreeMap::from([("VM.Backup".into(), false)]));
    let one = holder(effective, Some(held(None)));
    let lacks = assess(&setting(), &[one], &rules(Some(acl)));
    assert_eq!(lacks.len(), 1, "{lacks:?}");
    let sides: BTreeSet<_> = lacks[0].privileges.values().flatten().copied().collect();
    assert_eq!(sides, [Side::Token].into());
    // The token's grant on the guest does not hold below, where the whole role is inherited: that must go on.
    let list: Vec<String> = all().into_iter().collect();
    let role = "FelhomMend-agent-vms-101-token";
    assert_eq!(
        lacks[0].mend,
        [
            format!("pveum role add {role} --privs '{}'", list.join(" ")),
            format!("pveum acl modify {path} --tokens '{TOKEN}' --roles {role}"),
        ]
    );
    // With a guest its grants go, and nothing that lives is worse off.
    let gone = findings(&lacks, &BTreeSet::from(["101".parse().unwrap()]));
    assert_eq!(gone[0].code, "gone-guest-unseen");
    assert_eq!(gone[0].severity, Severity::Notice);
    let told = findings(&lacks, &BTreeSet::from(["102".parse().unwrap()]));
    assert_eq!(told[0].code, "privilege-missing");
    assert!(
        told[0].detail.contains("the token lacks VM.Audit"),
        "{told:?}"
    );
}

#[test]
fn a_bar_is_lifted_before_anything_is_granted() {
    let path = "/storage/dump";
    let acl = vec![
        grant("/", SubjectKind::User, "Whole", true),
        grant("/", SubjectKind::Token, "Whole", true),
        grant(path, SubjectKind::User, "NoAccess", true),
    ];
    let mut nothing = held(None);
    nothing.insert(path.into(), BTreeMap::new());
    let one = holder(nothing.clone(), Some(nothing));
    let lacks = assess(&setting(), &[one], &rules(Some(acl)));
    let lift = format!("pveum acl delete {path} --users {USER} --roles NoAccess");
    assert_eq!(lacks[0].mend.first(), Some(&lift), "{lacks:?}");
    assert!(!lacks[0].mend.iter().any(|line| line.contains("--tokens")));
}

#[test]
fn unseen_grants_make_both_sides_suspect_and_both_are_mended() {
    let one = holder(held(Some(("/vms/101", "VM.Backup"))), None);
    let lacks = assess(&setting(), &[one], &rules(None));
    let sides: BTreeSet<_> = lacks[0].privileges.values().flatten().copied().collect();
    assert_eq!(sides, [Side::Unknown].into());
    let whom = format!("--users {USER} --tokens '{TOKEN}'");
    assert!(lacks[0].mend[1].contains(&whom), "{lacks:?}");
}

#[test]
fn a_whole_token_and_a_root_token_need_no_grant_on_the_other_side() {
    let lacking = held(Some(("/vms/101", "VM.Backup")));
    let mut whole = holder(lacking.clone(), Some(lacking.clone()));
    whole.separated = Some(false);
    let lacks = assess(&setting(), &[whole.clone()], &rules(Some(vec![])));
    assert!(!lacks[0].mend.join(" ").contains("--tokens"), "{lacks:?}");
    assert!(
        excess(&setting(), &[whole])
            .iter()
            .any(|one| one.code == "token-not-separated")
    );

    let mut root = holder(lacking.clone(), Some(lacking));
    (root.user, root.token) = ("root@pam".into(), "root@pam!t".into());
    let lacks = assess(&setting(), &[root.clone()], &rules(Some(vec![])));
    assert!(!lacks[0].mend.join(" ").contains("--users"), "{lacks:?}");
    assert!(
        excess(&setting(), &[root])
            .iter()
            .any(|one| one.code == "root-token")
    );
}

#[test]
fn what_is_needed_is_no_excess_and_looking_never_is() {
    let mut one = holder(held(None), Some(held(None)));
    one.effective
        .get_mut("/")
        .unwrap()
        .insert("Mapping.Audit".into(), true);
    assert_eq!(excess(&setting(), &[one.clone()]), []);
    let at = one.effective.get_mut("/").unwrap();
    at.extend(["Permissions.Modify", "VM.Migrate"].map(|name| (name.to_owned(), true)));
    let codes: Vec<_> = excess(&setting(), &[one])
        .into_iter()
        .map(|one| one.code)
        .collect();
    assert_eq!(codes, ["excess-dangerous", "excess-privileges"]);
}

fn storage_health(id: &str, content: &'static str) -> StorageHealth {
    StorageHealth {
        id: id.parse().unwrap(),
        purpose: "backups",
        content,
        seen: Some(StorageSeen {
            active: true,
            fits: true,
            retention: Retention::KeepAll,
        }),
        silent: None,
        absence_told: false,
    }
}

#[test]
fn health_tells_what_it_sees() {
    let storage = storage_health;
    let well = Health {
        nodes: 1,
        insecure: false,
        storages: vec![storage("dump", "backup")],
        bridge: ("vmbr9".parse().unwrap(), BridgeHealth::Isolated),
        pool: ("scratch".parse().unwrap(), Some(true)),
        foreign_scratch: vec![],
        clock_ahead_s: Some(-29),
        jobs_over_scratch: vec![],
        pin_left_s: Some(100 * 24 * 3600),
    };
    assert_eq!(health(&well), []);
    let mut pruned = storage("usb", "backup");
    pruned.seen.as_mut().unwrap().retention = Retention::Limited;
    let mut gone = storage("thin", "rootdir");
    gone.seen = None;
    let ill = Health {
        nodes: 2,
        insecure: true,
        storages: vec![pruned, gone],
        bridge: ("vmbr9".parse().unwrap(), BridgeHealth::Connected),
        pool: ("scratch".parse().unwrap(), Some(false)),
        foreign_scratch: vec!["9107".parse().unwrap()],
        clock_ahead_s: Some(31),
        jobs_over_scratch: vec![JobOverScratch {
            id: "nightly".into(),
            covers: "all guests".into(),
            schedule: Some("02:00".into()),
        }],
        pin_left_s: Some(20 * 24 * 3600),
    };
    // What the storages' own findings tell is not told twice; what does not answer is neither there nor gone.
    let mut vanished = storage("nas", "backup");
    (vanished.seen, vanished.absence_told) = (None, true);
    let mut dead = storage("nfs", "backup");
    dead.silent = Some("it did not answer within 15 s".into());
    let both = Health {
        storages: vec![vanished, dead],
        ..well.clone()
    };
    let found = health(&both);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].subject, "storage nfs");
    assert!(found[0].detail.ends_with("it did not answer within 15 s"));
    let codes: Vec<_> = health(&ill).into_iter().map(|one| one.code).collect();
    let expected = [
        "cluster-unsupported",
        "insecure-tls",
        "retention-prunes",
        "storage-unusable",
        "bridge-not-isolated",
        "pool-missing",
        "scratch-foreign",
        "clock-off",
        "job-archives-scratch",
        "certificate-expires",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn nothing_dangerous_is_left_out_of_what_a_secret_opens() {
    let inventory = Inventory {
        guests: ["101".parse().unwrap()].into(),
        archives: vec![ArchiveSeen {
            storage: "dump".parse().unwrap(),
            guest: Some("101".parse().unwrap()),
            size: 7,
            protected: true,
        }],
        disks: [("thin".parse().unwrap(), 2)].into(),
    };
    let holding = |privileges: &[&str]| -> HeldAt {
        let at = |path: String| {
            let all = privileges.iter().map(|one| ((*one).to_owned(), true));
            (path, all.collect())
        };
        let paths = inventory.paths(&"pve".parse().unwrap());
        paths.into_iter().map(at).collect()
    };
    assert_eq!(reach(&holding(&["VM.Audit", "Sys.Audit"]), &inventory), []);
    for privilege in [
        "VM.Allocate",
        "VM.PowerMgmt",
        "VM.Console",
        "VM.Config.Disk",
        "VM.Snapshot",
        "VM.GuestAgent.Unrestricted",
        "VM.GuestAgent.FileWrite",
        "Datastore.Allocate",
        "Permissions.Modify",
        "User.Modify",
        "Sys.Modify",
        "Sys.PowerMgmt",
    ] {
        let found = reach(&holding(&[privilege]), &inventory);
        let told: Vec<_> = found
            .iter()
            .filter(|one| one.by.contains(&privilege))
            .collect();
        assert_eq!(told.len(), 1, "{privilege}: {found:?}");
    }
    let both = reach(
        &holding(&["VM.Backup", "Datastore.AllocateSpace"]),
        &inventory,
    );
    let deeds: Vec<_> = both.iter().map(|one| (one.deed, one.count)).collect();
    let over = "restore over guests while they are stopped";
    assert_eq!(deeds, [("delete backups", 1), (over, 1)]);
    assert_eq!(reach(&holding(&["VM.Backup"]), &inventory), []);
}
