//! What judging a backup server costs that holds 100 000 snapshots of 200 guests.
//!
//! Prints one tab-separated line per measurement: what, median and worst milliseconds over the rounds.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

use std::collections::BTreeSet;
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use felhom_engine::Timestamp;
use felhom_engine::pbs::{
    CryptMode, Expected, Kit, Listing, Seen, Sight, Snapshot, SnapshotFile, Target, Verification,
    VerifyState, findings, plan_verify,
};
use felhom_ids::{BackupGroup, BackupSnapshot, KeyFingerprint, Namespace};

const GROUPS: i64 = 200;
const SNAPSHOTS_EACH: i64 = 500;
const ROUNDS: usize = 20;
const NOW: i64 = 1_795_000_000;
const TTL: Duration = Duration::from_hours(24 * 30);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let now = Timestamp::from_secs(NOW);
    let seen = seen()?;
    let expected = expected()?;
    let mut out = std::io::stdout().lock();
    let listing = seen.listing.as_ref().map_err(ToString::to_string)?;
    let rounds: [(&str, Vec<Duration>); 2] = [
        (
            "what is due for a verify",
            time(|| plan_verify(listing, TTL, now)),
        ),
        (
            "findings of the whole list",
            time(|| findings(&seen, &expected, now)),
        ),
    ];
    for (what, mut times) in rounds {
        times.sort();
        let at = |index: usize| {
            times
                .get(index)
                .map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        let (median, worst) = (at(times.len() / 2), at(times.len() - 1));
        writeln!(out, "{what}\t{median:.3}\t{worst:.3}")?;
    }
    Ok(())
}

fn time<T>(mut what: impl FnMut() -> T) -> Vec<Duration> {
    let mut round = || {
        let began = Instant::now();
        black_box(what());
        began.elapsed()
    };
    (0..ROUNDS).map(|_| round()).collect()
}

fn target() -> Result<Target> {
    Ok(Target {
        storage: "felhom-pbs".parse()?,
        datastore: "felhom-spike".parse()?,
        namespace: Namespace::root(),
    })
}

fn group(number: i64) -> Result<BackupGroup> {
    Ok(format!("ct/{}", 1000 + number).parse()?)
}

fn seen() -> Result<Seen> {
    let mut snapshots = Vec::new();
    // Newest of all groups first: lists come in no order that helps.
    for age in 0..SNAPSHOTS_EACH {
        for number in 0..GROUPS {
            snapshots.push(snapshot(number, age)?);
        }
    }
    let listing = Listing {
        snapshots,
        sight: Sight::Whole,
        server_now_s: Some(NOW),
    };
    Ok(Seen {
        target: target()?,
        listing: Ok(listing),
        maintenance: None,
        certificate: None,
    })
}

fn snapshot(number: i64, age: i64) -> Result<Snapshot> {
    let at = NOW - age * 86_400 - number * 60;
    let file = |name: &str, crypt_mode| SnapshotFile {
        name: name.to_owned(),
        size: Some(1 << 20),
        crypt_mode: Some(crypt_mode),
    };
    let upid = format!(
        "UPID:pbs:00004F7B:0003D00B:{age:08X}:{:08X}:verify_snapshot:store:felhom@pbs!n100:",
        at + 3600
    );
    let verification = Verification {
        state: VerifyState::Ok,
        upid: upid.parse()?,
    };
    Ok(Snapshot {
        name: BackupSnapshot::new(group(number)?, at)?,
        size: Some(1 << 30),
        owner: Some("felhom@pbs!n100".to_owned()),
        protected: false,
        files: vec![
            file("root.pxar.didx", CryptMode::Encrypt),
            file("pct.conf.blob", CryptMode::Encrypt),
            file("catalog.pcat1.didx", CryptMode::Encrypt),
            file("index.json.blob", CryptMode::SignOnly),
        ],
        key: Some(KeyFingerprint::from_bytes([1; 32])),
        verification: (age > 0).then_some(verification),
    })
}

fn expected() -> Result<Expected> {
    let groups: Result<BTreeSet<BackupGroup>> = (0..GROUPS).map(group).collect();
    Ok(Expected {
        encrypted: true,
        key: Some(KeyFingerprint::from_bytes([1; 32])),
        owner: Some("felhom@pbs!n100".to_owned()),
        groups: groups?,
        verify_ttl: TTL,
        in_progress: Duration::from_hours(12),
        clock: Duration::from_secs(30),
        certificate: None,
        kit: Kit::Confirmed,
    })
}
