//! What the kernel sees: whatever is asked for, nothing is executed that is not in the table.
//!
//! The tests of the operations are run once more, in a process of their own under a tracer: they ask for everything, and each
//! program of the table is really started. What the programs (stand-ins) start themselves is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::disks::host::tell;

/// The programs that may run as root, written down once more: a new one has to be meant.
const TABLE: [&str; 5] = [
    "usr/sbin/pct",
    "usr/sbin/qm",
    "usr/bin/pvesh",
    "usr/bin/lsblk",
    "usr/bin/systemctl",
];

/// Tests that only ask a daemon, which runs in their own process.
const ASKING: [&str; 3] = ["guests::golden::", "guests::release::", "targets::"];
/// Among them those that start programs of their own.
const OWN: [&str; 2] = ["systemd", "mounted"];

#[expect(
    clippy::disallowed_types,
    reason = "a test of the daemon needs a tracer"
)]
type Command = std::process::Command;

fn traceable() -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

/// What a trace holds: who started whom, and who executed what, in order.
#[derive(Debug, Default)]
struct Trace {
    parents: BTreeMap<u32, u32>,
    executed: Vec<(u32, String)>,
}

impl Trace {
    fn parse(text: &str) -> Self {
        let mut trace = Self::default();
        for line in text.lines() {
            let Some((pid, call)) = line.split_once(' ') else {
                continue;
            };
            let (Ok(pid), call) = (pid.parse(), call.trim()) else {
                continue;
            };
            let starts = ["clone", "fork", "vfork"]
                .iter()
                .any(|name| call.contains(name));
            let result = call
                .rsplit_once("= ")
                .and_then(|(_, result)| result.trim().parse().ok());
            if let (true, Some(child)) = (starts, result) {
                trace.parents.insert(child, pid);
            } else if call.starts_with("execve") {
                let path = call.split('"').nth(1).unwrap_or(call);
                trace.executed.push((pid, path.to_owned()));
            }
        }
        trace
    }

    /// The programs of the table that were executed, and everything else that was, but for what the former started.
    fn judged(&self) -> (BTreeSet<&'static str>, BTreeSet<&str>) {
        let (mut inside, mut outside) = (BTreeSet::new(), BTreeSet::new());
        let mut programs: BTreeSet<u32> = BTreeSet::new();
        for (pid, path) in &self.executed {
            if let Some(program) = TABLE
                .iter()
                .find(|program| Path::new(path).ends_with(program))
            {
                inside.insert(*program);
                programs.insert(*pid);
            } else if !self.descends(*pid, &programs) {
                outside.insert(path.as_str());
            }
        }
        (inside, outside)
    }

    fn descends(&self, pid: u32, from: &BTreeSet<u32>) -> bool {
        let parents = std::iter::successors(Some(pid), |pid| self.parents.get(pid).copied());
        parents.take(1000).any(|pid| from.contains(&pid))
    }
}

#[test]
fn nothing_is_executed_outside_the_table() {
    if !traceable() {
        return tell(
            "skipped: nothing_is_executed_outside_the_table: strace is not there, or may not trace",
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace");
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("strace");
    command
        .args([
            "-f",
            "-e",
            "trace=execve,execveat,clone,clone3,fork,vfork",
            "-o",
        ])
        .arg(&file)
        .arg(&this)
        .args(ASKING)
        .args(OWN.iter().flat_map(|name| ["--skip", name]));
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    let trace = Trace::parse(&std::fs::read_to_string(&file).unwrap());
    let (inside, outside) = trace.judged();
    let outside: Vec<_> = outside
        .into_iter()
        .filter(|path| this.to_str() != Some(path))
        .collect();
    assert_eq!(outside, Vec::<&str>::new());
    assert_eq!(inside, TABLE.into_iter().collect::<BTreeSet<_>>());
}

#[test]
fn the_trace_tells_a_stray_program_from_one_of_a_stand_in() {
    let trace = Trace::parse(
        "10 execve(\"/it\", [\"it\"], 0x0 /* 3 vars */) = 0\n\
         10 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88 <unfinished ...>\n\
         11 execve(\"/tmp/x/usr/sbin/pct\", [\"pct\"], 0x0 /* 0 vars */ <unfinished ...>\n\
         10 <... clone3 resumed>) = 11\n\
         11 clone(child_stack=NULL, flags=SIGCHLD) = 12\n\
         12 execve(\"/usr/bin/cat\", [\"cat\"], 0x0 /* 0 vars */) = 0\n\
         10 vfork() = 13\n\
         13 execve(\"/bin/sh\", [\"sh\"], 0x0 /* 0 vars */) = 0\n",
    );
    let (inside, outside) = trace.judged();
    assert_eq!(inside, BTreeSet::from(["usr/sbin/pct"]));
    assert_eq!(outside, BTreeSet::from(["/bin/sh", "/it"]));
}
