//! What a plan says of features, and of what no token can do.

use super::plan;
use crate::fake::*;

#[test]
fn every_feature_is_told_with_what_becomes_of_it() {
    let mut subject = restore_subject();
    let text = "fuse=1,keyctl=1,mount=nfs;cifs,nesting=1";
    let values = &mut subject.archived.values;
    values.insert("features".into(), text.into());
    let planned = plan(&restore_request(), &subject);
    assert_eq!(planned.refused, vec![]);
    let told: Vec<_> = planned
        .features
        .iter()
        .map(|one| {
            (
                &*one.name,
                &*one.value,
                one.comes_back,
                one.token_may_change,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("fuse", "1", true, false),
            ("keyctl", "1", true, false),
            ("mount", "nfs;cifs", true, false),
            ("nesting", "1", true, true),
        ]
    );
    let lines = planned.lines().join("\n");
    for words in [
        "  features:\n    unprivileged, as archived",
        "mount=nfs;cifs comes back as it is; afterwards only root may change it",
        "nesting=1 comes back as it is; a token with VM.Allocate may change it afterwards",
        "changing the features fuse, keyctl, mount afterwards: as root `pct set 9020 --features …`",
    ] {
        assert!(lines.contains(words), "`{words}` is not in\n{lines}");
    }
    // A request that names them is refused, so they come from the archive.
    assert!(!planned.set.contains_key("features"));
    subject.archived.config.unprivileged = false;
    let privileged = plan(&restore_request(), &subject);
    assert!(privileged.features.iter().all(|one| !one.comes_back));
    assert!(
        privileged
            .lines()
            .join("\n")
            .contains("of a privileged container")
    );
}

#[test]
fn what_no_token_can_do_is_told_with_roots_command() {
    let mut subject = restore_subject();
    subject.archived.config.hookscript = Some("local:snippets/x".into());
    subject.archived.config.devices = vec!["dev0".into()];
    let raw = ("lxc.cap.drop".to_owned(), "sys_time".to_owned());
    subject.archived.raw_lxc = vec![raw];
    let planned = plan(&restore_request(), &subject);
    let command = |what: &str| {
        let found = planned.beyond.iter().find(|one| one.what.contains(what));
        let found = found.unwrap_or_else(|| panic!("{what}: {:?}", planned.beyond));
        found.command.clone().unwrap()
    };
    assert_eq!(
        command("`mp3`"),
        "pct set 9020 --mp3 /srv/media,mp=/mnt/mp3"
    );
    assert_eq!(
        command("`lxc.cap.drop`"),
        "echo 'lxc.cap.drop: sys_time' >> /etc/pve/lxc/9020.conf"
    );
    assert_eq!(command("keyctl"), "pct set 9020 --features …");
    assert_eq!(command("hookscript"), "pct set 9020 --delete hookscript");
    assert_eq!(command("dev0"), "pct set 9020 --delete dev0");
    assert_eq!(command("power cut"), "pct unlock 9020 && pct destroy 9020");
    assert_eq!(planned.beyond.len(), 6, "{:?}", planned.beyond);
    let lines = planned.lines().join("\n");
    assert!(lines.contains("as root `pct unlock 9020 && pct destroy 9020`"));
    subject.archived.config.unprivileged = false;
    let privileged = plan(&restore_request(), &subject);
    assert!(privileged.beyond[0].what.contains("privileged"));
    assert!(
        privileged.beyond[0]
            .command
            .as_ref()
            .unwrap()
            .starts_with("pct restore 9020 ")
    );
}
