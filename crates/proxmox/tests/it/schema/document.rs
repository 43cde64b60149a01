//! The published schema as a list of operations, and a request as the server reads it, so that one can be found for the
//! other. Both are read here and not by the client's own code, which is what is being judged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use felhom_proxmox::Request;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Names and values, in their order.
pub(super) type Pairs = Vec<(String, String)>;

/// Every operation that the API offers.
pub(super) struct Schema {
    operations: Vec<Operation>,
    /// What the format `pve-priv` allows, which the schema does not tell.
    pub(super) privileges: BTreeSet<String>,
}

/// One method of one path.
pub(super) struct Operation {
    segments: Vec<String>,
    method: String,
    /// Its parameters by name, those in the path among them.
    pub(super) parameters: Map<String, Value>,
    /// Whether it takes parameters that it does not list.
    pub(super) is_open: bool,
}

/// A request, taken apart as pveproxy takes it apart.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) segments: Vec<String>,
    pub(super) params: Pairs,
}

impl Schema {
    /// The schema. `FELHOM_FACTS` names its folder; without it `shared/facts` of a folder above this crate.
    pub(super) fn beside() -> Option<Self> {
        let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let facts = named
            .into_iter()
            .chain(above.map(|above| above.join("shared/facts")))
            .find(|facts| facts.join("pve-apidoc-9.2.json").is_file())?;
        let tree = std::fs::read(facts.join("pve-apidoc-9.2.json")).unwrap();
        let privileges = std::fs::read_to_string(facts.join("pve-privileges-9.2.txt")).unwrap();
        let privileges = privileges.lines().map(str::to_owned).collect();
        Some(Self::new(
            &serde_json::from_slice(&tree).unwrap(),
            privileges,
        ))
    }

    /// The schema of a backup server, likewise. It writes patterns between slashes.
    pub(super) fn of_the_backup_server() -> Option<Self> {
        let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let file = named
            .into_iter()
            .chain(above.map(|above| above.join("shared/facts")))
            .map(|facts| facts.join("pbs-apidoc-3.2.json"))
            .find(|file| file.is_file())?;
        let mut tree = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        unslash(&mut tree);
        Some(Self::new(&tree, BTreeSet::new()))
    }

    /// The schema in this tree of paths.
    pub(super) fn new(tree: &Value, privileges: BTreeSet<String>) -> Self {
        let mut operations = Vec::new();
        collect(tree, &mut operations);
        Self {
            operations,
            privileges,
        }
    }

    /// How many operations there are.
    pub(super) fn len(&self) -> usize {
        self.operations.len()
    }

    /// The operation that is meant, and what stands in its path's variables. Where several paths fit, the one whose words
    /// stand there literally: so does PVE look for it.
    pub(super) fn find(&self, asked: &Asked) -> Result<(&Operation, Pairs), String> {
        let fitting = self
            .operations
            .iter()
            .filter_map(|operation| Some((operation, operation.variables(&asked.segments)?)));
        let places = |operation: &Operation| -> Vec<bool> {
            let variable = |segment: &String| segment.starts_with('{');
            operation.segments.iter().map(variable).collect()
        };
        let mut fitting: Vec<_> = fitting.collect();
        let best = fitting
            .iter()
            .map(|(operation, _)| places(operation))
            .min()
            .ok_or("no such path")?;
        fitting.retain(|(operation, _)| places(operation) == best);
        fitting
            .into_iter()
            .find(|(operation, _)| operation.method == asked.method)
            .ok_or_else(|| format!("no {} here", asked.method))
    }
}

impl Operation {
    /// What stands in the path's variables, if the path is this one.
    fn variables(&self, segments: &[String]) -> Option<Pairs> {
        if self.segments.len() != segments.len() {
            return None;
        }
        let mut variables = Vec::new();
        for (ours, theirs) in self.segments.iter().zip(segments) {
            match ours.strip_prefix('{').and_then(|one| one.strip_suffix('}')) {
                Some(name) => {
                    variables.push((name.to_owned(), theirs.clone()));
                }
                None if ours == theirs => {}
                None => return None,
            }
        }
        Some(variables)
    }
}

fn collect(nodes: &Value, operations: &mut Vec<Operation>) {
    for node in nodes.as_array().into_iter().flatten() {
        for (method, info) in node["info"].as_object().into_iter().flatten() {
            let parameters = &info["parameters"];
            operations.push(Operation {
                segments: path_of(node["path"].as_str().unwrap()),
                method: method.clone(),
                parameters: parameters["properties"]
                    .as_object()
                    .cloned()
                    .unwrap_or_default(),
                is_open: is_set(&parameters["additionalProperties"]),
            });
        }
        collect(&node["children"], operations);
    }
}

fn unslash(tree: &mut Value) {
    match tree {
        Value::Array(items) => items.iter_mut().for_each(unslash),
        Value::Object(object) => {
            if let Some(Value::String(pattern)) = object.get_mut("pattern") {
                let inner = pattern
                    .strip_prefix('/')
                    .and_then(|one| one.strip_suffix('/'));
                *pattern = inner.unwrap().to_owned();
            }
            object.values_mut().for_each(unslash);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn path_of(path: &str) -> Vec<String> {
    path.split('/').skip(1).map(str::to_owned).collect()
}

/// Perl's truth, which the schema writes as a number or as text.
pub(super) fn is_set(value: &Value) -> bool {
    *value == 1 || *value == "1" || *value == true
}

impl Asked {
    /// What the client would put on the wire.
    pub(super) fn of(request: &Request) -> Result<Self, String> {
        let method = request.method().as_str();
        Self::new(method, request.path(), request.params())
    }

    /// What stands on the wire.
    pub(super) fn wire(text: &str) -> Result<Self, String> {
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no end of the head")?;
        let mut line = head.split(' ');
        let (method, target) = (line.next().unwrap(), line.next().ok_or("no target")?);
        let target = target
            .strip_prefix("/api2/json")
            .ok_or("not below the API")?;
        match target.split_once('?') {
            Some((path, query)) if body.is_empty() => Self::new(method, path, query),
            Some(_) => Err("both a query and a body".to_owned()),
            None => Self::new(method, target, body),
        }
    }

    /// Refuses what pveproxy's form decoder would read as something else: it splits at `;` too, takes `+` for a blank and
    /// cuts a value at a second `=`.
    fn new(method: &str, path: &str, params: &str) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for pair in params.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(format!("`{pair}`: no value"))?;
            if value.contains(['=', ';', '+']) || key.contains([';', '+']) {
                return Err(format!("`{pair}` is read as something else"));
            }
            pairs.push((decoded(key)?, decoded(value)?));
        }
        Ok(Self {
            method: method.to_owned(),
            segments: path_of(path)
                .iter()
                .map(|segment| decoded(segment))
                .collect::<Result<_, _>>()?,
            params: pairs,
        })
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let bytes = percent_decode_str(text).decode_utf8();
    bytes
        .map(String::from)
        .map_err(|error| format!("`{text}`: {error}"))
}
