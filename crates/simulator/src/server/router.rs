//! From method and path to the row of the route table.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api;
use crate::route::Route;
use crate::server::form::Raw;

/// All routes as a tree of path components.
pub(crate) struct Router {
    root: Node,
}

#[derive(Default)]
struct Node {
    literal: BTreeMap<&'static str, Self>,
    /// `{name}`.
    variable: Option<(&'static str, Box<Self>)>,
    methods: BTreeMap<&'static str, &'static Route>,
}

impl Router {
    pub(crate) fn new() -> Self {
        let mut root = Node::default();
        for route in api::routes() {
            let mut node = &mut root;
            for part in components(route.path) {
                node = match part
                    .strip_prefix('{')
                    .and_then(|name| name.strip_suffix('}'))
                {
                    Some(name) => {
                        &mut node
                            .variable
                            .get_or_insert_with(|| (name, Box::default()))
                            .1
                    }
                    None => node.literal.entry(part).or_default(),
                };
            }
            node.methods.insert(route.method, route);
        }
        Self { root }
    }

    /// The route and the variables of its path. `path` is percent-decoded and begins behind the format.
    pub(crate) fn find(&self, method: &str, path: &str) -> Option<(&'static Route, Raw)> {
        let mut node = &self.root;
        let mut variables = Raw::new();
        let mut parts = components(path).peekable();
        while let Some(part) = parts.next() {
            if let Some(next) = node.literal.get(part) {
                node = next;
                continue;
            }
            let (name, next) = node.variable.as_ref()?;
            let mut value = part.to_owned();
            // A volume id holds slashes: it takes whatever is left of the path.
            if *name == "volume" {
                for rest in parts.by_ref() {
                    value.push('/');
                    value.push_str(rest);
                }
            }
            variables.insert((*name).to_owned(), Value::String(value));
            node = next;
        }
        node.methods.get(method).map(|route| (*route, variables))
    }
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}
