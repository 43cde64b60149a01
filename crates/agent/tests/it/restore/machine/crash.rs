//! A restore of a virtual machine that dies: at every mutation × three instants × what else goes wrong after the restart, with a
//! restore that works and with one whose task fails. At the end the machine is there as its record says, or what is left is
//! told with its commands, and nothing happened twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use felhom_agent::progress::{Event, Progress};
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_ids::VolumeId;
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use super::{SHOP, config, machine, runs};
use crate::scene::{restart, side_by_side, tell};
use crate::support::*;

/// The instant of death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// The intent is durable, nothing was sent.
    Intended,
    /// The server carried it out; its answer was never read.
    Unread,
    /// The answer was read, and never written down.
    Unwritten,
}

const DEATHS: [Death; 3] = [Death::Intended, Death::Unread, Death::Unwritten];

/// The mutations of a restore that works, and of one that fails; with their requests.
const STEPS: [(&str, bool, &str, &str); 4] = [
    ("restore-guest", true, "POST", "*/qemu"),
    ("start-restored", true, "POST", "*/status/start"),
    ("restore-guest", false, "POST", "*/qemu"),
    ("destroy-restored", false, "DELETE", "*/qemu/*"),
];

/// What else goes wrong, after the restart.
fn faults() -> [(&'static str, Option<Fault>); 5] {
    let text = || "simulated".to_owned();
    let request = |kind| Fault {
        count: Some(2),
        skip: 1,
        ..Fault::request("*", "*", kind)
    };
    let away = FaultKind::Status {
        code: 596,
        text: "Connection timed out".into(),
    };
    [
        ("none", None),
        ("cut answer", Some(request(FaultKind::CutAnswer))),
        ("596", Some(request(away))),
        (
            "task fails",
            Some(Fault::task("*", FaultKind::TaskFail { text: text() })),
        ),
        (
            "task vanishes",
            Some(Fault::task("*", FaultKind::TaskVanish)),
        ),
    ]
}

struct Case {
    step: (&'static str, bool, &'static str, &'static str),
    death: Death,
    fault: (&'static str, Option<Fault>),
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, works, ..) = self.step;
        let how = if works { "works" } else { "fails" };
        write!(
            f,
            "{name} of a restore that {how}, {:?}, {}",
            self.death, self.fault.0
        )
    }
}

/// Dies at an instant: unwinding without a trace is as near to a kill as one process can come to another's.
struct Killer {
    step: &'static str,
    death: Death,
}

impl Progress for Killer {
    fn event(&self, event: &Event<'_>) {
        let (step, death) = match event {
            Event::Intended { step, .. } => (step.name(), Death::Intended),
            Event::Performed { step, .. } => (step.name(), Death::Unwritten),
            _ => return,
        };
        if step == self.step && death == self.death {
            std::panic::resume_unwind(Box::new("killed"));
        }
    }
}

/// A world with a machine and a backup of it.
async fn origin(directory: &Path) -> (PathBuf, VolumeId, InstallationId) {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await;
    let installation = bench.journal().await.installation().clone();
    let path = bench.world.state_dir().to_owned();
    bench.world.stop().await.unwrap();
    let kept = directory.join("machine");
    copy(&path, &kept);
    (kept, volid, installation)
}

async fn die(case: &Case, bench: &Bench, job: Job) -> Result<(), String> {
    let (step, works, method, path) = case.step;
    if !works {
        let text = "simulated".to_owned();
        bench.world.inject(Fault::task(
            "qmrestore:extract",
            FaultKind::TaskFail { text },
        ));
    }
    if case.death == Death::Unread {
        bench.world.inject(Fault {
            count: Some(1),
            ..Fault::request(method, path, FaultKind::HoldAnswer)
        });
    }
    let journal = bench.journal().await;
    let performer = bench.performer();
    let killer = Killer {
        step,
        death: case.death,
    };
    let task = tokio::spawn(async move {
        let runner = Runner {
            journal: &journal,
            performer: &performer,
            progress: &killer,
        };
        runner
            .start(job)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    });
    if case.death == Death::Unread {
        let held = || bench.world.held_answers() == 1 || task.is_finished();
        eventually("the answer is held", held).await;
        task.abort();
    }
    if let Ok(ended) = task.await {
        return Err(format!("the job was not killed, it ended: {ended:?}"));
    }
    bench.world.release();
    Ok(())
}

async fn play(case: &Case, origin: &(PathBuf, VolumeId, InstallationId)) -> Result<(), String> {
    let (path, volid, installation) = origin;
    let bench = Bench::with(FAST, Some(path)).await;
    let before = (config(&bench, SHOP).await, bench.world.counts());
    let job = restore_job(&bench, installation, volid, 6);
    die(case, &bench, job).await?;
    if let Some(fault) = case.fault.1.clone() {
        bench.world.inject(fault);
    }
    drop(restart(&bench).await?);
    settled(&bench).await;
    if config(&bench, SHOP).await != before.0 {
        return Err("the original was changed".to_owned());
    }
    for (what, count) in bench.world.counts() {
        let fresh = count - before.1.get(&what).copied().unwrap_or_default();
        if what.starts_with("qm") && fresh > 1 {
            return Err(format!("`{what}` was carried out {fresh} times"));
        }
    }
    let rows = bench.journal().await.restores(None).await.unwrap();
    let [row] = rows.as_slice() else {
        return Err(format!("{} records", rows.len()));
    };
    let (name, works, ..) = case.step;
    let unsent = name == "restore-guest" && case.death == Death::Intended;
    let restored = row.report.end == RestoreEnd::Restored;
    if unsent && restored {
        return Err("it was begun after the restart".to_owned());
    }
    if works && !unsent && case.fault.0 == "none" && !restored {
        return Err(format!("it was not gone on with: {:?}", row.report));
    }
    let judged = as_recorded(&bench, &row.report).await;
    bench
        .world
        .stop()
        .await
        .map_err(|error| error.to_string())?;
    judged
}

/// What is there is what the record says.
async fn as_recorded(bench: &Bench, report: &RestoreRunReport) -> Result<(), String> {
    let (there, volumes) = (config(bench, RESTORED).await, bench.restored_volumes());
    let whole = there.as_ref().is_some_and(|config| {
        config.get("name").map(String::as_str) == Some("shop-restored.example.org")
            && !config.contains_key("lock")
    });
    if report.end == RestoreEnd::Restored {
        let told = whole && volumes.len() == 1 && runs(bench, RESTORED).await == report.started;
        let start = report.started || !report.findings.is_empty();
        return (told && start)
            .then_some(())
            .ok_or_else(|| format!("{there:?} {volumes:?} {report:?}"));
    }
    if there.is_none() && volumes.is_empty() {
        return report
            .nothing_left
            .then_some(())
            .ok_or_else(|| format!("{report:?}"));
    }
    let hints: Vec<&str> = report
        .findings
        .iter()
        .filter_map(|one| one.hint.as_deref())
        .collect();
    let named = |name: &String| {
        let disk = name.rsplit(':').next().unwrap_or_default();
        hints.iter().any(|hint| hint.contains(disk))
    };
    let removed = there.is_none() || hints.iter().any(|hint| hint.contains("qm destroy 9020"));
    if removed && !report.nothing_left && volumes.iter().all(named) {
        return Ok(());
    }
    Err(format!(
        "left behind: {there:?} {volumes:?}, told: {:?}",
        report.findings
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_anywhere_the_machine_is_there_or_what_is_left_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let origin = Arc::new(origin(directory.path()).await);
    let only = std::env::var("FELHOM_CRASH_ONLY").unwrap_or_default();
    let mut cases = Vec::new();
    for step in STEPS {
        for death in DEATHS {
            cases.extend(faults().map(|fault| Case { step, death, fault }));
        }
    }
    cases.retain(|case| case.to_string().contains(&only));
    let total = cases.len();
    let played = side_by_side((6, Duration::from_mins(1)), cases, |case| {
        let origin = Arc::clone(&origin);
        async move { play(&case, &origin).await }
    });
    let failures: Vec<String> = played
        .await
        .into_iter()
        .filter_map(|(case, result)| Some(format!("{case}: {}", result.err()?)))
        .collect();
    tell(&format!(
        "crashed machines: {total} cases, {} failed",
        failures.len()
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
