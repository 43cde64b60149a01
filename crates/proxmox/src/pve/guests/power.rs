//! Starting and stopping containers: `VM.PowerMgmt`, and always a task.

use felhom_ids::{NodeName, Vmid};

use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::pve::Pve;
use crate::task::{Started, TaskHandle};

/// `POST …/status/start`. Of a running container: an error at once.
#[derive(Debug, Clone, Copy)]
pub struct StartLxc {
    /// Which.
    pub vmid: Vmid,
}

/// `POST …/status/stop`: pulls the plug. Of a stopped container: an error at once.
#[derive(Debug, Clone, Copy)]
pub struct StopLxc {
    /// Which.
    pub vmid: Vmid,
}

/// `POST …/status/shutdown`: asks its init. Of a stopped container: an error at once.
#[derive(Debug, Clone, Copy)]
pub struct ShutdownLxc {
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
        &[&"nodes", node, &"lxc", &vmid, &"status", &verb],
    )
}

impl Endpoint for StartLxc {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        power(node, self.vmid, "start")
    }
}

impl Endpoint for StopLxc {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        power(node, self.vmid, "stop")
    }
}

impl Endpoint for ShutdownLxc {
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
    /// Starts a container.
    pub async fn start_lxc(&self, vmid: Vmid) -> Result<TaskHandle, Error> {
        self.start(&StartLxc { vmid }).await
    }

    /// Stops a container without asking it.
    pub async fn stop_lxc(&self, vmid: Vmid) -> Result<TaskHandle, Error> {
        self.start(&StopLxc { vmid }).await
    }

    /// Shuts a container down.
    pub async fn shutdown_lxc(&self, shutdown: &ShutdownLxc) -> Result<TaskHandle, Error> {
        self.start(shutdown).await
    }
}
