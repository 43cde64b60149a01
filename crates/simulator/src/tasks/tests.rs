//! Tasks from their start to the index.

use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::*;
use crate::clock::Time;
use crate::faults::{Fault, FaultKind};
use crate::world::World;

struct Bench {
    sim: Arc<Sim>,
    dir: TempDir,
}

fn bench(time: Time) -> Bench {
    let dir = TempDir::new().unwrap();
    let clock = crate::clock::Clock::start(time, Duration::ZERO);
    let mut world = World::default();
    world.node.boot = clock.now() - 10_000;
    Bench {
        sim: Sim::new(
            dir.path().to_owned(),
            clock,
            world,
            crate::tls::identity(dir.path(), "demo-felhom").unwrap(),
        ),
        dir,
    }
}

impl Bench {
    async fn run<F, Fut>(&self, kind: &str, work: F) -> (String, Vec<String>)
    where
        F: FnOnce(Worker) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let upid = self
            .sim
            .start_task(&Principal::new("u@pve!tok"), kind, "100", work);
        self.ended(&upid).await
    }

    async fn ended(&self, upid: &str) -> (String, Vec<String>) {
        let upid = Upid::parse(upid).unwrap();
        while self.sim.tasks.is_running(&upid) {
            tokio::task::yield_now().await;
        }
        (
            self.sim.tasks.exit_status(&upid).unwrap(),
            self.sim.tasks.log(&upid).unwrap(),
        )
    }
}

#[tokio::test]
async fn a_task_ends_as_its_last_line_says() {
    let bench = bench(Time::Real);
    let good = bench.run("vzstart", async |worker| {
        worker.log("working");
        Ok(())
    });
    assert_eq!(
        good.await,
        ("OK".into(), vec!["working".into(), "TASK OK".into()])
    );
    let warned = bench.run("vzstart", async |worker| {
        worker.warn("beware");
        Ok(())
    });
    assert_eq!(
        warned.await,
        (
            "WARNINGS: 1".into(),
            vec!["WARN: beware".into(), "TASK WARNINGS: 1".into()]
        )
    );
    let failed = bench
        .run("vzstart", async |_| Err("first\nsecond\n".into()))
        .await;
    assert_eq!(
        failed,
        (
            "first second".into(),
            vec!["TASK ERROR: first second".into()]
        )
    );
    let vanished = bench.run("vzdump", async |worker| {
        worker.exit_without_status();
        Ok(())
    });
    assert_eq!(vanished.await, ("unexpected status".into(), vec![]));
}

#[tokio::test]
async fn a_stopped_task_dies_of_a_signal_and_a_stubborn_one_without_a_word() {
    let bench = bench(Time::Scaled(1000.0));
    for (kind, text) in [
        ("vzstart", "received interrupt"),
        ("vzdump", "interrupted by signal"),
    ] {
        let upid = bench
            .sim
            .start_task(&Principal::new("u@pve"), kind, "100", async |worker| {
                worker.sleep(Duration::from_hours(1)).await
            });
        bench.sim.stop_task(&Upid::parse(&upid).unwrap()).await;
        assert_eq!(bench.ended(&upid).await.0, text);
    }
    let upid = bench
        .sim
        .start_task(&Principal::new("u@pve"), "vzstart", "100", async |worker| {
            worker.log("deaf");
            std::future::pending().await
        });
    bench.sim.stop_task(&Upid::parse(&upid).unwrap()).await;
    assert_eq!(
        bench.ended(&upid).await,
        ("unexpected status".into(), vec!["deaf".into()])
    );
}

#[tokio::test]
async fn faults_meet_a_task_before_and_after_its_work() {
    static WORKED: AtomicUsize = AtomicUsize::new(0);
    let bench = bench(Time::Real);
    let work = async |_| {
        WORKED.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let fail = || FaultKind::TaskFail { text: "no".into() };
    bench.sim.faults.inject(Fault::task("vzdestroy", fail()));
    assert_eq!(bench.run("vzdestroy", work).await.0, "no");
    assert_eq!(WORKED.load(Ordering::Relaxed), 0);
    bench
        .sim
        .faults
        .inject(Fault::task("vzdestroy:end", fail()));
    assert_eq!(bench.run("vzdestroy", work).await.0, "no");
    assert_eq!(WORKED.load(Ordering::Relaxed), 1);
    bench
        .sim
        .faults
        .inject(Fault::task("vzdestroy", FaultKind::TaskVanish));
    assert_eq!(bench.run("vzdestroy", work).await.0, "unexpected status");
}

#[tokio::test]
async fn the_index_outlives_the_process() {
    let bench = bench(Time::Real);
    bench.run("vzstart", async |_| Err("no".into())).await;
    let unfinished = bench
        .sim
        .start_task(&Principal::new("u@pve"), "vzstart", "101", async |_| {
            std::future::pending().await
        });
    let reopened = Tasks::open(bench.dir.path(), 42);
    let listed: Vec<(String, String)> = reopened
        .finished()
        .into_iter()
        .map(|task| (task.upid.to_string(), task.status))
        .collect();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0], (unfinished, "unexpected status".into()));
    assert_eq!(listed[1].1, "no");
}

#[tokio::test]
async fn the_power_takes_all_workers_and_counts_from_a_new_boot() {
    let bench = bench(Time::Real);
    let upid = bench
        .sim
        .start_task(&Principal::new("u@pve"), "vzdump", "100", async |worker| {
            worker.log("INFO: half way");
            std::future::pending().await
        });
    tokio::task::yield_now().await;
    bench.sim.power_cut(Duration::ZERO).await;
    assert_eq!(bench.ended(&upid).await.0, "unexpected status");
    assert_eq!(bench.sim.lock().node.boots, 1);
    let later = bench
        .sim
        .start_task(&Principal::new("u@pve"), "vzdump", "100", async |_| Ok(()));
    assert!(Upid::parse(&later).unwrap().pstart < 100);
}
