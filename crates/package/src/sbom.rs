//! The bill of materials: what is linked into the two programs, as `CycloneDX` 1.5 has it. Nothing in it depends on the
//! machine or on the hour.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

/// The programs of the package, by their crates.
const PROGRAMS: [&str; 2] = ["felhom-agent", "felhom-host"];

/// Reads what `cargo metadata` printed and writes the bill.
///
/// # Errors
/// When it is not what `cargo metadata` prints, or a file cannot be read or written.
pub fn write(metadata: &Path, file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(metadata).with_context(|| format!("{}", metadata.display()))?;
    let metadata: Value = serde_json::from_str(&text).context("no JSON of `cargo metadata`")?;
    let mut text = serde_json::to_string_pretty(&bill(&metadata)?)?;
    text.push('\n');
    fs::write(file, text).with_context(|| format!("{}", file.display()))
}

/// The bill for what `cargo metadata` says.
///
/// # Errors
/// When a part of the document lacks.
pub fn bill(metadata: &Value) -> anyhow::Result<Value> {
    let packages = array(metadata, "/packages")?;
    let by_id: BTreeMap<&str, &Value> = packages
        .iter()
        .filter_map(|package| Some((package.get("id")?.as_str()?, package)))
        .collect();
    let edges = linked(metadata)?;
    let mut wanted: Vec<&str> = by_id
        .iter()
        .filter(|(_, package)| PROGRAMS.contains(&text(package, "name")))
        .map(|(id, _)| *id)
        .collect();
    anyhow::ensure!(wanted.len() == PROGRAMS.len(), "a program is not in it");
    let mut seen = BTreeSet::new();
    while let Some(id) = wanted.pop() {
        if seen.insert(id) {
            wanted.extend(edges.get(id).into_iter().flatten());
        }
    }
    let reference = |id: &str| by_id.get(id).map(|package| url(package));
    let mut components: Vec<(String, Value)> = seen
        .iter()
        .filter_map(|id| by_id.get(id))
        .map(|package| (url(package), component(package)))
        .collect();
    components.sort_by(|a, b| a.0.cmp(&b.0));
    let mut dependencies: Vec<(String, Vec<String>)> = seen
        .iter()
        .filter_map(|id| {
            let mut on: Vec<_> = edges
                .get(id)?
                .iter()
                .filter_map(|id| reference(id))
                .collect();
            on.sort();
            Some((reference(id)?, on))
        })
        .collect();
    dependencies.sort();
    let version = packages
        .iter()
        .find(|package| text(package, "name") == "felhom-agent");
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "name": "felhom-agent",
            "version": version.map(|package| text(package, "version")),
        } },
        "components": components.into_iter().map(|(_, one)| one).collect::<Vec<_>>(),
        "dependencies": dependencies
            .into_iter()
            .map(|(one, on)| json!({ "ref": one, "dependsOn": on }))
            .collect::<Vec<_>>(),
    }))
}

/// Package → the packages that are linked into it: not those of its tests, nor of its build script.
fn linked(metadata: &Value) -> anyhow::Result<BTreeMap<&str, Vec<&str>>> {
    let nodes = array(metadata, "/resolve/nodes")?.iter();
    let of = |node| {
        let node: &Value = node;
        let all = node.get("deps")?.as_array()?;
        let linked = all.iter().filter(|edge| {
            let kinds = edge.get("dep_kinds").and_then(Value::as_array);
            kinds
                .into_iter()
                .flatten()
                .any(|kind| kind.get("kind").is_some_and(Value::is_null))
        });
        let ids = linked.filter_map(|edge| edge.get("pkg")?.as_str());
        Some((node.get("id")?.as_str()?, ids.collect()))
    };
    Ok(nodes.filter_map(of).collect())
}

fn component(package: &Value) -> Value {
    let mut one = json!({
        "type": "library",
        "bom-ref": url(package),
        "name": text(package, "name"),
        "version": text(package, "version"),
        "purl": url(package),
    });
    let license = package.get("license").and_then(Value::as_str);
    if let (Some(one), Some(license)) = (one.as_object_mut(), license) {
        // The older crates write `/` for `OR`.
        let expression = license.replace('/', " OR ").replace("  ", " ");
        one.insert("licenses".to_owned(), json!([{ "expression": expression }]));
    }
    one
}

/// What names a package everywhere.
fn url(package: &Value) -> String {
    format!(
        "pkg:cargo/{}@{}",
        text(package, "name"),
        text(package, "version")
    )
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn array<'a>(value: &'a Value, pointer: &str) -> anyhow::Result<&'a Vec<Value>> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .with_context(|| format!("`{pointer}` is not in it"))
}
