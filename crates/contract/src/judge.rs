//! An answer beside what was expected of it.

use crate::check::{at, differs};
use crate::http::Answer;
use crate::pattern::matches;
use crate::question::Expectation;
use crate::report::Difference;
use crate::task::Ended;

/// Fills names into an expected text.
pub(crate) type Fill<'a> = &'a dyn Fn(&str) -> String;

/// Every point in which the answer and the task it started are not as expected.
pub(crate) fn compare(
    wanted: &Expectation,
    answer: &Answer,
    task: Option<&Ended>,
    fill: Fill<'_>,
) -> Vec<Difference> {
    let mut points = Points(Vec::new());
    if answer.status != wanted.status() {
        points.add(
            "HTTP status",
            &format!(
                "{} {}",
                wanted.status(),
                wanted.text.as_deref().map(fill).unwrap_or_default()
            ),
            &format!("{} {}{}", answer.status, answer.text(), errors(answer)),
        );
        return points.0;
    }
    let texts = [
        ("error text", &wanted.text, Some(answer.text())),
        ("status line", &wanted.reason, Some(answer.reason.clone())),
        ("body", &wanted.body, Some(answer.body.clone())),
        (
            "content type",
            &wanted.content_type,
            answer.content_type.clone(),
        ),
    ];
    for (what, pattern, came) in texts {
        if let Some(pattern) = pattern {
            points.text(what, &fill(pattern), came.as_deref());
        }
    }
    parameters(&mut points, wanted, answer, fill);
    let data = answer.data();
    for (path, value) in &wanted.data {
        let value = filled(value, fill);
        if let Some(came) = differs(at(&data, &fill(path)), &value) {
            points.add(&format!("data at `{path}`"), &value.to_string(), &came);
        }
    }
    ending(&mut points, wanted, task, fill);
    points.0
}

struct Points(Vec<Difference>);

impl Points {
    fn add(&mut self, what: &str, expected: &str, came: &str) {
        self.0.push(Difference {
            what: what.to_owned(),
            expected: expected.trim_end().to_owned(),
            came: came.trim_end().to_owned(),
        });
    }

    fn text(&mut self, what: &str, pattern: &str, came: Option<&str>) {
        let fits = match came {
            None => pattern == "@absent",
            Some(came) => matches(pattern, came),
        };
        if !fits {
            self.add(what, pattern, came.unwrap_or("nothing"));
        }
    }
}

fn errors(answer: &Answer) -> String {
    answer
        .errors()
        .map(|errors| format!(" {errors}"))
        .unwrap_or_default()
}

fn parameters(points: &mut Points, wanted: &Expectation, answer: &Answer, fill: Fill<'_>) {
    let errors = answer.errors().unwrap_or_default();
    for (parameter, pattern) in &wanted.errors {
        let came = errors.get(parameter).and_then(serde_json::Value::as_str);
        points.text(
            &format!("errors.{parameter}"),
            &fill(pattern),
            came.map(str::trim_end),
        );
    }
    if wanted.errors.is_empty() {
        return;
    }
    let count = errors.as_object().map_or(0, serde_json::Map::len);
    if count != wanted.errors.len() {
        let names: Vec<&str> = wanted.errors.keys().map(String::as_str).collect();
        points.add(
            "parameters with errors",
            &names.join(", "),
            &errors.to_string(),
        );
    }
}

fn ending(points: &mut Points, wanted: &Expectation, task: Option<&Ended>, fill: Fill<'_>) {
    match (&wanted.exit, task) {
        (None, None) => {}
        (None, Some(task)) => {
            let came = task.exit.as_deref().unwrap_or(&task.trouble);
            points.add(
                "task",
                "none",
                &format!("{} that ended `{came}`", task.upid),
            );
        }
        (Some(exit), None) => {
            points.add("task", &format!("one that ends `{}`", fill(exit)), "none");
        }
        (Some(exit), Some(task)) => {
            let exit = fill(exit);
            match &task.exit {
                Some(came) => {
                    if !matches(&exit, came) {
                        let log: Vec<&str> = task
                            .log
                            .iter()
                            .rev()
                            .take(4)
                            .rev()
                            .map(String::as_str)
                            .collect();
                        points.add(
                            "exit status",
                            &exit,
                            &format!("{came} (log: … {})", log.join(" / ")),
                        );
                    }
                }
                None => points.add("exit status", &exit, &task.trouble),
            }
            log(points, wanted, task, fill);
        }
    }
}

fn log(points: &mut Points, wanted: &Expectation, task: &Ended, fill: Fill<'_>) {
    let mut lines = task.log.iter();
    for pattern in &wanted.log {
        let pattern = fill(pattern);
        if !lines.any(|line| matches(&pattern, line)) {
            points.add("log", &pattern, &task.log.join(" / "));
            return;
        }
    }
    for pattern in &wanted.log_lacks {
        let pattern = fill(pattern);
        if let Some(line) = task.log.iter().find(|line| matches(&pattern, line)) {
            points.add("log", &format!("nothing like {pattern}"), line);
        }
    }
}

fn filled(value: &toml::Value, fill: Fill<'_>) -> toml::Value {
    match value {
        toml::Value::String(text) => toml::Value::String(fill(text)),
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => value.clone(),
    }
}
