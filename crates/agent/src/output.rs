//! The one door for output: data on stdout, narration on stderr, one JSON document where `--json` asks for it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use comfy_table::{ColumnConstraint, Table, TableStyle, Width};
use felhom_engine::Finding;
pub use felhom_engine::size;
use serde::Serialize;
use serde_json::json;

use crate::exit::Failure;

/// What a command printed, kept instead of printed.
#[derive(Debug, Clone)]
pub enum Printed {
    /// A document.
    Document {
        /// Its schema's name.
        schema: String,
        /// For programs.
        data: serde_json::Value,
        /// For people.
        text: String,
    },
    /// A line of narration.
    Narration(String),
    /// A failure: its code for programs, its message for people.
    Failure(String, String),
}

/// Where [`Printed`] is kept.
pub type Record = Arc<Mutex<Vec<Printed>>>;

/// How the user wants to be spoken to.
#[derive(Debug, Clone, Default)]
pub struct Printer {
    /// One JSON document on stdout instead of text.
    pub json: bool,
    /// No narration.
    pub quiet: bool,
    /// Keep what would be printed, for a caller in the same process.
    pub record: Option<Record>,
}

impl Printer {
    /// Prints a document and what a person should know about it: programs find it under `findings`.
    pub fn document_with_findings(
        &self,
        schema: &str,
        data: &impl Serialize,
        findings: &[Finding],
        text: impl FnOnce() -> String,
    ) {
        if self.record.is_some() || !self.json || findings.is_empty() {
            return self.document(schema, data, text);
        }
        let document =
            json!({ "schema": schema, "version": 1, "data": data, "findings": findings });
        let out = serde_json::to_string_pretty(&document).unwrap_or_default();
        write_line(&mut std::io::stdout().lock(), &out);
    }

    /// Prints a document: `text` for people, or `data` under its schema name for programs. A broken pipe is no error.
    pub fn document(&self, schema: &str, data: &impl Serialize, text: impl FnOnce() -> String) {
        if self.record.is_some() {
            let data = serde_json::to_value(data).unwrap_or_default();
            return self.keep(Printed::Document {
                schema: schema.to_owned(),
                data,
                text: text(),
            });
        }
        let out = if self.json {
            let document = json!({ "schema": schema, "version": 1, "data": data });
            serde_json::to_string_pretty(&document).unwrap_or_default()
        } else {
            printable(&text())
        };
        write_line(&mut std::io::stdout().lock(), out.trim_end());
    }

    /// Says something to the person in front of the terminal.
    pub fn narrate(&self, line: &str) {
        if self.record.is_some() {
            return self.keep(Printed::Narration(line.to_owned()));
        }
        if !self.quiet && !self.json {
            write_line(&mut std::io::stderr().lock(), &printable(line));
        }
    }

    /// Prints why a command failed.
    pub fn failure(&self, failure: &Failure) {
        if self.record.is_some() {
            return self.keep(Printed::Failure(
                failure.code.to_owned(),
                failure.message.clone(),
            ));
        }
        if self.json {
            let document = json!({
                "schema": "felhom.error",
                "version": 1,
                "error": {
                    "code": failure.code,
                    "exit": failure.exit.code(),
                    "message": failure.message,
                    "causes": failure.causes,
                    "hint": failure.hint,
                },
            });
            let text = serde_json::to_string_pretty(&document).unwrap_or_default();
            return write_line(&mut std::io::stdout().lock(), &text);
        }
        let mut err = std::io::stderr().lock();
        let mut say = |line: &str| write_line(&mut err, &printable(line));
        say(&format!("error: {}", failure.message));
        for cause in &failure.causes {
            say(&format!("  caused by: {cause}"));
        }
        if let Some(hint) = &failure.hint {
            say(&format!("hint: {hint}"));
        }
    }
}

/// What guests, notes and logs say cannot move the cursor or colour the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn write_line(out: &mut impl Write, line: &str) {
    // Whoever closed the pipe has read enough.
    if writeln!(out, "{line}").is_err() {}
}

impl Printer {
    fn keep(&self, printed: Printed) {
        if let Some(mut record) = self.record.as_ref().and_then(|record| record.lock().ok()) {
            record.push(printed);
        }
    }
}

/// What a terminal, a mail and a ticket show without folding.
const TABLE_WIDTH: u16 = 100;

/// A last column narrower than this cannot be read.
const LAST_WIDTH: u16 = 20;

/// A table for people: a header line and rows, columns padded, no frame, folded to fit.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::default());
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    fit(&mut table);
    table.trim_fmt()
}

/// Folds the last column into what the others leave, and the widest of the others when they leave too little.
fn fit(table: &mut Table) {
    let widths = table.column_max_content_widths();
    let Some((last, others)) = widths.split_last() else {
        return;
    };
    // Each column is padded by a blank on both sides, and a boundary counts the padding.
    let padded = others.iter().fold(2_u16, |sum, width| {
        sum.saturating_add(*width).saturating_add(2)
    });
    let left = TABLE_WIDTH.saturating_sub(padded);
    let needed = (*last).min(LAST_WIDTH);
    let mut fold = |index, width: u16| {
        if let Some(column) = table.column_mut(index) {
            let width = Width::Fixed(width.saturating_add(2));
            column.set_constraint(ColumnConstraint::UpperBoundary(width));
        }
    };
    fold(others.len(), left.max(needed));
    let widest = others.iter().enumerate().max_by_key(|(_, width)| **width);
    if let Some((index, width)) = widest.filter(|_| left < needed) {
        let folded = width.saturating_sub(needed.saturating_sub(left));
        fold(index, folded.max(LAST_WIDTH));
    }
}

/// A duration for people: `0.4 s`, `12.3 s`.
pub fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
