//! Asking whether something would be allowed, without doing it.
//!
//! A route's declared permission is checked before its parameters are (pve-http-server `AnyEvent.pm`, `rest_handler` in
//! pve-manager `PVE/HTTPServer.pm`), and a parameter that the schema does not know is refused before the method runs. So a
//! request with one such parameter is answered 403 by a server that does not allow it, 400 by one that would, and is carried
//! out by none. Only routes with a declared permission are asked; those that check in their own code would answer 400 to
//! everybody.
//!
//! Of a virtual machine a container's routes are asked, too: the permission is that on `/vms/ID`, and is checked before
//! anybody looks of what kind the guest is.

use felhom_ids::{NodeName, StorageId, Vmid};

use super::Pve;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// What might be allowed and should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Destroy a container.
    Destroy(Vmid),
    /// Pull a container's plug.
    Stop(Vmid),
    /// Change a container's configuration.
    Configure(Vmid),
    /// Open a container's console.
    Console(Vmid),
    /// Snapshot a container.
    Snapshot(Vmid),
    /// Change a storage's definition.
    ChangeStorage(StorageId),
    /// Define a backup job.
    MakeJob,
    /// Reboot the node, or shut it down.
    SwitchOff,
    /// Change the node's network.
    ChangeNetwork,
    /// Make a role.
    MakeRole,
    /// Grant something on `/`.
    Grant,
}

impl Endpoint for Probe {
    type Response = ();

    fn request(&self, node: &NodeName) -> Request {
        use Method::{Delete, Post, Put};
        let (lxc, status) = (&"lxc", &"status");
        let request = match self {
            Self::Destroy(vmid) => Request::new(Delete, &[&"nodes", node, lxc, vmid]),
            Self::Stop(vmid) => Request::new(Post, &[&"nodes", node, lxc, vmid, status, &"stop"]),
            Self::Configure(vmid) => Request::new(Put, &[&"nodes", node, lxc, vmid, &"config"]),
            Self::Console(vmid) => Request::new(Post, &[&"nodes", node, lxc, vmid, &"termproxy"]),
            Self::Snapshot(vmid) => Request::new(Post, &[&"nodes", node, lxc, vmid, &"snapshot"]),
            Self::ChangeStorage(storage) => Request::new(Put, &[&"storage", storage]),
            Self::MakeJob => Request::new(Post, &[&"cluster", &"backup"]),
            Self::SwitchOff => Request::new(Post, &[&"nodes", node, status]),
            Self::ChangeNetwork => Request::new(Post, &[&"nodes", node, &"network"]),
            Self::MakeRole => Request::new(Post, &[&"access", &"roles"]),
            Self::Grant => Request::new(Put, &[&"access", &"acl"]).with("path", "/"),
        };
        // The parameter that no schema knows.
        request.with("felhom-probe", 1)
    }
}

/// What a server said to a [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// Refused: as it should be.
    Refused,
    /// It would have been done, had the request been one.
    Allowed,
    /// Something else, which says neither.
    Unclear(String),
}

impl Pve {
    /// Asks whether something would be allowed.
    ///
    /// # Errors
    /// When the server cannot be reached or does not know the token.
    pub async fn probe(&self, probe: &Probe) -> Result<Probed, Error> {
        match self.call(probe).await {
            Err(Error::Forbidden { .. }) => Ok(Probed::Refused),
            Err(Error::Parameter { .. }) => Ok(Probed::Allowed),
            Err(error @ (Error::Api { .. } | Error::NotFound { .. } | Error::Locked { .. })) => {
                Ok(Probed::Unclear(error.to_string()))
            }
            Err(error) => Err(error),
            // Nothing that is asked here has such an answer.
            Ok(()) => Ok(Probed::Unclear("it was answered with success".to_owned())),
        }
    }
}
