//! Commands of `/_sim/` about the backup server: what its admin, its clients and bad luck do to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

mod damage;
mod fill;

pub(crate) use fill::catalog;

use super::access::Token;
use crate::access::random_uuid;
use crate::sim::Sim;

/// Commands whose names begin with `pbs-`; none for a name that is not known here.
pub(crate) fn control(sim: &Arc<Sim>, name: &str, body: &Value) -> Option<Result<Value, String>> {
    Some(match name {
        "pbs-user" => read(body).map(|order| put_user(sim, order)),
        "pbs-acl" => read(body).map(|order| put_acl(sim, &order)),
        "pbs-datastore" => read(body).and_then(|order| put_store(sim, order)),
        "pbs-node" => read(body).map(|order| set_node(sim, order)),
        "pbs-maintenance" => read(body).and_then(|order| maintain(sim, &order)),
        "pbs-clock" => read(body).map(|order| set_clock(sim, &order)),
        "pbs-delays" => read(body).map(|order: Switch| {
            sim.lock().pbs.delays = order.on;
            json!({})
        }),
        "pbs-power" => read(body).map(|order: Switch| {
            sim.lock().pbs.off = !order.on;
            if !order.on {
                sim.pbs.close_lines();
            }
            json!({})
        }),
        "pbs-renew-certificate" => {
            let node = sim.lock().pbs.node.clone();
            let renewed = sim.pbs.renew(&sim.state_dir, &node);
            sim.lock().pbs.fingerprint = sim.pbs.fingerprint();
            renewed
                .map(|fingerprint| json!({ "fingerprint": fingerprint }))
                .map_err(|error| error.to_string())
        }
        "pbs-snapshot" => read(body).and_then(|order| fill::put_snapshot(sim, order)),
        "pbs-begin" => read(body).and_then(|order| fill::begin(sim, &order)),
        "pbs-end" => read(body).and_then(|order| fill::end(sim, &order)),
        "pbs-bulk" => read(body).and_then(|order| fill::bulk(sim, &order)),
        "pbs-namespace" => read(body).and_then(|order| fill::namespace(sim, &order)),
        "pbs-chunks" => read(body).and_then(|order| damage::chunks(sim, &order)),
        "pbs-corrupt" => read(body).and_then(|order| damage::corrupt(sim, &order)),
        "pbs-plain-blob" => read(body).and_then(|order| damage::plain_blob(sim, &order)),
        "pbs-hold" => read(body).and_then(|order| damage::hold(sim, &order)),
        _ => return None,
    })
}

fn read<T: for<'de> Deserialize<'de>>(body: &Value) -> Result<T, String> {
    T::deserialize(body).map_err(|error| error.to_string())
}

/// A user, made or changed, with tokens by name; a token without a secret gets one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutUser {
    userid: String,
    password: Option<String>,
    enable: Option<bool>,
    expire: Option<i64>,
    #[serde(default)]
    tokens: BTreeMap<String, Option<String>>,
    /// Takes the user away, and these tokens of a user that stays.
    #[serde(default)]
    delete: bool,
    #[serde(default)]
    delete_tokens: Vec<String>,
}

fn put_user(sim: &Sim, order: PutUser) -> Value {
    let mut world = sim.lock();
    let access = &mut world.pbs.access;
    if order.delete {
        access.users.remove(&order.userid);
        access.forget(&order.userid);
        return json!({});
    }
    let user = access.users.entry(order.userid.clone()).or_default();
    user.password = order.password.or(user.password.take());
    user.enable = order.enable.or(user.enable);
    user.expire = order.expire.or(user.expire);
    let mut secrets = BTreeMap::new();
    for (name, secret) in order.tokens {
        let secret = secret.unwrap_or_else(random_uuid);
        secrets.insert(format!("{}!{name}", order.userid), secret.clone());
        user.tokens.insert(
            name,
            Token {
                secret,
                ..Token::default()
            },
        );
    }
    user.tokens
        .retain(|name, _| !order.delete_tokens.contains(name));
    for name in &order.delete_tokens {
        access.forget(&format!("{}!{name}", order.userid));
    }
    json!({ "tokens": secrets })
}

/// A grant, or with `delete` its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutAcl {
    path: String,
    auth: String,
    role: String,
    propagate: Option<bool>,
    #[serde(default)]
    delete: bool,
}

fn put_acl(sim: &Sim, order: &PutAcl) -> Value {
    let propagate = order.propagate.unwrap_or(true);
    let mut world = sim.lock();
    world.pbs.access.grant(
        &order.path,
        &order.auth,
        &order.role,
        propagate,
        order.delete,
    );
    json!({})
}

/// A datastore, made or changed; `delete` takes it away with its grants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutStore {
    name: String,
    path: Option<String>,
    comment: Option<String>,
    total: Option<u64>,
    foreign: Option<u64>,
    gc_schedule: Option<String>,
    #[serde(default)]
    delete: bool,
}

fn put_store(sim: &Sim, order: PutStore) -> Result<Value, String> {
    if !super::params::is_safe_id(&order.name) {
        return Err("no name for a datastore".into());
    }
    let mut world = sim.lock();
    if order.delete {
        world.pbs.stores.remove(&order.name);
        world
            .pbs
            .access
            .forget_path(&super::access::space(&order.name, ""));
        super::store::remove_dir(&super::store::root(&sim.state_dir, &order.name));
        return Ok(json!({}));
    }
    let store = world.pbs.add_store(&order.name);
    store.path = order.path.unwrap_or_else(|| store.path.clone());
    store.comment = order.comment.or(store.comment.take());
    store.gc_schedule = order.gc_schedule.or(store.gc_schedule.take());
    store.total = order.total.unwrap_or(store.total);
    store.foreign = order.foreign.unwrap_or(store.foreign);
    Ok(json!({ "path": store.path }))
}

/// The server's own name, which stands in its tasks' names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetNode {
    name: Option<String>,
    /// Other names under which the node reaches it.
    aliases: Option<Vec<String>>,
}

fn set_node(sim: &Sim, order: SetNode) -> Value {
    let mut world = sim.lock();
    if let Some(name) = order.name {
        world.pbs.node = name;
    }
    if let Some(aliases) = order.aliases {
        world.pbs.aliases = aliases;
    }
    json!({})
}

/// Maintenance of a datastore as its configuration writes it; null ends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Maintain {
    store: String,
    mode: Option<String>,
}

fn maintain(sim: &Sim, order: &Maintain) -> Result<Value, String> {
    let mut world = sim.lock();
    let store = world
        .pbs
        .stores
        .get_mut(&order.store)
        .ok_or("no such datastore")?;
    store.maintenance.clone_from(&order.mode);
    Ok(json!({}))
}

/// Seconds that the server's clock is ahead of the simulated time, or behind it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetClock {
    offset: i64,
}

fn set_clock(sim: &Sim, order: &SetClock) -> Value {
    sim.lock().pbs.clock_offset = order.offset;
    json!({ "now": sim.pbs_now() })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    on: bool,
}
