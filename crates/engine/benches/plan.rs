//! What planning costs at the size of a large site: 1 000 guests with 10 000 archives between them.
//!
//! Prints one tab-separated line per measurement: what, median and worst milliseconds over the rounds.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use felhom_engine::pbs::OffBoxLook;
use felhom_engine::{
    ArchiveFacts, Candidate, EvidenceLevel, Floors, GuestConfig, GuestRecord, InstallationId,
    JobId, Mark, Mount, MountSource, Nic, PassFacts, PassGuest, Posture, RestorePlan,
    RestoreTestPolicy, Schedule, TimeWindow, Timestamp, Verdict, least_recently_proven, plan_pass,
    plan_restore, posture,
};
use felhom_ids::{ByteSize, GuestKind, Vmid};
use jiff::tz::TimeZone;

const GUESTS: u32 = 1000;
const ARCHIVES_EACH: u32 = 10;
const ROUNDS: usize = 50;
const NOW: i64 = 1_795_000_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the agent has read before the engine is asked.
struct Site {
    guests: BTreeMap<Vmid, (GuestConfig, Option<i64>)>,
    archives: Vec<ArchiveFacts>,
    policy: RestoreTestPolicy,
}

fn main() -> Result<()> {
    let site = site()?;
    let mut out = std::io::stdout().lock();
    let mut report = |what: &str, mut times: Vec<Duration>| {
        times.sort();
        let at = |index: usize| {
            times
                .get(index)
                .map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        writeln!(
            out,
            "{what}\t{:.3}\t{:.3}",
            at(times.len() / 2),
            at(times.len() - 1)
        )
    };
    report(
        "choose the least recently proven guest",
        time(|| choose(&site)),
    )?;
    report("posture of every guest", time(|| postures(&site)))?;
    report("a restore plan for every guest", time(|| plans(&site)))?;
    report(
        "all three",
        time(|| (choose(&site), postures(&site), plans(&site))),
    )?;
    let schedule = schedule()?;
    let facts = facts(&site)?;
    report(
        "the plan of a pass, made anew after each job",
        time(|| plan_pass(&schedule, &facts, &TimeZone::UTC)),
    )?;
    Ok(())
}

fn time<T>(mut work: impl FnMut() -> T) -> Vec<Duration> {
    let once = |_| {
        let began = Instant::now();
        black_box(work());
        began.elapsed()
    };
    (0..ROUNDS).map(once).collect()
}

/// Newest archive by guest.
fn newest(site: &Site) -> BTreeMap<Vmid, &ArchiveFacts> {
    let mut newest: BTreeMap<Vmid, &ArchiveFacts> = BTreeMap::new();
    for archive in &site.archives {
        let Some(vmid) = archive.vmid else { continue };
        if newest
            .get(&vmid)
            .is_none_or(|best| best.ctime < archive.ctime)
        {
            newest.insert(vmid, archive);
        }
    }
    newest
}

fn choose(site: &Site) -> Option<Vmid> {
    let verdict = |vmid| site.guests.get(&vmid).and_then(|(_, proven)| *proven);
    let candidates: Vec<Candidate> = newest(site)
        .into_iter()
        .map(|(vmid, archive)| Candidate {
            vmid,
            newest: archive.volid.clone(),
            last_verdict: verdict(vmid).map(Timestamp::from_secs),
            last_error: None,
        })
        .collect();
    least_recently_proven(&candidates).map(|chosen| chosen.vmid)
}

fn postures(site: &Site) -> Vec<(Posture, Vec<String>)> {
    let newest = newest(site);
    let record = |(vmid, (config, proven)): (&Vmid, &(GuestConfig, Option<i64>))| {
        posture(&GuestRecord {
            newest_archive_s: newest.get(vmid).map(|archive| NOW - archive.ctime),
            list_may_be_shortened: false,
            newer_may_be_unseen: false,
            of_earlier_guest: false,
            away: None,
            last_backup: None,
            last_proof: proven.map(|at| (Verdict::Passed, NOW - at)),
            kind: config.kind,
            outside: config.mounts.iter().filter(|mount| !mount.backup).count(),
            hot_outside: 0,
            bulk_uncovered: 0,
            off_box: OffBoxLook::NotMeant,
        })
    };
    site.guests.iter().map(record).collect()
}

fn plans(site: &Site) -> Vec<RestorePlan> {
    let installation = InstallationId::unnamed();
    let plan = |(vmid, archive): (Vmid, &ArchiveFacts)| {
        let (config, _) = site.guests.get(&vmid)?;
        let nonce = u64::from(vmid.get());
        let job = JobId::from_bits(nonce);
        let mark = Mark {
            installation: installation.clone(),
            job,
            vmid,
        };
        let scratch = site.policy.first_vmid;
        Some(plan_restore(
            &archive.volid,
            config,
            scratch,
            &site.policy,
            mark,
            nonce,
        ))
    };
    newest(site).into_iter().filter_map(plan).collect()
}

/// A window that is open at [`NOW`].
fn open(event: &str) -> Result<TimeWindow> {
    Ok(TimeWindow {
        opens: vec![event.parse()?],
        lasts: Duration::from_hours(24),
    })
}

fn schedule() -> Result<Schedule> {
    Ok(Schedule {
        guests: "@all,-@tag-scratch,-1999".parse()?,
        backup: open("mon..fri 22:00")?,
        backup_every: Duration::from_hours(24),
        proof: open("tue..wed 02:30")?,
        proof_every: Duration::from_hours(7 * 24),
        verify: open("04:00")?,
        retry_after: Duration::from_hours(1),
        first_at_once: true,
        proofs_per_pass: 1,
    })
}

/// The site as a pass sees it: of every guest the last twenty backups and tests, some of them failures.
fn facts(site: &Site) -> Result<PassFacts> {
    let now = Timestamp::from_secs(NOW);
    let days = |first: i64, step: usize| -> Vec<Timestamp> {
        (first..20)
            .step_by(step)
            .map(|day| Timestamp::from_secs(NOW - day * 86_400 - 7200))
            .collect()
    };
    let newest = newest(site);
    let mut guests = Vec::new();
    for vmid in site.guests.keys() {
        let archive = newest.get(vmid).map(|archive| archive.volid.clone());
        let tested = archive.clone().ok_or("every guest has an archive")?;
        guests.push(PassGuest {
            vmid: *vmid,
            kind: GuestKind::Lxc,
            template: false,
            tags: vec!["web".to_owned()],
            pool: None,
            good: days(i64::from(vmid.get() % 3), 1),
            failed: days(1, 3),
            archive,
            proofs: days(i64::from(vmid.get() % 9), 2)
                .into_iter()
                .map(|at| (at, Verdict::Passed, tested.clone()))
                .collect(),
            errors: days(4, 5),
            strangers: BTreeSet::new(),
            fresh: None,
        });
    }
    Ok(PassFacts {
        now,
        clock: None,
        guests,
        servers: Vec::new(),
        scratch: site.policy.first_vmid..=site.policy.last_vmid,
        tests: true,
        prunes: true,
        refused: vec![],
        stuck: vec![],
        begun: BTreeSet::new(),
        windows: true,
    })
}

fn site() -> Result<Site> {
    let mut guests = BTreeMap::new();
    let mut archives = Vec::new();
    for index in 0..GUESTS {
        let vmid = Vmid::new(1000 + index)?;
        // One guest in ten has never been tested.
        let proven = (index % 10 != 0).then(|| NOW - i64::from(index * 7919 % 900_000));
        guests.insert(vmid, (config(vmid)?, proven));
        for age in 0..ARCHIVES_EACH {
            archives.push(archive(vmid, age)?);
        }
    }
    Ok(Site {
        guests,
        archives,
        policy: policy()?,
    })
}

fn archive(vmid: Vmid, age: u32) -> Result<ArchiveFacts> {
    let day = 28 - age;
    Ok(ArchiveFacts {
        volid: format!("local:backup/vzdump-lxc-{vmid}-2026_11_{day:02}-01_00_00.tar.zst")
            .parse()?,
        vmid: Some(vmid),
        size: 1 << 30,
        ctime: NOW - i64::from(age) * 86_400,
        notes: Some(format!("guest {vmid}")),
        protected: age == 0,
        encrypted: None,
    })
}

fn config(vmid: Vmid) -> Result<GuestConfig> {
    let mount = |key: &str, path: &str, backup| -> Result<Mount> {
        Ok(Mount {
            key: key.to_owned(),
            path: path.to_owned(),
            source: MountSource::Volume(format!("local-lvm:vm-{vmid}-disk-{}", key.len()).parse()?),
            backup,
            size: Some(ByteSize::from_bytes(8 << 30)),
        })
    };
    let nic = |index: u32| Nic {
        index,
        name: format!("eth{index}"),
        bridge: Some("vmbr0".to_owned()),
        hwaddr: Some(format!(
            "BC:24:11:00:{:02X}:{:02X}",
            vmid.get() / 256,
            vmid.get() % 256
        )),
        ip: Some("dhcp".to_owned()),
        link_down: false,
    };
    Ok(GuestConfig {
        hostname: Some(format!("guest-{vmid}")),
        unprivileged: true,
        memory_mib: Some(2048),
        nics: vec![nic(0), nic(1)],
        mounts: vec![
            mount("rootfs", "/", true)?,
            mount("mp1", "/srv/data", true)?,
            mount("mp12", "/srv/bulk", false)?,
        ],
        ..GuestConfig::default()
    })
}

fn policy() -> Result<RestoreTestPolicy> {
    let minute = Duration::from_mins(1);
    Ok(RestoreTestPolicy {
        first_vmid: Vmid::new(9100)?,
        last_vmid: Vmid::new(9199)?,
        pool: "felhom-scratch".parse()?,
        bridge: "vmbr9".parse()?,
        target: "local-lvm".parse()?,
        memory_mib: 512,
        cores: 1,
        evidence: EvidenceLevel::Booted,
        stable_for: minute,
        evidence_timeout: minute,
        floors: Floors {
            storage_percent: 10,
            metadata_percent: 10,
            root_bytes: 1 << 30,
            memory_bytes: 512 << 20,
        },
        wait_limit: minute,
        no_progress: minute,
        settle: minute,
    })
}
