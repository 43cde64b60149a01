//! The route table against the API's published schema: every method exists there under the same permission, and knows
//! no parameter, value or obligation that the schema does not know.

#![expect(
    clippy::print_stdout,
    reason = "the counts are for whoever reads the test's output"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::routes;
use crate::guest::props::{Format, Type};
use crate::route::{Kind, Param, Route, Rule};

/// Methods that take fewer parameters than the schema has, and look less closely, and why.
const FEWER: &[(&str, &str)] = &[
    (
        "POST /nodes/{node}/qemu",
        "machines have the options that backups and restores meet",
    ),
    ("PUT /nodes/{node}/qemu/{vmid}/config", "as above"),
    ("POST /nodes/{node}/qemu/{vmid}/config", "as above"),
    (
        "POST /nodes/{node}/qemu/{vmid}/status/start",
        "no machine comes from another node",
    ),
    ("POST /nodes/{node}/qemu/{vmid}/status/stop", "as above"),
    ("POST /nodes/{node}/qemu/{vmid}/status/shutdown", "as above"),
    (
        "POST /nodes/{node}/network",
        "bridges are the only interfaces that can be made",
    ),
];

/// Formats of values that nobody looks at here.
const UNCHECKED: &[&str] = &[
    "pve-storage-portal-dns",
    "pve-storage-zfs-blocksize",
    "storage-pair-list",
];

type Schema = BTreeMap<(String, String), Value>;

/// The schema, by path and method. `FELHOM_FACTS` names its folder; without it `shared/facts` of a folder above this crate.
fn schema() -> Option<Schema> {
    let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let file = named
        .into_iter()
        .chain(above.map(|above| above.join("shared/facts")))
        .map(|facts| facts.join("pve-apidoc-9.2.json"))
        .find(|path| path.is_file())?;
    let tree: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut found = Schema::new();
    collect(&tree, &mut found);
    Some(found)
}

fn collect(nodes: &Value, found: &mut Schema) {
    for node in nodes.as_array().into_iter().flatten() {
        for (method, info) in node["info"].as_object().into_iter().flatten() {
            let path = node["path"].as_str().unwrap().to_owned();
            found.insert((path, method.clone()), info.clone());
        }
        collect(&node["children"], found);
    }
}

/// Some bounds of the schema are numbers in quotes.
fn plain(bound: &Value) -> Value {
    match bound.as_str().map(str::parse::<i64>) {
        Some(Ok(number)) => json!(number),
        _ => bound.clone(),
    }
}

/// What a kind accepts, in the schema's words.
fn type_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        Kind::Int(..) | Kind::Vmid => "integer",
        Kind::Number(..) => "number",
        Kind::Array => "array",
        Kind::Text
        | Kind::Mount
        | Kind::Short(_)
        | Kind::Long(_)
        | Kind::Enum(_)
        | Kind::Pattern(_)
        | Kind::Properties(_)
        | Kind::ListOf(_)
        | Kind::VmidList
        | Kind::Node
        | Kind::StorageId
        | Kind::ConfigId
        | Kind::Format(_)
        | Kind::List => "string",
    }
}

/// Where a parameter differs from its entry in the schema.
#[expect(clippy::too_many_lines, reason = "one arm a kind")]
fn param_differs(param: &Param, entry: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut differs = |what: &str, ours: Value, theirs: &Value| {
        if ours != *theirs {
            problems.push(format!("{}: {what} {ours}, there {theirs}", param.name));
        }
    };
    let default = json!("string");
    let theirs = entry.get("type").unwrap_or(&default);
    differs("type", type_of(&param.kind).into(), theirs);
    let optional = json!(entry["optional"] == 1 || entry["optional"] == "1");
    differs("optional", param.optional.into(), &optional);
    differs("requires", json!(param.requires), &entry["requires"]);
    match &param.kind {
        Kind::Enum(values) => differs("enum", json!(values), &entry["enum"]),
        Kind::Short(most) => differs("maxLength", json!(most), &entry["maxLength"]),
        Kind::Long(least) => differs("minLength", json!(least), &entry["minLength"]),
        Kind::Pattern(_) => differs(
            "a pattern",
            true.into(),
            &entry["pattern"].is_string().into(),
        ),
        Kind::Int(least, most) => {
            let bound = |end: i64, none: i64| (end != none).then_some(end).into();
            differs(
                "minimum",
                bound(*least, i64::MIN),
                &plain(&entry["minimum"]),
            );
            differs("maximum", bound(*most, i64::MAX), &entry["maximum"]);
        }
        Kind::Vmid => differs("format", json!("pve-vmid"), &entry["format"]),
        Kind::StorageId => differs("format", json!("pve-storage-id"), &entry["format"]),
        Kind::ConfigId => differs("format", json!("pve-configid"), &entry["format"]),
        Kind::Node => differs("format", json!("pve-node"), &entry["format"]),
        Kind::VmidList => differs("format", json!("pve-vmid-list"), &entry["format"]),
        Kind::List | Kind::ListOf(_) => {
            let is_list = entry["format"]
                .as_str()
                .is_some_and(|name| name.ends_with("-list"));
            differs("a list", true.into(), &is_list.into());
        }
        Kind::Mount => differs("first", json!("rootfs"), &entry["enum"][0]),
        Kind::Text => {
            for what in ["enum", "maxLength", "minLength", "pattern", "format"] {
                let is_passed_over = UNCHECKED.iter().any(|format| entry[what] == **format);
                if !is_passed_over {
                    differs(what, Value::Null, &entry[what]);
                }
            }
        }
        Kind::Properties(format) => {
            problems.extend(keys_differ(param.name, format, &entry["format"]));
        }
        Kind::Format(_) => differs(
            "a format",
            true.into(),
            &(!entry["format"].is_null()).into(),
        ),
        Kind::Bool | Kind::Number(..) | Kind::Array => {}
    }
    problems
}

/// Where the keys of a property string differ.
fn keys_differ(name: &str, format: &Format, theirs: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if theirs.is_string() {
        // A format with a name, whose keys are not shown.
        return problems;
    }
    for key in format.keys {
        let entry = &theirs[key.name];
        let kind = match key.kind {
            Type::Bool => "boolean",
            Type::Int(..) => "integer",
            Type::Number => "number",
            Type::Format(_) | Type::Pattern(_) | Type::Enum(_) => "string",
        };
        let is_default = json!(format.default == Some(key.name));
        for (what, ours, theirs) in [
            ("type", kind.into(), entry["type"].clone()),
            (
                "required",
                key.required.into(),
                json!(entry["optional"].is_null()),
            ),
            ("default", is_default, json!(entry["default_key"] == 1)),
        ] {
            if ours != theirs {
                let key = key.name;
                problems.push(format!("{name}.{key}: {what} {ours}, there {theirs}"));
            }
        }
    }
    let known = |key: &str| format.keys.iter().any(|known| known.name == key);
    let left_out = theirs.as_object().into_iter().flatten();
    let left_out = left_out.filter(|(key, _)| !known(key));
    problems.extend(left_out.map(|(key, _)| format!("{name}.{key}: left out")));
    problems
}

/// The declared permission in the schema's words; none where a check of our own stands for it.
fn permission(rule: &Rule) -> Option<Value> {
    Some(match rule {
        Rule::World => json!({ "user": "world" }),
        Rule::User => json!({ "user": "all" }),
        Rule::RootOnly => Value::Null,
        Rule::By(_) => return None,
        Rule::All(..) | Rule::Any(..) | Rule::Given(..) | Rule::Or(_) | Rule::And(_) => {
            json!({ "check": check(rule) })
        }
    })
}

fn check(rule: &Rule) -> Value {
    match rule {
        Rule::All(path, privileges) => json!(["perm", path, privileges]),
        Rule::Any(path, privileges) => json!(["perm", path, privileges, "any", 1]),
        Rule::Given(name, path, privileges) => {
            json!(["perm", path, privileges, "require_param", name])
        }
        Rule::Or(rules) => combined("or", rules),
        Rule::And(rules) => combined("and", rules),
        Rule::World | Rule::User | Rule::RootOnly | Rule::By(_) => Value::Null,
    }
}

fn combined(word: &str, rules: &[Rule]) -> Value {
    let parts = rules.iter().map(check);
    json!(
        std::iter::once(json!(word))
            .chain(parts)
            .collect::<Vec<_>>()
    )
}

fn permission_differs(route: &Route, info: &Value) -> Option<String> {
    let ours = permission(&route.rule)?;
    let mut theirs = info["permissions"].clone();
    if let Some(fields) = theirs.as_object_mut() {
        fields.remove("description");
        // `user: all` ends the matter; what a check beside it is for, the method's own code knows.
        if fields.contains_key("user") {
            fields.remove("check");
        }
    }
    (ours != theirs).then(|| format!("permission {ours}, there {theirs}"))
}

fn route_differs(route: &Route, info: &Value) -> Vec<String> {
    let known = info["parameters"]["properties"].as_object();
    let entry = |name: &str| known.and_then(|known| known.get(name));
    let mut problems: Vec<String> = permission_differs(route, info).into_iter().collect();
    for param in route.params {
        match entry(param.name) {
            Some(entry) => problems.extend(param_differs(param, entry)),
            None => problems.push(format!("{}: not in the schema", param.name)),
        }
    }
    let of_path = |name: &str| route.path.contains(&format!("{{{name}}}"));
    let ours = |name: &str| route.params.iter().any(|param| param.name == name);
    let left_out = known.into_iter().flatten().map(|(name, _)| name.as_str());
    let name = format!("{} {}", route.method, route.path);
    if FEWER.iter().any(|(method, _)| *method == name) {
        problems.retain(|problem| !problem.contains(": format "));
        return problems;
    }
    let left_out: Vec<&str> = left_out
        .filter(|name| !of_path(name) && !ours(name))
        .collect();
    problems.extend(left_out.iter().map(|name| format!("{name}: left out")));
    problems
}

#[test]
fn routes_are_those_of_the_schema() {
    let Some(schema) = schema() else {
        println!(
            "skipped: routes_are_those_of_the_schema: FELHOM_FACTS names no folder with the schema"
        );
        return;
    };
    let (mut problems, mut methods, mut params) = (Vec::new(), 0, 0);
    for route in routes() {
        let name = format!("{} {}", route.method, route.path);
        methods += 1;
        params += route.params.len();
        match schema.get(&(route.path.to_owned(), route.method.to_owned())) {
            None => problems.push(format!("{name}: not in the schema")),
            Some(info) => {
                let differs = route_differs(route, info).into_iter();
                problems.extend(differs.map(|problem| format!("{name}: {problem}")));
            }
        }
    }
    println!(
        "schema: {methods} methods with {params} parameters, {} differences",
        problems.len()
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
