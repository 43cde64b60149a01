//! The backup server's methods, by subject, and the way from a path to one of them.

pub(super) mod access;
pub(super) mod acl;
pub(super) mod config;
pub(super) mod content;
pub(super) mod datastores;
pub(super) mod groups;
pub(super) mod jobs;
pub(super) mod marks;
pub(super) mod namespaces;
pub(super) mod nodes;
pub(super) mod snapshots;
pub(super) mod tasks;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hyper::Method;

use super::access::{check_owner, names, space};
use super::http::{Call, Error, Route};
use super::state::{Group, SnapshotId, Store};
use crate::world::World;

static ROUTES: LazyLock<Node> = LazyLock::new(|| {
    let mut root = Node::default();
    for route in all() {
        let mut node = &mut root;
        for part in route.path.split('/').filter(|part| !part.is_empty()) {
            let variable = part
                .strip_prefix('{')
                .and_then(|name| name.strip_suffix('}'));
            node = match variable {
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
    root
});

#[derive(Default)]
struct Node {
    literal: BTreeMap<&'static str, Self>,
    variable: Option<(&'static str, Box<Self>)>,
    methods: BTreeMap<&'static str, &'static Route>,
}

fn all() -> impl Iterator<Item = &'static Route> {
    [
        access::ROUTES,
        acl::ROUTES,
        config::ROUTES,
        content::ROUTES,
        datastores::ROUTES,
        groups::ROUTES,
        jobs::ROUTES,
        marks::ROUTES,
        namespaces::ROUTES,
        nodes::ROUTES,
        snapshots::ROUTES,
        tasks::ROUTES,
    ]
    .into_iter()
    .flatten()
}

/// The route of a path, with the variables in it.
pub(crate) fn find(method: &Method, path: &str) -> Option<(&'static Route, Vec<(String, String)>)> {
    let mut node = &*ROUTES;
    let mut variables = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if let Some(next) = node.literal.get(part) {
            node = next;
            continue;
        }
        let (name, next) = node.variable.as_ref()?;
        variables.push(((*name).to_owned(), part.to_owned()));
        node = next;
    }
    let route = node.methods.get(method.as_str())?;
    Some((route, variables))
}

/// Whether someone has any of the rights on a namespace, in full or for what is theirs; `true` if only for that.
pub(super) fn check_space(
    world: &World,
    auth: &str,
    place: (&str, &str),
    full: u32,
    own: u32,
) -> Result<bool, Error> {
    let path = space(place.0, place.1);
    let held = world.pbs.access.lookup(auth, &path).0;
    if held & full != 0 {
        return Ok(false);
    }
    if held & own != 0 {
        return Ok(true);
    }
    let names = names(full | own).join("|");
    Err(Error::new(
        403,
        format!("permission check failed - missing {names} on {path}"),
    ))
}

/// A datastore that may be used now.
pub(super) fn store<'a>(world: &'a World, name: &str, write: bool) -> Result<&'a Store, Error> {
    let store = world.pbs.stores.get(name);
    let store = store.ok_or_else(|| Error::plain(format!("no such datastore '{name}'")))?;
    store.available(name, write)?;
    Ok(store)
}

/// The rights, the datastore, and the owner where only that helps: what most methods about a group begin with.
pub(super) fn allowed<'a>(
    world: &'a World,
    call: &Call<'_>,
    id: &SnapshotId,
    rights: (u32, u32),
    write: bool,
) -> Result<&'a Store, Error> {
    let limited = check_space(world, call.auth, (&id.store, &id.ns), rights.0, rights.1)?;
    let store = store(world, &id.store, write)?;
    if limited {
        check_owner(owner(store, id)?, call.auth)?;
    }
    Ok(store)
}

fn owner<'a>(store: &'a Store, id: &SnapshotId) -> Result<&'a str, Error> {
    let group = store.group(&id.ns, &id.group());
    group.map(|group| group.owner.as_str()).ok_or_else(|| {
        let path = group_path(store, id);
        Error::plain(format!(
            "unable to read \"{path}/owner\" - No such file or directory (os error 2)"
        ))
    })
}

/// Where the configuration says that a group lies.
pub(super) fn group_path(store: &Store, id: &SnapshotId) -> String {
    format!(
        "{}/{}{}",
        store.path,
        super::state::space_path(&id.ns),
        id.group()
    )
}

/// A group that must be there.
pub(super) fn group<'a>(store: &'a Store, id: &SnapshotId) -> Result<&'a Group, Error> {
    store.group(&id.ns, &id.group()).ok_or_else(Error::missing)
}
