//! Readers of both formats, as strict as the specifications: OpenMetrics 1.0, and the parser of `node_exporter` (expfmt of
//! `prometheus/common`), which gives up on the whole file at the first oddity.

#![expect(
    clippy::expect_used,
    clippy::string_slice,
    reason = "a parser that is only to fail loudly, on text of ASCII"
)]

use std::collections::{BTreeMap, BTreeSet};

/// A series: its name and labels, as they would be a key.
pub(crate) type Series = (String, BTreeMap<String, String>);

/// What was read: the value of each series, and the kind of each family.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) series: BTreeMap<Series, f64>,
    pub(crate) kinds: BTreeMap<String, String>,
}

impl Read {
    /// The value of a series.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter();
        let labels = labels.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.series
            .get(&(name.to_owned(), labels.collect()))
            .copied()
    }

    /// All names of series.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.series.keys().map(|(name, _)| name.as_str()).collect()
    }
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Labels up to the closing brace, and what comes after.
fn labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
    let mut all = BTreeMap::new();
    loop {
        let (key, rest) = text.split_once("=\"").expect("a label has a quoted value");
        assert!(is_name(key) && !key.contains(':'), "{key}");
        let (mut value, mut letters) = (String::new(), rest.char_indices());
        let end = loop {
            match letters.next().expect("a value ends with a quote") {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    plain @ ('\\' | '"') => plain,
                    odd => panic!("`\\{odd}` is no escape"),
                }),
                (_, plain) => value.push(plain),
            }
        };
        assert_eq!(all.insert(key.to_owned(), value), None, "`{key}` twice");
        match rest[end + 1..].strip_prefix(',') {
            Some(next) => text = next,
            None => return (all, rest[end + 1..].strip_prefix('}').expect("a brace")),
        }
    }
}

fn sample(line: &str) -> (Series, f64) {
    let end = line.find(['{', ' ']).expect("a value after a name");
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => labels(inner),
        None => (BTreeMap::new(), rest),
    };
    // No timestamp: the textfile collector refuses them.
    let value = rest.strip_prefix(' ').expect("one blank");
    assert!(
        value
            .chars()
            .all(|c| c.is_ascii_digit() || "-.e".contains(c)),
        "{line}"
    );
    ((name.to_owned(), labels), value.parse().unwrap())
}

/// Reads a text of either format, and panics where a strict reader would give up.
pub(crate) fn read(text: &str, openmetrics: bool) -> Read {
    assert!(text.ends_with('\n') && !text.contains("\n\n") && !text.contains('\r'));
    let mut lines: Vec<&str> = text.lines().collect();
    if openmetrics {
        assert_eq!(lines.pop(), Some("# EOF"));
    }
    let (mut read, mut family) = (Read::default(), String::new());
    let (mut told, mut before): (Vec<&str>, _) = (Vec::new(), BTreeSet::new());
    for line in lines {
        if let Some(head) = line.strip_prefix("# ") {
            let mut words = head.splitn(3, ' ');
            let (word, name, value) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            );
            if name != family {
                assert!(is_name(name), "{line}");
                assert!(
                    before.insert(name.to_owned()),
                    "`{name}` stands in two places"
                );
                name.clone_into(&mut family);
                told.clear();
            }
            assert!(!told.contains(&word), "`{word}` of `{name}` twice");
            told.push(word);
            match word {
                "TYPE" => {
                    let known: &[&str] = if openmetrics {
                        &["gauge", "info"]
                    } else {
                        &["gauge"]
                    };
                    assert!(known.contains(&value), "{line}");
                    drop(read.kinds.insert(name.to_owned(), value.to_owned()));
                }
                "UNIT" => assert!(
                    openmetrics && name.ends_with(&format!("_{value}")),
                    "{line}"
                ),
                "HELP" => assert!(!value.is_empty() && !value.contains(['\\', '"']), "{line}"),
                odd => panic!("`{odd}` is no word"),
            }
            continue;
        }
        let ((name, labels), value) = sample(line);
        let kind = &read.kinds[&family];
        match kind.as_str() {
            "info" => assert_eq!((name.clone(), value), (format!("{family}_info"), 1.0)),
            _ => assert_eq!(name, family, "a series stands below another family"),
        }
        assert!(told.contains(&"HELP") && told.contains(&"TYPE"), "{name}");
        let twice = read.series.insert((name, labels), value);
        assert_eq!(twice, None, "twice: {line}");
    }
    read
}
