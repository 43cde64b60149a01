//! The default configuration, from the reference page, which a test holds against the program: so it has every key.
//!
//! A line `#key = value` is a setting with its default, to be used by taking the `#` away; a line `# …` is prose.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;

/// What has no default and is needed, as on a box that was just installed.
const NEEDED: [(&str, &str); 5] = [
    ("node", "\"pve\""),
    ("pve.url", "\"https://127.0.0.1:8006\""),
    (
        "pve.fingerprint",
        "\"00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\"",
    ),
    ("principals.agent.token", "\"felhom-agent@pve!agent\""),
    ("principals.agent.secret_file", "\"credentials/agent\""),
];

/// A line of prose is no longer than this.
const WIDTH: usize = 100;

/// Reads the page and writes the file.
///
/// # Errors
/// When a file cannot be read or written, or the page has no keys.
pub fn write(page: &Path, file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("{}", page.display()))?;
    fs::write(file, example(&text)?).with_context(|| format!("{}", file.display()))
}

/// The configuration for a page's text.
///
/// # Errors
/// When it has no keys.
pub fn example(page: &str) -> anyhow::Result<String> {
    let rows: Vec<Row> = page.lines().filter_map(Row::read).collect();
    anyhow::ensure!(rows.len() > NEEDED.len(), "the page has no table of keys");
    let mut text = "# felhom-agent's configuration, /etc/felhom/agent.toml, which `felhom-agent enroll pve` writes.\n\
                    # A line `#key = value` is a setting with its default: without the `#` and with another value it counts.\n\
                    # `felhom-agent config check` says what is wrong, `config show` what is in force.\n"
        .to_owned();
    let mut table = String::new();
    for row in &rows {
        let (above, key) = row.key.rsplit_once('.').unwrap_or(("", &row.key));
        if above != table {
            above.clone_into(&mut table);
            header(
                &mut text,
                above,
                rows.iter().any(|row| row.is_needed(above)),
            )?;
        }
        row.write(&mut text, above, key)?;
    }
    Ok(text)
}

/// A line of a table of the page.
struct Row {
    key: String,
    default: String,
    meaning: String,
}

impl Row {
    fn read(line: &str) -> Option<Self> {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.trim_end_matches('`').replace("NAME", "agent");
        let default = cells.next()?.to_owned();
        let rest: Vec<&str> = cells.collect();
        let meaning = plain(rest.join(" | ").trim_end_matches('|').trim());
        Some(Self {
            key,
            default,
            meaning,
        })
    }

    fn is_needed(&self, table: &str) -> bool {
        let above = self.key.rsplit_once('.').map_or("", |(above, _)| above);
        above == table && NEEDED.iter().any(|(key, _)| *key == self.key)
    }

    fn write(&self, text: &mut String, table: &str, key: &str) -> std::fmt::Result {
        text.push('\n');
        prose(text, &self.meaning)?;
        let needed = NEEDED.iter().find(|(name, _)| *name == self.key);
        let value = self
            .default
            .strip_prefix('`')
            .and_then(|rest| rest.strip_suffix('`'));
        match (needed, value) {
            (Some((_, value)), _) => writeln!(text, "{key} = {value}"),
            (None, Some(value)) if is_template(table) => {
                writeln!(text, "# {key} = {}", toml(value))
            }
            (None, Some(value)) => writeln!(text, "#{key} = {}", toml(value)),
            (None, None) => writeln!(text, "# {key} = … {}", plain(&self.default)),
        }
    }
}

/// Whether a table stands there as often as one likes, and not by itself.
fn is_template(table: &str) -> bool {
    table.contains("[]") || table.chars().any(|letter| letter.is_ascii_uppercase())
}

fn header(text: &mut String, table: &str, needed: bool) -> std::fmt::Result {
    let (open, close, name) = match table.strip_suffix("[]") {
        Some(name) => ("[[", "]]", name.replace("[]", "")),
        None => ("[", "]", table.replace("[]", "")),
    };
    let mark = match (needed, is_template(table)) {
        (true, _) => "",
        (false, true) => "# ",
        (false, false) => "#",
    };
    writeln!(text, "\n\n{mark}{open}{name}{close}")
}

/// A value of the page as TOML has it.
fn toml(value: &str) -> String {
    let bare = value.parse::<f64>().is_ok()
        || matches!(value, "true" | "false")
        || value.starts_with(['[', '"', '{']);
    if bare {
        value.to_owned()
    } else {
        format!("\"{value}\"")
    }
}

/// Without links: `[text](where)` is its text.
fn plain(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("](") {
        let (prose, shown) = before.rsplit_once('[').unwrap_or((before, ""));
        out.extend([prose, shown]);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

fn prose(text: &mut String, words: &str) -> std::fmt::Result {
    let mut line = "#".to_owned();
    for word in words.split_whitespace() {
        if line.chars().count() + word.chars().count() >= WIDTH {
            writeln!(text, "{line}")?;
            "#".clone_into(&mut line);
        }
        line.extend([" ", word]);
    }
    writeln!(text, "{line}")
}
