//! What containers and virtual machines are asked alike.

use std::collections::BTreeMap;

use felhom_ids::{GuestKind, NodeName, Vmid};
use serde_json::Value;

use crate::encode::{Endpoint, Method, Request};

/// `GET /nodes/N/KIND/ID/config`: `VM.Audit`. Pending changes are already merged in.
#[derive(Debug, Clone, Copy)]
pub struct GetGuestConfig {
    /// What it is.
    pub kind: GuestKind,
    /// Which.
    pub vmid: Vmid,
}

impl Endpoint for GetGuestConfig {
    type Response = BTreeMap<String, Value>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Get,
            &[&"nodes", node, &self.kind, &self.vmid, &"config"],
        )
    }
}
