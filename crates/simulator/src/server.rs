//! HTTP/1.1 over TLS with the rules of `pveproxy` (pve-http-server, `AnyEvent.pm`): what is refused before any API
//! method is looked for, who is let in, how answers are wrapped.

mod auth;
mod connection;
mod form;
mod outcome;
mod request;
mod router;
mod rule;
mod verify;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sim::Sim;
pub(crate) use outcome::{Outcome, Payload, http_date};
use router::Router;

/// What every connection shares.
pub(crate) struct Server {
    pub(crate) sim: Arc<Sim>,
    router: Router,
    stop: CancellationToken,
}

impl Server {
    pub(crate) fn new(sim: Arc<Sim>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            sim,
            router: Router::new(),
            stop,
        })
    }

    /// Accepts connections until told to stop; then closes them all.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        let connections = TaskTracker::new();
        while let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    if self.sim.is_off() || self.sim.faults.refuses_connection() {
                        continue;
                    }
                    connections.spawn(connection::serve(Arc::clone(&self), stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::task::yield_now().await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}
