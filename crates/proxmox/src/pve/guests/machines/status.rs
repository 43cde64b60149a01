//! Which virtual machines there are, whether they run, and whether an agent inside answers.

use felhom_ids::{NodeName, Vmid};
use serde::Deserialize;

use super::super::GuestStatus;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::pve::Pve;

/// `GET /nodes/N/qemu`. Machines that the caller may not audit are missing without a word.
#[derive(Debug, Clone, Copy)]
pub struct ListQemu;

/// `GET /nodes/N/qemu/ID/status/current`: `VM.Audit`.
#[derive(Debug, Clone, Copy)]
pub struct GetQemuStatus {
    /// Which.
    pub vmid: Vmid,
}

/// `POST /nodes/N/qemu/ID/agent/ping`: `VM.GuestAgent.Audit`. Changes nothing. A refusal with 500 says that no agent
/// is configured, that the machine does not run, or that the agent does not answer within three seconds.
#[derive(Debug, Clone, Copy)]
pub struct PingAgent {
    /// Which.
    pub vmid: Vmid,
}

/// The agent answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Pong {}

/// A virtual machine's present state. What `GuestStatus` says of init is QEMU's process here, and its `disk` is always 0.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct QemuStatus {
    /// What containers have as well.
    #[serde(flatten)]
    pub guest: GuestStatus,
    /// What QEMU says of the processors: `running`, `paused`, `prelaunch`, …
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub qmpstatus: Option<String>,
    /// Whether an agent is configured, not whether it answers.
    #[serde(default, deserialize_with = "decode::flag")]
    pub agent: bool,
}

impl Endpoint for ListQemu {
    type Response = Vec<GuestStatus>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"qemu"])
    }
}

impl Endpoint for GetQemuStatus {
    type Response = QemuStatus;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Get,
            &[&"nodes", node, &"qemu", &self.vmid, &"status", &"current"],
        )
    }
}

impl Endpoint for PingAgent {
    type Response = Pong;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Post,
            &[&"nodes", node, &"qemu", &self.vmid, &"agent", &"ping"],
        )
    }
}

impl Pve {
    /// The virtual machines that this token may audit.
    pub async fn qemu_list(&self) -> Result<Vec<GuestStatus>, Error> {
        self.call(&ListQemu).await
    }

    /// One machine's present state.
    pub async fn qemu_status(&self, vmid: Vmid) -> Result<QemuStatus, Error> {
        self.call(&GetQemuStatus { vmid }).await
    }

    /// Asks a machine's agent for a sign of life.
    pub async fn ping_agent(&self, vmid: Vmid) -> Result<Pong, Error> {
        self.call(&PingAgent { vmid }).await
    }
}
