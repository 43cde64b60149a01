//! Target, corpus and check belong together by name.

use std::collections::BTreeSet;

use felhom_fuzzing::CHECKS;

use crate::corpus::{fuzz, names, seeds};

/// Larger seeds are slow to change and hard to read.
const LARGEST: usize = 16 << 10;

fn checks() -> BTreeSet<String> {
    CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

#[test]
fn every_check_is_a_target_with_a_corpus_and_nothing_is_left_over() {
    let checks = checks();
    assert_eq!(names(&fuzz().join("corpus")), checks);
    let files = checks.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), files);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let binaries = manifest["bin"].as_array().unwrap();
    let built = |key: &str| -> BTreeSet<String> {
        let values = binaries.iter().map(|binary| &binary[key]);
        values
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(built("name"), checks);
    let paths = checks.iter().map(|name| format!("fuzz_targets/{name}.rs"));
    assert_eq!(built("path"), paths.collect());
}

#[test]
fn every_target_calls_the_check_of_its_name() {
    for name in checks() {
        let path = fuzz().join("fuzz_targets").join(format!("{name}.rs"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(
            text.contains(&format!("felhom_fuzzing::{name}(data)")),
            "{name}"
        );
    }
}

#[test]
fn every_corpus_has_seeds_that_say_what_they_are() {
    for name in checks() {
        let seeds = seeds(&name);
        assert!(seeds.len() >= 10, "{name} has {} seeds", seeds.len());
        let mut seen = BTreeSet::new();
        for (seed, bytes) in seeds {
            assert!(seed.contains('-') || seed.len() < 20, "{name}/{seed}");
            assert!(bytes.len() <= LARGEST, "{name}/{seed} is too large");
            assert!(seen.insert(bytes), "{name}/{seed} stands there twice");
        }
    }
}
