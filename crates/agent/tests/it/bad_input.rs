//! Bad input of every kind is met with a clear text and the documented exit code, and leaves nothing half done.
//!
//! Asked of the real program, so that what is asserted is what a person or a script gets to see.

mod configuration;
mod guests;
mod names;
mod rehearsal;
mod remote;
mod trust;
mod volumes;

use serde_json::Value;

use crate::support::*;

/// How the program refused: its exit code and the error document, checked to be whole.
struct Refused {
    exit: i32,
    error: Value,
}

impl Refused {
    fn message(&self) -> &str {
        self.error["message"].as_str().unwrap()
    }

    fn code(&self) -> &str {
        self.error["code"].as_str().unwrap()
    }

    fn hint(&self) -> &str {
        self.error["hint"].as_str().unwrap_or_default()
    }

    fn says(&self, exit: i32, words: &[&str]) {
        assert_eq!(self.exit, exit, "{}", self.error);
        for word in words {
            assert!(
                self.message().contains(word),
                "`{word}` is not in: {}",
                self.error
            );
        }
    }
}

/// Runs the program for an error document.
async fn refused(bench: &Bench, args: &[&str]) -> Refused {
    let args: Vec<&str> = ["--json"].into_iter().chain(args.iter().copied()).collect();
    let output = bench.program(&args, "").await;
    let document = output.json();
    assert_eq!(document["schema"], "felhom.error", "{args:?}: {output:?}");
    assert_eq!(document["version"], 1);
    let error = document["error"].clone();
    for key in ["code", "message", "causes", "hint"] {
        assert!(error.get(key).is_some(), "{args:?}: no `{key}` in {error}");
    }
    let exit = output.exit.unwrap();
    assert_eq!(error["exit"], exit);
    assert!(
        error["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
        "{args:?} does not say what to do next: {error}"
    );
    Refused { exit, error }
}

/// No job was begun, and the world was not changed.
async fn assert_untouched(bench: &Bench) {
    assert_eq!(bench.jobs().await, 0, "a job was begun");
    let mutations = bench.mutations();
    assert!(mutations.is_empty(), "{mutations:?}");
}

/// Commands that change the world when everything is well.
const MUTATING: [&[&str]; 5] = [
    &["backup", "run", "9001"],
    &["restore-test", "run"],
    &["restore-test", "run", "9001"],
    &["selftest", "task", "9001"],
    &["selftest", "restore-test"],
];

/// Commands that look at the node.
const LOOKING: [&[&str]; 6] = [
    &["status"],
    &["guests"],
    &["backup", "list"],
    &["storage", "list"],
    &["selftest"],
    &["volumes", "show", "9001"],
];
