//! `Display` and `FromStr` are each other's inverse, and serde goes through both.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use felhom_ids::{
    BackupGroup, BackupSnapshot, BackupType, BridgeName, ByteSize, DatastoreName, Digest,
    Fingerprint, GuestKind, InvalidName, KeyFingerprint, MacAddress, Namespace, NodeName, PoolId,
    SnapshotName, StorageId, TokenId, Upid, UserId, Vmid, VolumeId,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn reads_back<T>(text: &str)
where
    T: FromStr<Err = InvalidName> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let value: T = text.parse().unwrap();
    let printed = value.to_string();
    assert_eq!(printed.parse::<T>().unwrap(), value);
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value);
}

fn keeps_its_text<T>(text: &str)
where
    T: FromStr<Err = InvalidName> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    reads_back::<T>(text);
    assert_eq!(text.parse::<T>().unwrap().to_string(), text);
}

/// Whatever is accepted keeps its text; whatever is refused says so, in one bounded line.
fn never_lies<T>(text: &str)
where
    T: FromStr<Err = InvalidName> + Display,
{
    match text.parse::<T>() {
        Ok(value) => assert_eq!(value.to_string(), text),
        Err(refused) => {
            let message = refused.to_string();
            assert!(message.contains(refused.expected()) && message.contains(refused.what()));
            assert!(
                !message.contains('\n') && message.len() < 2_000,
                "{message}"
            );
        }
    }
}

proptest! {
    #[test]
    fn vmids(number in 100_u32..=999_999_999) {
        keeps_its_text::<Vmid>(&number.to_string());
        prop_assert_eq!(Vmid::new(number).unwrap().get(), number);
    }

    #[test]
    fn names(
        node in "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?",
        storage in "[a-zA-Z][a-zA-Z0-9_.-]{0,20}[a-zA-Z0-9]",
        pool in "[A-Za-z0-9._-]{1,9}(/[A-Za-z0-9._-]{1,9}){0,2}",
        bridge in "[A-Za-z0-9._-]{1,15}",
        snapshot in "[a-bd-z][a-zA-Z0-9_-]{1,39}",
    ) {
        keeps_its_text::<NodeName>(&node);
        keeps_its_text::<StorageId>(&storage);
        keeps_its_text::<PoolId>(&pool);
        keeps_its_text::<BridgeName>(&bridge);
        keeps_its_text::<SnapshotName>(&snapshot);
    }

    #[test]
    fn principals(
        name in "[^\\s:/\\p{C}]{1,30}",
        realm in "[a-zA-Z][a-zA-Z0-9._-]{1,12}",
        token in "[a-zA-Z][a-zA-Z0-9._-]{1,12}",
    ) {
        let user = format!("{name}@{realm}");
        keeps_its_text::<UserId>(&user);
        keeps_its_text::<TokenId>(&format!("{user}!{token}"));
    }

    #[test]
    fn upids(
        node in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?",
        pid: u32,
        pstart in 0_u64..=0xF_FFFF_FFFF,
        task_id in proptest::option::of(any::<u64>()),
        starttime: u32,
        kind in "[a-z_]{1,12}",
        id in "[A-Za-z0-9@._\\\\-]{0,20}",
        user in "[a-z]{1,8}@(pam|pve)(![a-z]{2,8})?",
    ) {
        let task = task_id.map_or(String::new(), |task| format!("{task:08X}:"));
        let text = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{task}{starttime:08X}:{kind}:{id}:{user}:");
        keeps_its_text::<Upid>(&text);
        let upid: Upid = text.parse().unwrap();
        prop_assert_eq!(upid.node().as_str(), node);
        prop_assert_eq!((upid.pid(), upid.pstart(), upid.starttime()), (pid, pstart, starttime));
        prop_assert_eq!(upid.task_id(), task_id);
        prop_assert_eq!((upid.kind(), upid.id(), upid.user()), (&*kind, &*id, &*user));
    }

    #[test]
    fn volume_ids(storage in "[a-z][a-z0-9]{1,8}", name in "[A-Za-z0-9][A-Za-z0-9/:_.+-]{0,40}") {
        prop_assume!(!name.split('/').any(|part| part == ".."));
        keeps_its_text::<VolumeId>(&format!("{storage}:{name}"));
    }

    #[test]
    fn names_of_a_backup_server(
        datastore in "[A-Za-z0-9_][A-Za-z0-9._-]{2,31}",
        namespace in "([A-Za-z0-9_][A-Za-z0-9._-]{0,15}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,15}){0,7})?",
        kind in "vm|ct|host",
        id in "[A-Za-z0-9_][A-Za-z0-9._-]{0,40}",
        time in 1_i64..=253_402_207_200,
    ) {
        keeps_its_text::<DatastoreName>(&datastore);
        keeps_its_text::<Namespace>(&namespace);
        keeps_its_text::<BackupType>(&kind);
        keeps_its_text::<BackupGroup>(&format!("{kind}/{id}"));
        let group: BackupGroup = format!("{kind}/{id}").parse().unwrap();
        let snapshot = BackupSnapshot::new(group, time).unwrap();
        keeps_its_text::<BackupSnapshot>(&snapshot.to_string());
        let read: BackupSnapshot = snapshot.to_string().parse().unwrap();
        prop_assert_eq!(read.time(), time);
        let volume = snapshot.volume(&"pbs".parse().unwrap());
        keeps_its_text::<VolumeId>(&volume.to_string());
        prop_assert_eq!(BackupSnapshot::from_volume(&volume), Some(snapshot));
    }

    #[test]
    fn no_time_is_too_odd(time: i64) {
        if let Ok(snapshot) = BackupSnapshot::new("ct/100".parse().unwrap(), time) {
            keeps_its_text::<BackupSnapshot>(&snapshot.to_string());
        }
    }

    #[test]
    fn fixed_length_names(digest: [u8; 32], mac: [u8; 6]) {
        let printed = Fingerprint::from_bytes(digest).to_string();
        keeps_its_text::<Fingerprint>(&printed);
        keeps_its_text::<KeyFingerprint>(&printed.to_lowercase());
        let hex = printed.replace(':', "").to_lowercase();
        reads_back::<Fingerprint>(&hex);
        keeps_its_text::<Digest>(hex.split_at(40).0);
        let pairs: Vec<String> = mac.iter().map(|octet| format!("{:02X}", octet & 0xFE)).collect();
        keeps_its_text::<MacAddress>(&pairs.join(":"));
    }

    #[test]
    fn sizes(bytes: u64, gib in 0_u64..100_000) {
        for size in [bytes, gib << 30, bytes & !0xF_FFFF] {
            reads_back::<ByteSize>(&size.to_string());
            let size = ByteSize::from_bytes(size);
            prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
    }

    #[test]
    fn no_text_is_misread(text in "\\PC{0,60}|.{0,60}|UPID:[a-f0-9:\\\\x@!]{0,60}|[a-z]{2}:[!-~]{0,40}|(ct|vm|host)/[0-9a-z/TZ:-]{0,30}") {
        never_lies::<Vmid>(&text);
        never_lies::<NodeName>(&text);
        never_lies::<StorageId>(&text);
        never_lies::<PoolId>(&text);
        never_lies::<BridgeName>(&text);
        never_lies::<SnapshotName>(&text);
        never_lies::<UserId>(&text);
        never_lies::<TokenId>(&text);
        never_lies::<Upid>(&text);
        never_lies::<VolumeId>(&text);
        never_lies::<GuestKind>(&text);
        never_lies::<DatastoreName>(&text);
        never_lies::<Namespace>(&text);
        never_lies::<BackupType>(&text);
        never_lies::<BackupGroup>(&text);
        never_lies::<BackupSnapshot>(&text);
        if let Ok(volume) = text.parse::<VolumeId>()
            && let Some(backup) = volume.backup()
        {
            prop_assert_eq!(volume.guest(), Some(backup.vmid));
        }
        for lossy in [text.parse::<ByteSize>().map(|v| v.to_string()), text.parse::<Digest>().map(|v| v.to_string())]
            .into_iter()
            .flatten()
        {
            prop_assert!(!lossy.is_empty());
        }
    }
}

#[test]
fn kinds_have_three_spellings() {
    for (kind, api, pbs) in [
        (GuestKind::Lxc, "lxc", "ct"),
        (GuestKind::Qemu, "qemu", "vm"),
    ] {
        keeps_its_text::<GuestKind>(api);
        assert_eq!(kind.as_str(), api);
        assert_eq!(kind.pbs_type(), pbs);
        assert_eq!(GuestKind::from_pbs_type(pbs).unwrap(), kind);
        assert!(GuestKind::from_pbs_type(api).is_err());
    }
}
