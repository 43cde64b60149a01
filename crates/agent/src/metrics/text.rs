//! Metrics as text, in either of two formats: OpenMetrics 1.0, and the older text format 0.0.4, which is also what `node_exporter` reads
//! from files. Series are the same in both; only the lines around them differ.
//!
//! Of the crates for that, `prometheus-client` writes OpenMetrics only, whose `info` and `# EOF` the parser of the older format refuses.

use std::collections::BTreeMap;
use std::fmt;

use super::Told;

/// A longer value of a label is cut.
const LONGEST_LABEL: usize = 200;
/// No family has more series; the next ones are left out.
const MOST_ROWS: usize = 20_000;
/// What a name may end in, for what OpenMetrics wants to be told besides.
const UNITS: [&str; 4] = ["seconds", "bytes", "celsius", "ratio"];

/// In which format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Its name in HTTP.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A name, and everything that is told under it.
pub(super) struct Family {
    /// Its name. One that ends in `_info` has the value 1 and tells by its labels.
    pub(super) name: &'static str,
    /// What it tells, in one line.
    pub(super) help: &'static str,
    /// The names of its labels.
    pub(super) labels: &'static [&'static str],
    /// Puts its series down.
    pub(super) fill: fn(&Told<'_>, &mut Rows),
}

impl Family {
    pub(super) const fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        fill: fn(&Told<'_>, &mut Rows),
    ) -> Self {
        Self {
            name,
            help,
            labels,
            fill,
        }
    }

    /// `info`, or `gauge`.
    pub(super) fn kind(&self) -> &'static str {
        if self.name.ends_with("_info") {
            "info"
        } else {
            "gauge"
        }
    }

    fn unit(&self) -> Option<&'static str> {
        let mut units = UNITS.into_iter();
        units.find(|unit| self.name.ends_with(&format!("_{unit}")))
    }

    fn head(&self, format: Format) -> Vec<String> {
        let (name, help) = (self.name, self.help);
        match format {
            Format::Text => vec![
                format!("# HELP {name} {help}"),
                format!("# TYPE {name} gauge"),
            ],
            Format::OpenMetrics => {
                let family = name.strip_suffix("_info").unwrap_or(name);
                let mut lines = vec![format!("# TYPE {family} {}", self.kind())];
                lines.extend(self.unit().map(|unit| format!("# UNIT {family} {unit}")));
                lines.push(format!("# HELP {family} {help}"));
                lines
            }
        }
    }
}

/// A value, written without losing anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Whole(i128),
    Thousandths(u64),
    Float(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Thousandths(number) => write!(f, "{}.{:03}", number / 1000, number % 1000),
            Self::Float(number) => write!(f, "{number}"),
        }
    }
}

impl Value {
    fn exceeds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one > other,
            (Self::Thousandths(one), Self::Thousandths(other)) => one > other,
            (Self::Float(one), Self::Float(other)) => one > other,
            _ => false,
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Whole(number.into())
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Whole(is_so.into())
    }
}

/// The series of a family, in the order of their labels.
#[derive(Debug, Default)]
pub(super) struct Rows(BTreeMap<Vec<String>, Value>);

impl Rows {
    /// Puts a series down. Of two with the same labels the greater value stays: a series that stands there twice would make the whole
    /// text unreadable.
    pub(super) fn put(&mut self, labels: &[&str], value: impl Into<Value>) {
        let value = value.into();
        if matches!(value, Value::Float(number) if !number.is_finite()) {
            return;
        }
        let labels: Vec<String> = labels.iter().map(|label| cut(label)).collect();
        let has_room = self.0.len() < MOST_ROWS;
        match self.0.get_mut(&labels) {
            Some(there) if value.exceeds(*there) => *there = value,
            None if has_room => {
                self.0.insert(labels, value);
            }
            Some(_) | None => {}
        }
    }

    /// The same where there may be no value.
    pub(super) fn maybe(&mut self, labels: &[&str], value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(labels, value);
        }
    }

    /// One series for each state that could be, of which the one that is has the value 1. The state is the last label.
    pub(super) fn states(&mut self, label: &str, all: &[&str], is: &str) {
        for state in all {
            self.put(&[label, state], *state == is);
        }
    }
}

fn cut(label: &str) -> String {
    label.chars().take(LONGEST_LABEL).collect()
}

/// As both formats want it; what could move a cursor is no letter of a name.
fn quoted(label: &str) -> String {
    let mut out = String::with_capacity(label.len().saturating_add(2));
    out.push('"');
    for letter in label.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            odd if odd.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn series(family: &Family, labels: &[String], value: Value) -> String {
    let named = family.labels.iter().zip(labels);
    let named: Vec<String> = named
        .map(|(name, label)| format!("{name}={}", quoted(label)))
        .collect();
    if named.is_empty() {
        return format!("{} {value}", family.name);
    }
    format!("{}{{{}}} {value}", family.name, named.join(","))
}

/// The families in their order; those without a series are left out.
pub(super) fn render<'a>(
    families: impl IntoIterator<Item = &'a Family>,
    told: &Told<'_>,
    format: Format,
) -> String {
    let mut lines = Vec::new();
    for family in families {
        let mut rows = Rows::default();
        (family.fill)(told, &mut rows);
        if rows.0.is_empty() {
            continue;
        }
        lines.extend(family.head(format));
        let all = rows.0.iter();
        lines.extend(all.map(|(labels, value)| series(family, labels, *value)));
    }
    if format == Format::OpenMetrics {
        lines.push("# EOF".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_and_no_series_stands_there_twice() {
        let family = Family::new("felhom_test_celsius", "A test.", &["name"], |_, rows| {
            rows.put(&["a\"} 1\nfelhom_forged 2\\\r\u{1b}[2J"], 1_u64);
            rows.put(&["same"], Value::Float(1.5));
            rows.put(&["same"], Value::Float(2.5));
            rows.put(&["same"], Value::Float(2.0));
            rows.put(&["nan"], Value::Float(f64::NAN));
            rows.put(&[&"ű".repeat(300)], Value::Thousandths(41_007));
        });
        let told = Told::default();
        let text = render(&[family], &told, Format::OpenMetrics);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines.get(..5),
            Some(
                [
                    "# TYPE felhom_test_celsius gauge",
                    "# UNIT felhom_test_celsius celsius",
                    "# HELP felhom_test_celsius A test.",
                    "felhom_test_celsius{name=\"a\\\"} 1\\nfelhom_forged 2\\\\\u{fffd}\u{fffd}[2J\"} 1",
                    "felhom_test_celsius{name=\"same\"} 2.5",
                ]
                .as_slice()
            )
        );
        assert_eq!(
            lines[5],
            format!("felhom_test_celsius{{name=\"{}\"}} 41.007", "ű".repeat(200))
        );
        assert_eq!(lines[6..], ["# EOF"]);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn an_info_is_named_without_its_end_in_openmetrics_only() {
        let family = || {
            Family::new("felhom_test_info", "A test.", &["version"], |_, rows| {
                rows.put(&["1"], true);
            })
        };
        let empty = Family::new("felhom_none", "Nothing.", &[], |_, _| {});
        let told = Told::default();
        assert_eq!(
            render(&[family(), empty], &told, Format::Text),
            "# HELP felhom_test_info A test.\n# TYPE felhom_test_info gauge\nfelhom_test_info{version=\"1\"} 1\n"
        );
        assert_eq!(
            render(&[family()], &told, Format::OpenMetrics),
            "# TYPE felhom_test info\n# HELP felhom_test A test.\nfelhom_test_info{version=\"1\"} 1\n# EOF\n"
        );
    }
}
