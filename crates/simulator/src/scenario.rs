//! What a new world contains.

use std::sync::Arc;

use serde_json::Value;

use crate::sim::Sim;

/// What a new state directory is filled with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scenario {
    /// Node, storages, guests and principals of the documentation.
    #[default]
    BuiltIn,
    /// A node as it comes from the installer.
    Virgin,
}

/// Fills a new world. Called once per state directory, before the first request.
pub(crate) fn build(_sim: &Arc<Sim>, _scenario: &Scenario) -> Result<(), String> {
    Ok(())
}

/// Commands of `/_sim/NAME` that concern guests and storages (`fill-pool`, `corrupt-archive`, `poke-guest` …); none for
/// a name that is not known here.
pub(crate) fn control(_sim: &Arc<Sim>, _name: &str, _body: &Value) -> Option<Result<Value, String>> {
    None
}

/// What `/_sim/state` says of guests and storages.
pub(crate) fn state(_sim: &Sim) -> Value {
    Value::Null
}
