//! Random fault schedules: histories of commands in one world, each with trouble of its own, and after each one everything
//! that is promised holds. `FELHOM_SCHEDULES` sets how many, `FELHOM_SEED` from which number on; what fails prints its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use felhom_engine::{BackupVerdict, Finding, Verdict};
use felhom_ids::{GuestKind, Vmid};
use felhom_simulator::FaultKind;
use serde_json::{Value, json};

use super::drawn::{COMMANDS, HISTORY, Schedule, Upset, history};
use super::oracle::production;
use super::trouble::repinned;
use crate::scene::*;
use crate::support::*;

/// For everyday; CI asks for 2 000.
const SCHEDULES: u64 = 200;

/// Runs one command with its trouble; an admin mends afterwards what does not end by itself, and what was interrupted goes on.
/// What the admin was told.
async fn play(schedule: &Schedule, bench: &Bench) -> Result<String, String> {
    for fault in &schedule.faults {
        bench.world.inject(fault.clone());
    }
    let mut told = String::new();
    let command = async {
        let ran = bench.run(COMMANDS[schedule.command]).await;
        show(schedule, &ran);
        told = ran.text();
    };
    match &schedule.upset {
        None => command.await,
        Some((after, Upset::Death)) => {
            drop(tokio::time::timeout(Duration::from_millis(*after), command).await);
        }
        Some((after, upset)) => {
            let beside = async {
                tokio::time::sleep(Duration::from_millis(*after)).await;
                happen(upset, bench).await;
            };
            tokio::join!(command, beside);
        }
    }
    bench.world.clear_faults();
    if matches!(schedule.upset, Some((_, Upset::Certificate))) {
        repinned(bench);
    }
    settled(bench).await;
    let resumed = restart(bench).await?;
    settled(bench).await;
    told.extend(resumed.map(|job| format!("{:?}", job.kind)));
    Ok(told)
}

/// For whoever looks for the cause of a failure: `FELHOM_SHOW=1 FELHOM_SCHEDULES=20 FELHOM_SEED=…`.
fn show(schedule: &Schedule, ran: &Ran) {
    if std::env::var_os("FELHOM_SHOW").is_some() {
        tell(&format!("{schedule:?}\n{}\n", ran.text()));
    }
}

async fn happen(upset: &Upset, bench: &Bench) {
    match upset {
        Upset::PowerCut => {
            // What the boot starts is not ours to torment.
            bench.world.clear_faults();
            bench.world.power_cut(Duration::from_secs(20)).await;
        }
        Upset::Clock(seconds) => bench.world.shift_clock(*seconds),
        Upset::Certificate => drop(bench.world.renew_certificate().unwrap()),
        Upset::OtherVzdump => {
            let request =
                felhom_proxmox::pve::backup::Vzdump::new(vmid(9001), "local".parse().unwrap());
            drop(bench.root().vzdump(&request).await);
        }
        Upset::StopTasks => {
            let state = bench.world.state();
            for upid in state["running_tasks"].as_array().unwrap() {
                let upid = upid.as_str().unwrap().parse().unwrap();
                drop(bench.root().stop_task(&upid).await);
            }
        }
        Upset::Death => {}
    }
}

/// What must stay true from command to command.
struct Promises {
    production: BTreeMap<String, Value>,
    counts: BTreeMap<String, u64>,
    archives: BTreeSet<String>,
    /// Archives that are not ours.
    foreign: BTreeSet<String>,
}

impl Promises {
    fn look(bench: &Bench, foreign: BTreeSet<String>) -> Self {
        Self {
            production: production(bench),
            counts: bench.world.counts(),
            archives: archives(bench),
            foreign,
        }
    }

    async fn hold(&mut self, schedule: &Schedule, told: &str, bench: &Bench) -> Result<(), String> {
        self.once(schedule, bench)?;
        self.nothing_lost(schedule, bench).await?;
        let journal = bench.journal().await;
        for row in journal
            .tests(None)
            .await
            .map_err(|error| error.to_string())?
        {
            // Every archive in these worlds is good.
            if row.report.judgement.verdict == Verdict::Failed {
                return Err(format!(
                    "a good archive is accused: {:?}",
                    row.report.judgement
                ));
            }
        }
        drop(journal);
        nothing_left(bench).await?;
        unlocked(schedule, bench).await?;
        removed(told, bench).await?;
        let now = production(bench);
        if now != self.production {
            let was = &self.production;
            return Err(format!(
                "a production guest was changed: {now:?} was {was:?}"
            ));
        }
        self.counts = bench.world.counts();
        self.archives = archives(bench);
        Ok(())
    }

    fn once(&self, schedule: &Schedule, bench: &Bench) -> Result<(), String> {
        let other = matches!(schedule.upset, Some((_, Upset::OtherVzdump)));
        for (what, count) in bench.world.counts() {
            let fresh = count - self.counts.get(&what).copied().unwrap_or(0);
            let allowed = 1 + u64::from(other && what == "vzdump 9001");
            // The boot after a power cut starts guests as well.
            let ours = what.starts_with("vz") && !what.starts_with("vzstart 90");
            if ours && fresh > allowed {
                return Err(format!("`{what}` was carried out {fresh} times"));
            }
        }
        Ok(())
    }

    /// Only a policy removes archives, only ours, and never the newest good one of a guest.
    async fn nothing_lost(&self, schedule: &Schedule, bench: &Bench) -> Result<(), String> {
        let now = archives(bench);
        if let Some(lost) = self.foreign.difference(&now).next() {
            return Err(format!("{lost} was not ours, and is gone"));
        }
        let prunes = COMMANDS[schedule.command][0] == "backup";
        if !prunes && let Some(lost) = self.archives.difference(&now).next() {
            return Err(format!("{lost} is gone, and nothing was to be pruned"));
        }
        let journal = bench.journal().await;
        let rows = journal
            .backups(None)
            .await
            .map_err(|error| error.to_string())?;
        let mut newest: BTreeMap<_, (i64, String)> = BTreeMap::new();
        for row in rows {
            let report = row.report;
            let (BackupVerdict::Good, Some(volid), Some(ctime)) =
                (report.verdict, &report.volid, report.ctime)
            else {
                continue;
            };
            let name = volid
                .to_string()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            let entry = newest.entry(report.vmid).or_insert((ctime, name.clone()));
            *entry = entry.clone().max((ctime, name));
        }
        for (vmid, (_, name)) in newest {
            if !now.contains(&name) {
                return Err(format!("the newest good backup of {vmid} is gone: {name}"));
            }
        }
        Ok(())
    }
}

/// A worker that is killed leaves its guest locked, until an admin unlocks it.
async fn unlocked(schedule: &Schedule, bench: &Bench) -> Result<(), String> {
    let killed = matches!(
        schedule.upset,
        Some((_, Upset::PowerCut | Upset::StopTasks))
    ) || schedule
        .faults
        .iter()
        .any(|fault| fault.kind == FaultKind::TaskVanish);
    for (vmid, guest) in bench.production() {
        if guest[2].is_null() {
            continue;
        }
        if !killed {
            return Err(format!("guest {vmid} is left locked: {}", guest[2]));
        }
        let vmid: u32 = vmid.parse().unwrap();
        bench.poke(vmid, json!({ "delete": ["lock"] })).await;
        // A boot does not start what is locked.
        if guest[1] == "stopped" {
            let started = bench
                .root()
                .start_guest(GuestKind::Lxc, crate::support::vmid(vmid))
                .await;
            drop(started.map_err(|error| error.to_string())?);
            settled(bench).await;
        }
    }
    Ok(())
}

/// A snapshot of ours that could not be removed is told with the command that removes it.
async fn removed(told: &str, bench: &Bench) -> Result<(), String> {
    for (vmid, guest) in bench.production() {
        let config = guest[0].as_str().unwrap_or_default();
        let sections = config
            .lines()
            .filter_map(|line| line.strip_prefix("[felhom-"));
        for section in sections {
            let name = format!("felhom-{}", section.trim_end_matches(']'));
            if !told.contains(&format!("pct delsnapshot {vmid} {name}")) {
                return Err(format!(
                    "snapshot {name} is left, and nobody is told: {told}"
                ));
            }
            let (vmid, name) = (vmid.parse().unwrap(), name.parse().unwrap());
            let removed = bench.root().delete_snapshot(vmid, &name).await;
            drop(removed.map_err(|error| error.to_string())?);
            settled(bench).await;
        }
    }
    Ok(())
}

/// What a job left is told, with commands where nobody but an admin can remove it; once these were typed and a reap has
/// looked, nothing is left.
async fn nothing_left(bench: &Bench) -> Result<(), String> {
    let mut told = Vec::new();
    // What one reap finds out, an admin does before the next.
    for _ in 0..3 {
        let left = (bench.scratch_guests(), bench.scratch_volumes());
        if left.0.is_empty() && left.1.is_empty() {
            return Ok(());
        }
        let journal = bench.journal().await;
        let remains = journal.remains().await.map_err(|error| error.to_string())?;
        if remains.is_empty() {
            return Err(format!(
                "left behind and not told: {left:?}, after {told:?}"
            ));
        }
        for one in remains {
            told.push(one.finding.clone());
            as_told(&one.finding, one.leftover.mark.vmid, bench).await;
            drop(reap(one.leftover, &journal, bench).await?);
        }
    }
    let guests = &bench.world.state()["world"]["guests"];
    Err(format!(
        "left behind: {guests}, though this was told: {told:?}"
    ))
}

/// Types the commands of a finding, where it has some.
async fn as_told(finding: &Finding, vmid: Vmid, bench: &Bench) {
    let hint = finding.hint.clone().unwrap_or_default();
    if !hint.contains(&format!("pct unlock {vmid} && pct destroy {vmid}")) {
        return;
    }
    bench.poke(vmid.get(), json!({ "delete": ["lock"] })).await;
    let request = felhom_proxmox::pve::guests::DestroyLxc {
        vmid,
        unreferenced_disks: true,
    };
    drop(bench.root().destroy_lxc(&request).await);
    settled(bench).await;
}

async fn play_history(seed: u64) -> Result<(), String> {
    let bench = Bench::with(FAST, None).await;
    bench.reconfigure(|text| text.replacen("[backup]\n", "[backup]\nkeep_last = 3\n", 1));
    happen(&Upset::OtherVzdump, &bench).await;
    settled(&bench).await;
    let mut promises = Promises::look(&bench, archives(&bench));
    for (place, schedule) in history(seed).iter().enumerate() {
        let at = |error| format!("seed {seed}, command {place}: {schedule:?}: {error}");
        let limit = Duration::from_secs(90);
        let played = tokio::time::timeout(limit, play(schedule, &bench)).await;
        let told = played
            .unwrap_or_else(|_| Err("did not end within 90 s".into()))
            .map_err(at)?;
        promises.hold(schedule, &told, &bench).await.map_err(at)?;
    }
    bench.world.stop().await.map_err(|error| error.to_string())
}

fn variable(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promises_hold_under_random_fault_schedules() {
    let wanted = variable("FELHOM_SCHEDULES", SCHEDULES);
    let first = variable("FELHOM_SEED", 1);
    let histories = wanted.div_ceil(HISTORY);
    let seeds: Vec<u64> = (first..first + histories).collect();
    let played = side_by_side((32, Duration::from_mins(30)), seeds, |seed| async move {
        play_history(*seed).await
    });
    let results = played.await.into_iter();
    let failures: Vec<String> = results.filter_map(|(_, result)| result.err()).collect();
    let total = histories * HISTORY;
    let failed = failures.len();
    tell(&format!(
        "fault schedules: {total} from seed {first}, {failed} failed"
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
