//! What is asked of a task, of either server in the same words: the node in the path is the one in its name.

use felhom_ids::Upid;

use crate::encode::{Method, Request};

/// Its status; on a new connection if wanted, and so perhaps from another worker of the server.
pub(crate) fn status(upid: &Upid, fresh: bool) -> Request {
    let request = Request::new(
        Method::Get,
        &[&"nodes", upid.node(), &"tasks", upid, &"status"],
    );
    if fresh { request.fresh() } else { request }
}

/// Its log from a line on. Without a limit both servers stop at 50 lines; 0 is none.
pub(crate) fn log(upid: &Upid, start: u64, limit: u64) -> Request {
    Request::new(
        Method::Get,
        &[&"nodes", upid.node(), &"tasks", upid, &"log"],
    )
    .with("start", start)
    .with("limit", limit)
}

/// Its end by force.
pub(crate) fn stop(upid: &Upid) -> Request {
    Request::new(Method::Delete, &[&"nodes", upid.node(), &"tasks", upid])
}
