//! Every call with everything it can say and with the least, as requests. Those with everything are written out without
//! `..`, so that a field that is added has to be added here.

pub(super) mod backup_server;
mod guests;
mod host;
mod identities;
mod machines;
mod storage;

use std::any::type_name;
use std::fmt::Debug;
use std::str::FromStr;

use felhom_ids::NodeName;
use felhom_proxmox::{Endpoint, Request};

/// A call as it may be sent.
pub(super) struct Example {
    /// Its type, and of an enumeration the variant.
    pub(super) call: String,
    /// What it sends.
    pub(super) request: Request,
}

/// All examples.
pub(super) fn all() -> Vec<Example> {
    let mut examples = Examples {
        node: id("demo-felhom"),
        list: Vec::new(),
    };
    host::add(&mut examples);
    storage::add(&mut examples);
    guests::add(&mut examples);
    machines::add(&mut examples);
    identities::add(&mut examples);
    examples.list
}

struct Examples {
    node: NodeName,
    list: Vec<Example>,
}

impl Examples {
    /// A call that can say more or less.
    fn pair<E: Endpoint + Debug>(&mut self, least: &E, most: &E) {
        self.one(least);
        self.one(most);
        let (least, most) = (self.request(least), self.request(most));
        let (fewer, more) = (keys(&least), keys(&most));
        let grows = fewer.iter().all(|key| more.contains(key)) && fewer.len() < more.len();
        assert!(grows, "{most}: {more:?} is no more than {fewer:?}");
    }

    /// A call that says all or nothing, or another value of one that was there before.
    fn one<E: Endpoint + Debug>(&mut self, call: &E) {
        self.list.push(example(call, self.request(call)));
    }

    fn request(&self, call: &impl Endpoint) -> Request {
        call.request(&self.node)
    }
}

/// A call and what it sends.
fn example<C: Debug>(call: &C, request: Request) -> Example {
    let path = type_name::<C>();
    let name = path.rsplit("::").next().unwrap_or(path);
    let shown = format!("{call:?}");
    let word = shown.split([' ', '(', '{']).next().unwrap_or_default();
    let variant = if word == name {
        String::new()
    } else {
        format!("::{word}")
    };
    Example {
        call: format!("{name}{variant}"),
        request,
    }
}

/// The parameters that a request names.
pub(super) fn keys(request: &Request) -> Vec<&str> {
    let pairs = request.params().split('&').filter(|pair| !pair.is_empty());
    pairs.filter_map(|pair| pair.split('=').next()).collect()
}

/// A name, or anything else that is read from text.
pub(super) fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}
