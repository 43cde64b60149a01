//! The way to a receiver: how long is waited for it, and which of its addresses is taken.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::SendError;

/// One address gets no more than this, so that one which is dead keeps nobody from the next.
const SHARE: Duration = Duration::from_secs(5);
/// So many addresses fit into the whole time, however short it is.
const ADDRESSES: u32 = 3;

/// How long one message may take, from the first question to the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    whole: Duration,
    end: Instant,
}

impl Patience {
    /// From now on.
    pub(super) fn new(whole: Duration) -> Self {
        Self {
            whole,
            end: Instant::now() + whole,
        }
    }

    /// What one address gets of it.
    pub(super) fn share(self) -> Duration {
        SHARE.min(self.whole / ADDRESSES)
    }

    /// Does what comes before the message leaves: when the time is over by then, it surely did not arrive.
    pub(super) async fn before<T>(
        self,
        place: &str,
        work: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, SendError> {
        let late = || SendError::unreached(place, self.whole);
        timeout_at(self.end, work)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    /// Sends the message and waits for the answer: when that does not come in time, nobody can say whether it arrived.
    pub(super) async fn after<T>(
        self,
        place: &str,
        work: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, SendError> {
        let late = || SendError::late(place, self.whole);
        timeout_at(self.end, work)
            .await
            .unwrap_or_else(|_| Err(late()))
    }
}

/// The addresses that a name server has for a host. The caller limits the time.
pub(super) async fn addresses(
    host: &str,
    port: u16,
    place: &str,
) -> Result<Vec<SocketAddr>, SendError> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| unreachable(place, &error.to_string()))?;
    Ok(found.collect())
}

/// A connection to the first of these addresses that takes one within its share.
pub(super) async fn first_of(
    addresses: &[SocketAddr],
    share: Duration,
    place: &str,
) -> Result<TcpStream, SendError> {
    let mut why = "it has no address".to_owned();
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("{address} does not take a connection"),
        }
    }
    Err(unreachable(place, &why))
}

fn unreachable(place: &str, why: &str) -> SendError {
    SendError::unsent(format!("{place} cannot be reached: {why}"))
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    /// An address that answers no connection, as one whose packets are lost: its queue is full, and stays so.
    pub(in crate::notify) struct Dead {
        pub(in crate::notify) address: SocketAddr,
        _queue: Vec<TcpStream>,
        _listener: TcpListener,
    }

    impl Dead {
        pub(in crate::notify) async fn new() -> Self {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = socket.listen(1).unwrap();
            let address = listener.local_addr().unwrap();
            let mut queue = Vec::new();
            while let Ok(stream) = timeout(SHORT, TcpStream::connect(address)).await {
                queue.push(stream.unwrap());
            }
            Self {
                address,
                _queue: queue,
                _listener: listener,
            }
        }
    }

    #[tokio::test]
    async fn a_dead_address_keeps_nobody_from_the_next_one() {
        let dead = Dead::new().await;
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = alive.local_addr().unwrap();
        let stream = first_of(&[dead.address, alive], SHORT, "there:1").await;
        assert_eq!(stream.unwrap().peer_addr().unwrap(), alive);
        let error = first_of(&[dead.address], SHORT, "there:1").await;
        let error = error.unwrap_err();
        assert!(!error.unsure, "{error}");
        assert!(error.to_string().starts_with("there:1 cannot be reached"));
    }

    #[test]
    fn every_deadline_has_room_for_a_second_address() {
        for seconds in [1, 2, 10, 30] {
            let patience = Patience::new(Duration::from_secs(seconds));
            assert!(patience.share() * 2 < patience.whole, "{seconds} s");
            assert!(patience.share() <= SHARE);
        }
    }

    #[tokio::test]
    async fn what_had_not_left_when_the_time_was_over_did_not_arrive() {
        let patience = Patience::new(SHORT);
        let never = std::future::pending::<Result<(), SendError>>;
        let before = patience.before("there:1", never()).await.unwrap_err();
        let after = patience.after("there:1", never()).await.unwrap_err();
        assert_eq!((before.unsure, after.unsure), (false, true));
    }
}
