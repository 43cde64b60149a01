//! `/config/datastore`: what the configuration says of datastores.

use serde_json::{Map, Value, json};

use crate::pbs::access::{ALLOCATE, AUDIT, MODIFY, space};
use crate::pbs::http::{Call, Error, Reply, Route, Rule, data, with_digest};
use crate::pbs::params::{Kind, STORE, may, need};
use crate::pbs::state::Store;
use crate::world::World;

const PATH: &str = "/config/datastore";
const ONE: &str = "/config/datastore/{name}";

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: PATH,
        rule: Rule::User,
        params: &[],
        handler: |call| {
            let world = call.sim.lock();
            let stores = world.pbs.stores.iter();
            let seen =
                stores.filter(|(name, _)| world.pbs.access.has(call.auth, &space(name, ""), AUDIT));
            let items = seen.map(|(name, store)| item(name, store));
            with_digest(items.collect(), &text(&world))
        },
    },
    Route {
        method: "POST",
        path: PATH,
        rule: Rule::Rights("/datastore", ALLOCATE, false),
        params: &[
            need("name", STORE),
            need("path", Kind::Text),
            may("comment", Kind::Text),
            may("gc-schedule", Kind::Text),
            may("maintenance-mode", Kind::Text),
            may("verify-new", Kind::Bool),
        ],
        handler: create,
    },
    Route {
        method: "GET",
        path: ONE,
        rule: Rule::Rights("/datastore/{name}", AUDIT, false),
        params: &[need("name", STORE)],
        handler: |call| {
            let world = call.sim.lock();
            let name = call.need("name");
            with_digest(item(name, known(&world, name)?), &text(&world))
        },
    },
    Route {
        method: "PUT",
        path: ONE,
        rule: Rule::Rights("/datastore/{name}", MODIFY, false),
        params: &[
            need("name", STORE),
            may("comment", Kind::Text),
            may("gc-schedule", Kind::Text),
            may("maintenance-mode", Kind::Text),
            may("verify-new", Kind::Bool),
            may("delete", Kind::Texts),
            may("digest", Kind::Text),
        ],
        handler: change,
    },
    Route {
        method: "DELETE",
        path: ONE,
        rule: Rule::Rights("/datastore/{name}", ALLOCATE, false),
        params: &[
            need("name", STORE),
            may("destroy-data", Kind::Bool),
            may("keep-job-configs", Kind::Bool),
            may("digest", Kind::Text),
        ],
        handler: remove,
    },
];

fn known<'a>(world: &'a World, name: &str) -> Result<&'a Store, Error> {
    let store = world.pbs.stores.get(name);
    store.ok_or_else(|| Error::plain(format!("no such datastore '{name}'")))
}

fn text(world: &World) -> String {
    let items: Vec<Value> = world
        .pbs
        .stores
        .iter()
        .map(|(name, store)| item(name, store))
        .collect();
    json!(items).to_string()
}

fn item(name: &str, store: &Store) -> Value {
    let mut item = Map::new();
    item.insert("name".into(), json!(name));
    item.insert("path".into(), json!(store.path));
    let options = [
        ("comment", &store.comment),
        ("gc-schedule", &store.gc_schedule),
        ("maintenance-mode", &store.maintenance),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            item.insert(name.into(), json!(value));
        }
    }
    Value::Object(item)
}

fn create(call: &Call<'_>) -> Reply {
    let name = call.need("name").to_owned();
    if call.sim.lock().pbs.stores.contains_key(&name) {
        return Err(Error::param(
            "name",
            &format!("datastore '{name}' already exists."),
        ));
    }
    let text = |field: &str| call.text(field).map(str::to_owned);
    let store = Store {
        path: call.need("path").to_owned(),
        comment: text("comment"),
        gc_schedule: text("gc-schedule"),
        maintenance: text("maintenance-mode"),
        ..Store::default()
    };
    let task = name.clone();
    let upid = call.sim.pbs_task(
        call.auth,
        "create-datastore",
        &task,
        move |worker| async move {
            worker.log("Chunkstore create: 100%");
            worker.sim.lock().pbs.stores.insert(name, store);
            Ok(())
        },
    );
    data(json!(upid))
}

fn change(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let name = call.need("name");
    known(&world, name)?;
    let Some(store) = world.pbs.stores.get_mut(name) else {
        return Err(Error::missing());
    };
    let deleted = call.params.get("delete").and_then(Value::as_array);
    for option in deleted.into_iter().flatten().filter_map(Value::as_str) {
        match option {
            "comment" => store.comment = None,
            "gc-schedule" => store.gc_schedule = None,
            "maintenance-mode" => store.maintenance = None,
            _ => {}
        }
    }
    let fields = [
        ("comment", &mut store.comment),
        ("gc-schedule", &mut store.gc_schedule),
        ("maintenance-mode", &mut store.maintenance),
    ];
    for (field, place) in fields {
        if let Some(text) = call.text(field) {
            *place = Some(text.to_owned());
        }
    }
    data(Value::Null)
}

fn remove(call: &Call<'_>) -> Reply {
    let name = call.need("name").to_owned();
    known(&call.sim.lock(), &name)?;
    let destroy = call.flag("destroy-data") == Some(true);
    let task = name.clone();
    let upid = call.sim.pbs_task(
        call.auth,
        "delete-datastore",
        &task,
        move |worker| async move {
            {
                let mut world = worker.sim.lock();
                world.pbs.stores.remove(&name);
                world.pbs.access.forget_path(&space(&name, ""));
            }
            if destroy {
                worker.log("Deleting datastore data");
                crate::pbs::store::remove_dir(&crate::pbs::store::root(
                    &worker.sim.state_dir,
                    &name,
                ));
            }
            Ok(())
        },
    );
    data(json!(upid))
}
