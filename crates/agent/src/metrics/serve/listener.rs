//! Where the endpoint listens: on the machine itself only, by an address or by a socket that systemd hands over.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use tokio::net::TcpListener;

/// Nobody can be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Others than the machine itself could reach it.
    #[error("{0} can be reached from outside: the metrics are for the machine itself only")]
    Outside(SocketAddr),
    /// The address cannot be listened on.
    #[error("{0} cannot be listened on")]
    Bind(SocketAddr, #[source] io::Error),
    /// What was handed over is no socket that could be served.
    #[error("the socket on standard input cannot be served")]
    Socket(#[source] io::Error),
}

/// Listens on an address of the machine itself.
///
/// # Errors
/// When it is none, or is taken.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    inside(address)?;
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| ListenError::Bind(address, error))
}

/// The listening socket that systemd has put in the place of standard input (`StandardInput=socket`), if it has.
///
/// # Errors
/// When it listens where others could come from.
pub fn handed_over() -> Result<Option<TcpListener>, ListenError> {
    let input = io::stdin();
    if !rustix::net::sockopt::socket_acceptconn(input.as_fd()).unwrap_or(false) {
        return Ok(None);
    }
    let socket = input.as_fd().try_clone_to_owned();
    let socket = std::net::TcpListener::from(socket.map_err(ListenError::Socket)?);
    inside(socket.local_addr().map_err(ListenError::Socket)?)?;
    socket.set_nonblocking(true).map_err(ListenError::Socket)?;
    TcpListener::from_std(socket)
        .map(Some)
        .map_err(ListenError::Socket)
}

fn inside(address: SocketAddr) -> Result<(), ListenError> {
    if address.ip().is_loopback() {
        Ok(())
    } else {
        Err(ListenError::Outside(address))
    }
}
