//! The client's own sources, read for the requests that they make, so that no call can be added without an example. Only
//! what stands in the text is known: items begin in the first column, as rustfmt has them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::examples::{Example, keys};

/// An item of a source file, as far as it makes requests.
pub(super) struct Item {
    /// The file, from the folder that holds the crates.
    pub(super) file: String,
    /// Its first line or lines, up to the brace.
    pub(super) head: String,
    /// The type that it makes a call of.
    pub(super) call: Option<String>,
    /// Whether it makes requests from nothing.
    pub(super) makes: bool,
    /// The parameters that it names; `mp[n]` for numbered ones.
    keys: BTreeSet<String>,
    /// Those that it leaves out when there is no value for them.
    optional: BTreeSet<String>,
    /// Those that it gives on a condition, or once for each of several.
    sometimes: BTreeSet<String>,
    /// Whether parameters come by names that only running it tells.
    has_unnamed: bool,
    /// The variants that it tells apart.
    variants: BTreeSet<String>,
}

/// Where calls are.
const CALLS: [&str; 2] = ["proxmox/src/pve/", "proxmox/src/pbs/"];

fn is_of_calls(file: &str) -> bool {
    CALLS.iter().any(|folder| file.starts_with(folder))
}

/// Crates that make requests and send them nowhere.
const SILENT: &[&str] = &["fuzzing"];

/// The one call whose parameters' names come from its caller.
const UNNAMED: &str = "impl Endpoint for SetLxcConfig";

/// The items of every crate that knows the client, tests left out.
pub(super) fn items() -> Vec<Item> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for entry in crates.read_dir().unwrap() {
        let folder = entry.unwrap().path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let product = manifest.split("[dev-dependencies]").next().unwrap();
        let is_silent = SILENT.iter().any(|name| folder.ends_with(name));
        if product.contains("felhom-proxmox") && !is_silent {
            walk(&folder.join("src"), &mut files);
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(crates).unwrap().to_str().unwrap();
        items_of(name, &std::fs::read_to_string(path).unwrap())
    };
    files.iter().flat_map(read).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The items of one file.
pub(super) fn items_of(file: &str, text: &str) -> Vec<Item> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut bodies: Vec<String> = Vec::new();
    for line in product.lines() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let starts = line.starts_with(|c: char| c.is_ascii_lowercase()) && line != "where";
        match bodies.last_mut() {
            Some(body) if !starts => {
                body.push('\n');
                body.push_str(line);
            }
            Some(_) | None => bodies.push(line.to_owned()),
        }
    }
    bodies.iter().map(|body| Item::read(file, body)).collect()
}

impl Item {
    fn read(file: &str, body: &str) -> Self {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let head = words(body.split('{').next().unwrap_or_default());
        let call = head
            .split_once("Endpoint for ")
            .or_else(|| head.split_once("Call for "));
        let call = call.map(|(_, name)| {
            let end = name.find(['<', ' ']).unwrap_or(name.len());
            name.chars().take(end).collect()
        });
        let dense: String = body.split_whitespace().collect();
        let mut item = Self {
            file: file.to_owned(),
            head,
            call,
            makes: makes(&dense),
            keys: BTreeSet::new(),
            optional: BTreeSet::new(),
            sometimes: BTreeSet::new(),
            has_unnamed: false,
            variants: variants(&dense),
        };
        if dense.contains("Request") && is_of_calls(file) {
            for method in ["with", "flag"] {
                item.read_keys(&dense, method, false);
            }
            for method in ["maybe", "maybe_flag", "joined", "repeated"] {
                item.read_keys(&dense, method, true);
            }
        }
        item
    }

    fn read_keys(&mut self, dense: &str, method: &str, is_optional: bool) {
        let pieces: Vec<&str> = dense.split(&format!(".{method}(")).collect();
        for (before, behind) in pieces.iter().zip(pieces.iter().skip(1)) {
            let quoted = behind.trim_start_matches("&format!(").strip_prefix('"');
            let Some((key, _)) = quoted.and_then(|text| text.split_once('"')) else {
                self.has_unnamed = true;
                continue;
            };
            let (key, is_numbered) = match key.split_once('{') {
                Some((prefix, _)) => (format!("{prefix}[n]"), true),
                None => (key.to_owned(), false),
            };
            if is_optional {
                self.optional.insert(key.clone());
            } else if is_numbered || before.ends_with("{request") {
                self.sometimes.insert(key.clone());
            }
            self.keys.insert(key);
        }
    }

    /// Whether it is the one that begins like this, in this file.
    pub(super) fn is(&self, (file, head): &(&str, &str)) -> bool {
        self.file == *file && self.head.starts_with(head)
    }

    fn is_of(&self, example: &Example) -> bool {
        self.call.as_ref().is_some_and(|call| {
            let rest = example.call.strip_prefix(call);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    }
}

/// A request of ours, not something whose name ends alike.
fn makes(dense: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let pieces: Vec<&str> = dense.split("Request::new(").collect();
    let mut before = pieces.iter().take(pieces.len() - 1);
    before.any(|before| !before.ends_with(is_part))
}

fn variants(dense: &str) -> BTreeSet<String> {
    let behind = dense.split("Self::").skip(1);
    let name = |text: &str| -> String {
        let letters = text.chars();
        letters.take_while(char::is_ascii_alphanumeric).collect()
    };
    behind
        .map(name)
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .collect()
}

/// What the examples do not show: calls, variants, parameters; everything at once, and the least.
pub(super) fn gaps(items: &[Item], examples: &[Example]) -> Vec<String> {
    let mut gaps = Vec::new();
    for item in items {
        let shown = shown_by(item, items, examples);
        let mut gap = |what: &str| gaps.push(format!("{}: {}: {what}", item.file, item.head));
        if item.call.is_some() && shown.is_empty() {
            gap("no example");
        }
        for key in &item.keys {
            if !shown.iter().any(|example| has(example, key)) {
                gap(&format!("no example with `{key}`"));
            }
        }
        for key in item.optional.union(&item.sometimes) {
            if shown.iter().all(|example| has(example, key)) {
                gap(&format!("no example without `{key}`"));
            }
        }
        for variant in &item.variants {
            let name = format!("{}::{variant}", item.call.as_deref().unwrap_or_default());
            if item.call.is_some() && shown.iter().all(|example| example.call != name) {
                gap(&format!("no example of {name}"));
            }
        }
        // Variants have optional parameters each of their own.
        if item.variants.is_empty() && !item.optional.is_empty() {
            let is_most = |one: &&Example| item.optional.iter().all(|key| has(one, key));
            if !shown.iter().any(is_most) {
                gap("no example with everything");
            }
            let is_least = |one: &&Example| !item.optional.iter().any(|key| has(one, key));
            if !shown.iter().any(is_least) {
                gap("no example with the least");
            }
        }
    }
    gaps
}

/// The examples of a call, or of all the calls in the file of something that helps them.
fn shown_by<'a>(item: &Item, items: &[Item], examples: &'a [Example]) -> Vec<&'a Example> {
    let calls = items.iter().filter(|one| match item.call {
        Some(_) => std::ptr::eq(item, *one),
        None => item.file == one.file,
    });
    let calls: Vec<&Item> = calls.collect();
    let is_shown = |example: &&Example| calls.iter().any(|call| call.is_of(example));
    examples.iter().filter(is_shown).collect()
}

/// Whether an example names the parameter, or one of several that are numbered.
fn has(example: &Example, key: &str) -> bool {
    let is_it = |one: &str| match key.strip_suffix("[n]") {
        Some(prefix) => {
            let number = one.strip_prefix(prefix);
            number.is_some_and(|number| number.parse::<u16>().is_ok())
        }
        None => one == key,
    };
    keys(&example.request).into_iter().any(is_it)
}

/// What makes requests that examples cannot show.
pub(super) fn strays<'a, I>(items: &[Item], known: impl Fn() -> I) -> Vec<String>
where
    I: Iterator<Item = &'a (&'a str, &'a str)>,
{
    let mut strays = Vec::new();
    for item in items {
        let mut stray = |what: &str| strays.push(format!("{}: {}: {what}", item.file, item.head));
        if item.call.is_some() && !is_of_calls(&item.file) {
            stray("a call outside of the client");
        } else if item.call.is_none() && item.makes && !known().any(|maker| item.is(maker)) {
            stray("makes requests and is no call");
        }
        if item.has_unnamed && item.head != UNNAMED {
            stray("gives parameters without saying their names");
        }
    }
    strays
}
