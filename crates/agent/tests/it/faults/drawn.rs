//! Histories drawn at random: which command, and what goes wrong meanwhile.

use felhom_simulator::{Fault, FaultKind};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Commands in one world.
pub(super) const HISTORY: u64 = 20;

/// What a person or a timer starts.
pub(super) const COMMANDS: [&[&str]; 5] = [
    &["backup", "run", "9001"],
    &["backup", "run", "9010"],
    &["restore-test", "run"],
    &["backup", "prune"],
    &["selftest", "task", "9001"],
];

/// Something that happens beside the command.
#[derive(Debug, Clone)]
pub(super) enum Upset {
    PowerCut,
    /// The wall clock of the node jumps by so many seconds.
    Clock(i64),
    Certificate,
    /// Somebody else backs 9001 up.
    OtherVzdump,
    /// Somebody stops all tasks that run.
    StopTasks,
    /// Our program dies.
    Death,
}

/// One command and what goes wrong meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) command: usize,
    pub(super) faults: Vec<Fault>,
    /// Milliseconds after the command began.
    pub(super) upset: Option<(u64, Upset)>,
}

fn request_faults() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![
        Just(FaultKind::Refuse),
        Just(FaultKind::CutAnswer),
        Just(FaultKind::CutThenRun { seconds: 20.0 }),
        Just(FaultKind::Truncated),
        Just(FaultKind::Html),
        Just(FaultKind::Garbage),
        (1_u32..40).prop_map(|seconds| FaultKind::Delay {
            seconds: seconds.into()
        }),
        any::<bool>().prop_map(|executed| {
            let (code, text) = (596, "Connection timed out".to_owned());
            if executed {
                FaultKind::AnswerStatus { code, text }
            } else {
                FaultKind::Status { code, text }
            }
        }),
        prop_oneof![
            Just((401, "No ticket")),
            Just((500, "can't lock file '/run/lock/x.lock' - got timeout")),
            Just((500, "got no worker upid - start worker failed")),
            Just((501, "Method not implemented")),
            Just((503, "Service Unavailable")),
        ]
        .prop_map(|(code, text)| FaultKind::Status {
            code,
            text: text.to_owned()
        }),
    ];
    let method = prop_oneof![
        Just("GET"),
        Just("POST"),
        Just("PUT"),
        Just("DELETE"),
        Just("*")
    ];
    (method, kind, 0_u32..12, 1_u32..4).prop_map(|(method, kind, skip, count)| Fault {
        count: Some(count),
        // Reads are many.
        skip: if method == "GET" { skip * 3 } else { skip / 3 },
        ..Fault::request(method, "*", kind)
    })
}

fn task_faults() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![
        Just(FaultKind::TaskVanish),
        Just(FaultKind::TaskWarn {
            text: "simulated".into()
        }),
        Just(FaultKind::TaskSay {
            text: "ERROR: simulated".into()
        }),
        // In words that say nothing of the archive.
        Just(FaultKind::TaskFail {
            text: "can't lock file '/run/lock/x.lock' - got timeout".into()
        }),
        (1_u32..60).prop_map(|seconds| FaultKind::TaskDelay {
            seconds: seconds.into()
        }),
    ];
    (kind, 0_u32..8).prop_map(|(kind, skip)| Fault {
        skip,
        ..Fault::task("*", kind)
    })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let fault = prop_oneof![3 => request_faults().boxed(), 1 => task_faults().boxed()];
    let upset = prop_oneof![
        1 => Just(Upset::PowerCut),
        1 => prop_oneof![Just(7200_i64), Just(-7200), Just(86_400 * 30), Just(-90)].prop_map(Upset::Clock),
        1 => Just(Upset::Certificate),
        1 => Just(Upset::OtherVzdump),
        1 => Just(Upset::StopTasks),
        3 => Just(Upset::Death),
    ];
    let upset = proptest::option::weighted(0.5, (0_u64..400, upset));
    let faults = proptest::collection::vec(fault, 0..4);
    (0..COMMANDS.len(), faults, upset).prop_map(|(command, faults, upset)| Schedule {
        command,
        faults,
        upset,
    })
}

/// The same history for the same seed.
pub(super) fn history(seed: u64) -> Vec<Schedule> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = proptest::collection::vec(schedule(), usize::try_from(HISTORY).unwrap());
    strategy.new_tree(&mut runner).unwrap().current()
}
