//! What the questions about a backup server rest on is real: the recordings and the written account, where they are.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use felhom_contract::{Catalogue, Evidence, Expected, Product, Question, matches};
use serde_json::Value;

/// Recorded exchanges by `FILE:NAME`.
type Recordings = BTreeMap<String, Vec<Value>>;

/// `FELHOM_FACTS` names the folder of facts; without it `shared/facts` of a folder above this crate.
fn facts() -> Option<PathBuf> {
    let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    named
        .into_iter()
        .chain(above.map(|above| above.join("shared/facts")))
        .find(|facts| facts.join("traces/pbs").is_dir())
}

fn skipped(name: &str) {
    let text = "FELHOM_FACTS names no folder with recordings of a backup server";
    writeln!(std::io::stderr().lock(), "skipped: {name}: {text}").unwrap();
}

fn recordings(facts: &Path) -> Recordings {
    let mut found = Recordings::new();
    for file in std::fs::read_dir(facts.join("traces/pbs")).unwrap() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let exchange: Value = serde_json::from_str(line).unwrap();
            let name = format!("{stem}:{}", exchange["name"].as_str().unwrap());
            found.entry(name).or_default().push(exchange);
        }
    }
    found
}

/// The first name is the answer to the call; others tell of its task.
#[test]
fn what_is_called_recorded_was_recorded_so() {
    let Some(facts) = facts() else {
        return skipped("what_is_called_recorded_was_recorded_so");
    };
    let recordings = recordings(&facts);
    let (mut compared, mut wrong) = (0, Vec::new());
    for question in Catalogue::of(Product::Pbs).unwrap().questions() {
        let Evidence::Recorded(names) = &question.evidence else {
            continue;
        };
        compared += 1;
        wrong.extend(complaint(question, names, &recordings));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 150, "{compared}");
    writeln!(
        std::io::stderr().lock(),
        "questions compared with recordings: {compared}"
    )
    .unwrap();
}

fn complaint(question: &Question, names: &[String], recordings: &Recordings) -> Option<String> {
    let missing = names.iter().find(|name| !recordings.contains_key(*name));
    if let Some(name) = missing {
        return Some(format!("{}: no recording {name}", question.name));
    }
    let known = question.expected();
    let mut least: Option<Vec<String>> = None;
    for exchange in &recordings[&names[0]] {
        let mut points = answer_differs(&known, exchange);
        let told: Vec<&Value> = names[1..]
            .iter()
            .flat_map(|name| &recordings[name])
            .collect();
        points.extend(task_differs(&known, exchange, &told));
        if least
            .as_ref()
            .is_none_or(|least| points.len() < least.len())
        {
            least = Some(points);
        }
    }
    let points = least.filter(|points| !points.is_empty())?;
    Some(format!("{}: {}", question.name, points.join("; ")))
}

fn answer_differs(known: &Expected, exchange: &Value) -> Vec<String> {
    let mut points = Vec::new();
    if exchange["status"] != known.status {
        return vec![format!(
            "recorded {} {}",
            exchange["status"], exchange["body"]
        )];
    }
    let body = exchange["body"].as_str();
    // Names of ours for what is not there.
    let pattern = known.text.as_ref().or(known.body.as_ref());
    let pattern = pattern.map(|text| text.replace("felhom-contract-none", "*"));
    if let (Some(pattern), Some(body)) = (&pattern, body)
        && !matches(pattern, body.trim_end())
    {
        points.push(format!("text {body:?}"));
    }
    if known.text.is_some() && body.is_none() {
        points.push("the recorded body is no text".into());
    }
    if let Some(kind) = &known.content_type
        && exchange["content_type"] != **kind
    {
        points.push(format!("content type {}", exchange["content_type"]));
    }
    points.extend(known.data_differs(&exchange["body"]["data"]));
    points
}

/// The end and the log of the task that an exchange started, as far as other exchanges tell of it.
fn task_differs(known: &Expected, exchange: &Value, told: &[&Value]) -> Vec<String> {
    let mut points = Vec::new();
    let upid = exchange["body"]["data"].as_str();
    let started = upid.is_some_and(|data| data.starts_with("UPID:"));
    if started != known.exit.is_some() {
        points.push(format!("recorded a task: {started}"));
    }
    let ends = told
        .iter()
        .filter_map(|one| one["body"]["data"]["exitstatus"].as_str());
    let end = ends.collect::<Vec<_>>();
    if let (Some(exit), false) = (&known.exit, end.is_empty())
        && !end.iter().any(|end| matches(exit, end))
    {
        points.push(format!("recorded end {end:?}"));
    }
    let logs = told.iter().filter_map(|one| one["body"]["data"].as_array());
    let lines = logs.flatten().filter_map(|line| line["t"].as_str());
    let lines: Vec<&str> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(_, text)| text)
        .collect();
    if lines.is_empty() {
        return points;
    }
    let mut rest = lines.iter();
    for pattern in &known.log {
        // Other numbers of guests than those that were recorded.
        let pattern = ["9021", "9022", "9023"]
            .iter()
            .fold(pattern.clone(), |text, id| text.replace(id, "*"));
        if !rest.any(|line| matches(&pattern, line)) {
            points.push(format!("recorded log has no `{pattern}`"));
        }
    }
    let forbidden = |line: &&&str| known.log_lacks.iter().any(|lacks| matches(lacks, line));
    points.extend(
        lines
            .iter()
            .find(forbidden)
            .map(|line| format!("recorded log has `{line}`")),
    );
    points
}

/// Every point that is named stands in the account, and the table of permissions is that of the account.
#[test]
fn what_is_called_fact_is_written_down() {
    let Some(facts) = facts() else {
        return skipped("what_is_called_fact_is_written_down");
    };
    let text = std::fs::read_to_string(facts.join("PBS-FACTS.md")).unwrap();
    let mut section = String::new();
    let mut known = Vec::new();
    for line in text.lines() {
        let number = |text: &str| {
            text.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        };
        if let Some(title) = line
            .strip_prefix("## ")
            .filter(|title| !number(title).is_empty())
        {
            section = number(title);
            known.push(format!("§{section}"));
        } else if line
            .split_once(". ")
            .is_some_and(|(point, _)| point.parse::<u8>().is_ok())
        {
            known.push(format!("§{section}.{}", number(line)));
        }
    }
    for question in Catalogue::of(Product::Pbs).unwrap().questions() {
        if let Evidence::Facts(points) = &question.evidence {
            let lost: Vec<&String> = points
                .iter()
                .filter(|point| !known.contains(point))
                .collect();
            assert!(lost.is_empty(), "{}: {lost:?}", question.name);
        }
    }
}

/// A cell of the account, where the most entries that anybody saw are all.
fn cell_fits(known: &str, cell: &str, most: Option<u32>) -> bool {
    let (status, entries) = split(cell);
    let (wanted, count) = known
        .split_once(' ')
        .map_or((known, None), |(one, two)| (one, Some(two)));
    let counted = match count {
        None => entries.is_none(),
        Some("all") => entries == most,
        Some(count) => entries == count.parse().ok(),
    };
    status == wanted && counted
}

fn split(cell: &str) -> (&str, Option<u32>) {
    let counted = cell.strip_suffix(']').and_then(|cell| cell.split_once('['));
    counted.map_or((cell, None), |(status, count)| (status, count.parse().ok()))
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_table_of_permissions_is_the_accounts() {
    let Some(facts) = facts() else {
        return skipped("the_table_of_permissions_is_the_accounts");
    };
    let text = std::fs::read_to_string(facts.join("PBS-FACTS.md")).unwrap();
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("| call |"));
    let roles = cells(lines.next().unwrap());
    let rows: BTreeMap<&str, Vec<&str>> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .map(|row| (row[0].trim_end_matches("-denied?"), row))
        .collect();
    let catalogue = Catalogue::of(Product::Pbs).unwrap();
    let mut compared = 0;
    for (call, role, known) in catalogue.permissions() {
        let row = &rows[call];
        let place = roles.iter().position(|one| *one == role).unwrap();
        let most = row.iter().filter_map(|cell| split(cell).1).max();
        assert!(
            cell_fits(known, row[place], most),
            "{call} {role}: {known}, not {}",
            row[place]
        );
        compared += 1;
    }
    assert_eq!(compared, rows.len() * (roles.len() - 1));
}
