//! The page `docs/reference/root-operations.md`, made of the enum and of the table.

use crate::argv::table::{Row, table};
use crate::operation::Operation;

const HEAD: &str = "\
# What is done as root

Everything that `felhom-hostd` does, and every command line that it can ever run. The page is made of the enum `Operation` and
of the one table of command lines (`crates/host/src/argv.rs`); a test compares it with them. What stands in capitals is put in
by root: names from the request that were parsed, and values of `/etc/felhom/hostd.toml`. What stands in brackets is there when
the configuration names it. No program sees anything else of a request, and none has an environment or a standard input. What such a
program starts by itself (systemd `mount` and `umount` for a unit, `pct` the tools of the storage) is its own.

";

/// The page.
pub fn root_operations_page() -> String {
    let rows = table();
    let mut page = HEAD.to_owned();
    for operation in Operation::samples() {
        page.push_str(&section(&operation, &rows));
    }
    page.push_str("## All programs\n\n| command line | seconds | run by |\n|---|---|---|\n");
    for row in &rows {
        let operations: Vec<_> = row
            .operations
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let (line, seconds) = (row.text(), row.line.deadline.as_secs());
        let operations = operations.join(", ");
        page.push_str(
            &[
                "| `",
                &line,
                "` | ",
                &seconds.to_string(),
                " | ",
                &operations,
                " |\n",
            ]
            .concat(),
        );
    }
    page
}

fn section(operation: &Operation, rows: &[Row]) -> String {
    let why = operation.why();
    let name = operation.name();
    let request = serde_json::to_string(operation).unwrap_or_default();
    let changes = if operation.changes() { "yes" } else { "no" };
    let lines: Vec<_> = rows
        .iter()
        .filter(|row| row.operations.contains(&name))
        .map(Row::text)
        .collect();
    let programs = if lines.is_empty() {
        "It starts no program.\n".to_owned()
    } else {
        format!("```text\n{}\n```\n", lines.join("\n"))
    };
    format!(
        "## `{name}`\n\n{}\n\n| | |\n|---|---|\n| request | `{request}` |\n| changes anything | {changes} |\n\
         | why no token can | {} |\n| root checks | {} |\n| root does by itself | {} |\n\n{programs}\n",
        why.does, why.no_token, why.checks, why.by_itself
    )
}
