//! Starting and stopping guests: `VM.PowerMgmt`, and always a task. A container is looked at before the task, so that what it
//! cannot do is an error at once; a virtual machine only in it.

use felhom_ids::{GuestKind, NodeName, Vmid};

use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::pve::Pve;
use crate::task::{Started, TaskHandle};

/// `POST …/status/start`. Of a running container: an error at once; of a running machine: the task fails.
#[derive(Debug, Clone, Copy)]
pub struct StartGuest {
    /// Of which kind it is.
    pub kind: GuestKind,
    /// Which.
    pub vmid: Vmid,
}

/// `POST …/status/stop`: pulls the plug. Of a stopped container: an error at once; of a stopped machine: the task succeeds and
/// does nothing.
#[derive(Debug, Clone, Copy)]
pub struct StopGuest {
    /// Of which kind it is.
    pub kind: GuestKind,
    /// Which.
    pub vmid: Vmid,
}

/// `POST …/status/shutdown`: asks a container's init (an error at once of a stopped one), or a machine's agent, or presses the
/// power button.
#[derive(Debug, Clone, Copy)]
pub struct ShutdownGuest {
    /// Of which kind it is.
    pub kind: GuestKind,
    /// Which.
    pub vmid: Vmid,
    /// Seconds to wait; PVE waits 60.
    pub timeout: Option<u32>,
    /// Then pull the plug, instead of failing.
    pub force_stop: bool,
}

fn power(node: &NodeName, kind: GuestKind, vmid: Vmid, verb: &str) -> Request {
    Request::new(
        Method::Post,
        &[&"nodes", node, &kind.as_str(), &vmid, &"status", &verb],
    )
}

impl Endpoint for StartGuest {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        power(node, self.kind, self.vmid, "start")
    }
}

impl Endpoint for StopGuest {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        power(node, self.kind, self.vmid, "stop")
    }
}

impl Endpoint for ShutdownGuest {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        let request = power(node, self.kind, self.vmid, "shutdown").maybe("timeout", self.timeout);
        if self.force_stop {
            request.flag("forceStop", true)
        } else {
            request
        }
    }
}

impl Pve {
    /// Starts a guest.
    ///
    /// # Errors
    /// When the node refuses, or does not answer.
    pub async fn start_guest(&self, kind: GuestKind, vmid: Vmid) -> Result<TaskHandle, Error> {
        self.start(&StartGuest { kind, vmid }).await
    }

    /// Stops a guest without asking it.
    ///
    /// # Errors
    /// When the node refuses, or does not answer.
    pub async fn stop_guest(&self, kind: GuestKind, vmid: Vmid) -> Result<TaskHandle, Error> {
        self.start(&StopGuest { kind, vmid }).await
    }

    /// Shuts a guest down.
    ///
    /// # Errors
    /// When the node refuses, or does not answer.
    pub async fn shutdown_guest(&self, shutdown: &ShutdownGuest) -> Result<TaskHandle, Error> {
        self.start(shutdown).await
    }
}
