//! Starting and stopping virtual machines: `VM.PowerMgmt`, and always a task, in which all else is looked at.

use felhom_ids::{NodeName, Vmid};

use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::pve::Pve;
use crate::task::{Started, TaskHandle};

/// `POST …/status/start`. Of a running machine: the task fails.
#[derive(Debug, Clone, Copy)]
pub struct StartQemu {
    /// Which.
    pub vmid: Vmid,
}

/// `POST …/status/stop`: pulls the plug. Of a stopped machine: the task succeeds and does nothing.
#[derive(Debug, Clone, Copy)]
pub struct StopQemu {
    /// Which.
    pub vmid: Vmid,
}

/// `POST …/status/shutdown`: asks the agent, or presses the power button.
#[derive(Debug, Clone, Copy)]
pub struct ShutdownQemu {
    /// Which.
    pub vmid: Vmid,
    /// Seconds to wait; PVE waits 60.
    pub timeout: Option<u32>,
    /// Then pull the plug, instead of failing.
    pub force_stop: bool,
}

fn power(node: &NodeName, vmid: Vmid, verb: &str) -> Request {
    Request::new(
        Method::Post,
        &[&"nodes", node, &"qemu", &vmid, &"status", &verb],
    )
}

impl Endpoint for StartQemu {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        power(node, self.vmid, "start")
    }
}

impl Endpoint for StopQemu {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        power(node, self.vmid, "stop")
    }
}

impl Endpoint for ShutdownQemu {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        let request = power(node, self.vmid, "shutdown").maybe("timeout", self.timeout);
        if self.force_stop {
            request.flag("forceStop", true)
        } else {
            request
        }
    }
}

impl Pve {
    /// Starts a virtual machine.
    pub async fn start_qemu(&self, vmid: Vmid) -> Result<TaskHandle, Error> {
        self.start(&StartQemu { vmid }).await
    }

    /// Stops a virtual machine without asking it.
    pub async fn stop_qemu(&self, vmid: Vmid) -> Result<TaskHandle, Error> {
        self.start(&StopQemu { vmid }).await
    }

    /// Shuts a virtual machine down.
    pub async fn shutdown_qemu(&self, shutdown: &ShutdownQemu) -> Result<TaskHandle, Error> {
        self.start(shutdown).await
    }
}
