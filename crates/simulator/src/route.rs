//! The route table: method, path template, permission rule, parameters, handler. One row per API method.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::access::Principal;
use crate::call::{ApiError, Call, Reply};
use crate::guest::props::Format;
use crate::world::World;

/// A permission check on parameters as they arrived.
pub(crate) type Check = fn(&World, &Principal, &BTreeMap<String, Value>) -> Result<(), ApiError>;

/// Who may call: evaluated before the parameters are verified, on the raw values.
pub(crate) enum Rule {
    /// Anybody, without credentials.
    World,
    /// Any authenticated user or token; the handler may check more by hand.
    User,
    /// All privileges on a path template (`/vms/{vmid}`); fails at the first missing one: `(PATH, PRIV)`.
    All(&'static str, &'static [&'static str]),
    /// At least one of them; fails as `(PATH, A|B)`.
    Any(&'static str, &'static [&'static str]),
    /// All privileges on a path template, where a parameter is given; fails with the bare text where it is not.
    Given(&'static str, &'static str, &'static [&'static str]),
    /// One of several rules; fails with the bare text.
    Or(&'static [Self]),
    /// All of several rules; fails as the first that does.
    And(&'static [Self]),
    /// A check of its own on the raw parameters, where it is made before they are verified.
    By(Check),
    /// No `permissions` declared: the user literally named root@pam, never a token.
    RootOnly,
}

/// A parameter's type and format; texts of refusals are PVE's.
pub(crate) enum Kind {
    Text,
    /// At most this many characters.
    Short(usize),
    /// At least this many characters.
    Long(usize),
    Int(i64, i64),
    Number(i64, i64),
    Bool,
    Enum(&'static [&'static str]),
    Vmid,
    /// A container's `rootfs` or `mpN`.
    Mount,
    VmidList,
    Node,
    StorageId,
    ConfigId,
    /// A format of its own: `Err` is the text behind `invalid format - `.
    Format(fn(&str) -> Result<(), String>),
    /// A regular expression, written out.
    Pattern(fn(&str) -> bool),
    /// A property string.
    Properties(&'static Format),
    /// `type: array`; a scalar becomes a one-element array.
    Array,
    /// A string in a `…-list` format; repeated keys are joined with commas.
    List,
    /// Such a list whose elements have a format of their own.
    ListOf(fn(&str) -> Result<(), String>),
}

pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
    /// The parameter that must be present as well.
    pub(crate) requires: Option<&'static str>,
}

pub(crate) const fn need(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        optional: false,
        requires: None,
    }
}

pub(crate) const fn may(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        optional: true,
        requires: None,
    }
}

/// An optional parameter that says nothing without another one.
pub(crate) const fn with(name: &'static str, kind: Kind, requires: &'static str) -> Param {
    Param {
        name,
        kind,
        optional: true,
        requires: Some(requires),
    }
}

pub(crate) type Handler = fn(&Call<'_>) -> Reply;

pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// `/nodes/{node}/lxc/{vmid}/config`; path variables are parameters and are verified by their name.
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
    /// Without the path variables. Indexed keys are written `net[n]`, `mp[n]`.
    pub(crate) params: &'static [Param],
    pub(crate) handler: Handler,
}
