//! `/version`: what release this claims to be.

use serde_json::{Value, json};

use crate::call::{Answer, Call, Reply};
use crate::route::{Route, Rule};

/// The release whose behaviour this crate follows.
pub(crate) const VERSION: &str = "9.2.11";
pub(crate) const RELEASE: &str = "9.2";
pub(crate) const REPOID: &str = "14a22df35955d97d";

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/version",
        rule: Rule::User,
        params: &[],
        handler: version,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/version",
        rule: Rule::User,
        params: &[],
        handler: version,
    },
];

fn version(_: &Call<'_>) -> Reply {
    Ok(Answer::Data(about()))
}

fn about() -> Value {
    json!({ "release": RELEASE, "version": VERSION, "repoid": REPOID })
}
