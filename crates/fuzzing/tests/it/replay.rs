//! What was found before is found again, and a little is looked for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use felhom_fuzzing::{CHECKS, Check};

use crate::corpus::seeds;
use crate::mutate::{Random, mutate};

/// Changed inputs for each target, without being asked for more: a few seconds for all of them.
const ROUNDS: usize = 1_000;

/// Every run tries the same, so that a failure is the change's and not the day's.
const SEED: u64 = 0xfe1_0057;

fn number<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}: `{text}` is no number")),
        Err(_) => otherwise,
    }
}

fn holds(check: Check, bytes: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| check(bytes))).is_ok()
}

#[test]
fn every_seed_passes() {
    let mut failed = Vec::new();
    for (target, check) in CHECKS {
        for (name, bytes) in seeds(target) {
            if !holds(*check, &bytes) {
                failed.push(format!("{target}/{name}"));
            }
        }
    }
    assert!(failed.is_empty(), "these seeds fail: {failed:#?}");
}

#[test]
fn nothing_and_any_single_byte_pass() {
    for (target, check) in CHECKS {
        assert!(holds(*check, b""), "{target}: nothing");
        for byte in 0..=u8::MAX {
            assert!(holds(*check, &[byte]), "{target}: {byte:#x}");
        }
    }
}

/// `FELHOM_FUZZ_ROUNDS` raises the number of inputs for each target, `FELHOM_FUZZ_SEED` changes them all.
#[test]
fn changed_seeds_pass() {
    let rounds = number("FELHOM_FUZZ_ROUNDS", ROUNDS);
    let seed = number("FELHOM_FUZZ_SEED", SEED);
    let only = std::env::var("FELHOM_FUZZ_TARGET").ok();
    let wanted = |target: &str| only.as_deref().is_none_or(|only| only == target);
    std::thread::scope(|scope| {
        for (target, check) in CHECKS.iter().filter(|(target, _)| wanted(target)) {
            scope.spawn(move || explore(target, *check, rounds, seed));
        }
    });
}

fn explore(target: &str, check: Check, rounds: usize, seed: u64) {
    let seeds = seeds(target);
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let (_, one) = &seeds[random.below(seeds.len())];
        let (_, other) = &seeds[random.below(seeds.len())];
        let bytes = mutate(&mut random, one, other);
        if !holds(check, &bytes) {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-{round}"));
            std::fs::write(&path, &bytes).unwrap();
            panic!(
                "{target} fails in round {round} of FELHOM_FUZZ_SEED={seed}, on {:?}; the input is {}: \
                 make it small and put it into fuzz/corpus/{target} under a telling name",
                String::from_utf8_lossy(&bytes),
                path.display()
            );
        }
    }
}
