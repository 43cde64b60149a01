//! `docs/reference/root-operations.md` is what the enum and the table say.

use std::collections::BTreeSet;
use std::path::Path;

use felhom_host::{Operation, root_operations_page};

const PATH: &str = "../../docs/reference/root-operations.md";

#[test]
fn the_page_is_made_of_the_enum_and_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH);
    let page = root_operations_page();
    if std::env::var_os("FELHOM_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, page,
        "FELHOM_BLESS=1 cargo test -p felhom-host --test it reference writes the page anew"
    );
}

#[test]
fn there_is_a_sample_of_each_operation_and_a_section_of_it() {
    let samples = Operation::samples();
    let names: Vec<_> = samples.iter().map(Operation::name).collect();
    assert_eq!(names, Operation::NAMES);
    let page = root_operations_page();
    for name in names {
        assert!(page.contains(&format!("\n## `{name}`\n")), "{name}");
    }
    // A table's cell ends at a bar.
    let texts = samples.iter().map(Operation::why);
    for text in texts.flat_map(|why| [why.does, why.no_token, why.checks, why.by_itself]) {
        assert!(!text.contains(['|', '\n']) && text.ends_with('.'), "{text}");
    }
}

/// The names of variants in the source, so that one that was forgotten in `NAMES` is seen.
#[test]
fn no_variant_is_missing_among_the_names() {
    let source = include_str!("../../src/operation.rs");
    let (_, rest) = source.split_once("pub enum Operation {").unwrap();
    let (variants, _) = rest.split_once("\n}\n").unwrap();
    let variants: BTreeSet<_> = variants
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .filter_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()).next())
        .map(kebab)
        .collect();
    let names = Operation::NAMES.map(str::to_owned);
    assert_eq!(variants, BTreeSet::from(names));
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}
