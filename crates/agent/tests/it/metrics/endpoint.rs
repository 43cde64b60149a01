//! The endpoint: what it answers, to whom, and that nobody can hurt it.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use felhom_agent::metrics::Format;
use felhom_agent::metrics::serve::{self, Limits, ListenError, Scrape};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::grammar::read;
use super::told::report;
use crate::support::*;

/// Limits that a test can reach.
const SMALL: Limits = Limits {
    connections: 3,
    head: Duration::from_millis(200),
    connection: Duration::from_millis(600),
    idle: None,
};

struct Fixed(Result<&'static str, &'static str>);

impl Scrape for Fixed {
    fn scrape(
        &self,
        format: Format,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>> {
        let told = self.0.map(|text| format!("{text} {format:?}\n"));
        Box::pin(async move { told.map_err(str::to_owned) })
    }
}

struct Endpoint {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
}

impl Endpoint {
    async fn start(limits: Limits, scrape: Fixed) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = serve::listen(any).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async move { drop(stopped.await) };
        let ended = tokio::spawn(serve::serve(listener, limits, Arc::new(scrape), until));
        let stop = Some(stop);
        Self {
            address,
            stop,
            ended,
        }
    }

    /// Everything that is answered to these bytes, until the connection is closed.
    async fn say(&self, bytes: &[u8]) -> String {
        exchange(self.address, bytes).await
    }

    async fn get(&self, headers: &str) -> String {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        self.say(request.as_bytes()).await
    }

    /// A scrape as Prometheus makes it; again while there is no place.
    async fn is_well(&self) -> bool {
        for _ in 0..200 {
            let answer = self.get("").await;
            if answer.starts_with("HTTP/1.1 200") {
                return answer.ends_with("metrics Text\n");
            }
            assert_eq!(answer, "", "closed for want of a place");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Whoever is refused early may not be read to the end, and hears of it by a reset.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn there_is_one_thing_to_ask_for_and_it_is_told_in_the_wanted_format() {
    let endpoint = Endpoint::start(SMALL, Fixed(Ok("metrics"))).await;
    let plain = endpoint.get("").await.to_lowercase();
    assert!(
        plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{plain}"
    );
    assert!(plain.contains("connection: close") && plain.ends_with("metrics text\n"));
    let open = endpoint
        .get("Accept: application/openmetrics-text; version=1.0.0\r\n")
        .await;
    assert!(open.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.ends_with("metrics OpenMetrics\n"));
    for (request, expected) in [
        ("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "200"),
        (
            "GET /metrics?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9221\r\n\r\n",
            "200",
        ),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        (
            "GET /metrics/../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "404",
        ),
        (
            "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
            "405",
        ),
        ("DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
        (
            "GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n\r\n",
            "421",
        ),
        ("GET /metrics HTTP/9.9\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1} this is no HTTP\r\n\r\n", "400"),
    ] {
        let answer = endpoint.say(request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{request}: {answer}");
    }
    // A second request on the same connection is not served.
    let twice = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2);
    let answer = endpoint.say(twice.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_no_metric_and_its_reason_is_for_the_log_only() {
    let endpoint = Endpoint::start(SMALL, Fixed(Err("the path /var/lib/x"))).await;
    let answer = endpoint.get("").await;
    assert_eq!(status(&answer), "503");
    assert!(!answer.contains("/var/lib/x"), "{answer}");
}

#[tokio::test]
async fn slow_and_silent_callers_are_closed_and_take_no_place_for_long() {
    let endpoint = Endpoint::start(SMALL, Fixed(Ok("metrics"))).await;
    let mut held = Vec::new();
    for bytes in ["", "GET /met", "GET /metrics HTTP/1.1\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(endpoint.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        held.push(stream);
    }
    assert!(endpoint.is_well().await, "their time is over");
    for mut stream in held {
        // Closed, with or without a word.
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
    }
    // One that never reads what it asked for.
    let mut deaf = TcpStream::connect(endpoint.address).await.unwrap();
    deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert!(endpoint.is_well().await);
}

#[tokio::test]
async fn many_and_oversized_requests_are_refused() {
    let endpoint = Endpoint::start(SMALL, Fixed(Ok("metrics"))).await;
    let long = "x".repeat(100_000);
    for request in [
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
        format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "X: y\r\n".repeat(100)
        ),
        long,
    ] {
        let answer = endpoint.say(request.as_bytes()).await;
        let refused = ["", "400", "414", "431"].contains(&status(&answer));
        assert!(refused, "{answer}");
    }
    // More than there are places for, all at once: each is served or closed, none waits for ever.
    let mut all = Vec::new();
    for _ in 0..60 {
        let address = endpoint.address;
        all.push(tokio::spawn(async move {
            exchange(address, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await
        }));
    }
    for one in all {
        let answer = one.await.unwrap();
        assert!(["", "200"].contains(&status(&answer)), "{answer}");
    }
    assert!(endpoint.is_well().await);
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_or_when_nobody_asks() {
    let mut endpoint = Endpoint::start(SMALL, Fixed(Ok("metrics"))).await;
    assert!(endpoint.is_well().await);
    endpoint.stop.take().unwrap().send(()).unwrap();
    endpoint.ended.await.unwrap();
    let idle = Limits {
        idle: Some(Duration::from_millis(50)),
        ..SMALL
    };
    let endpoint = Endpoint::start(idle, Fixed(Ok("metrics"))).await;
    endpoint.ended.await.unwrap();
}

#[tokio::test]
async fn nobody_from_outside_is_listened_to() {
    for outside in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = serve::listen(outside.parse().unwrap()).await;
        assert!(matches!(refused, Err(ListenError::Outside(_))), "{outside}");
    }
    let bench = Bench::new().await;
    let ran = bench
        .run(&["metrics", "serve", "--listen", "0.0.0.0:9221"])
        .await;
    assert_eq!(ran.exit, felhom_agent::exit::Exit::Refused);
}

/// The address that the program says on stderr.
fn address_of(child: &mut std::process::Child) -> SocketAddr {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = lines.by_ref().map(Result::unwrap);
    // Before it may stand a warning, such as that about root.
    let line = said.find(|line| line.starts_with("metrics at ")).unwrap();
    let (_, rest) = line.split_once("http://").unwrap();
    // What it says later goes nowhere, and hinders nobody.
    std::thread::spawn(move || lines.count());
    rest.trim_end_matches("/metrics").parse().unwrap()
}

async fn told_to_stop(mut child: std::process::Child) -> Option<i32> {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let waited = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
    waited.await.unwrap()
}

const SCRAPE: &[u8] =
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n";

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_tells_each_scrape_what_the_journal_holds_now() {
    let bench = Bench::new().await;
    let mut child = program(
        &bench.config,
        &["metrics", "serve", "--listen", "127.0.0.1:0"],
    )
    .spawn()
    .unwrap();
    let address = address_of(&mut child);
    // No journal yet: the program is there all the same.
    let first = exchange(address, SCRAPE).await;
    let first = read(body(&first), true);
    assert!(!first.names().contains("felhom_report_sequence"));
    // The journal is read while somebody else has it, and anew each time.
    let journal = bench.journal().await;
    for sequence in [1.0, 2.0] {
        journal.keep_report(&mut report()).await.unwrap();
        let told = read(body(&exchange(address, SCRAPE).await), true);
        assert_eq!(told.value("felhom_report_sequence", &[]), Some(sequence));
    }
    assert_eq!(told_to_stop(child).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_serves_a_socket_that_it_is_given() {
    let bench = Bench::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = program(&bench.config, &["metrics", "serve"]);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let mut child = command.spawn().unwrap();
    assert_eq!(address_of(&mut child), address);
    let told = read(body(&exchange(address, SCRAPE).await), true);
    assert!(told.names().contains("felhom_build_info"));
    assert_eq!(told_to_stop(child).await, Some(0));
    // One that others could come to is not served.
    let outside = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let mut command = program(&bench.config, &["metrics", "serve"]);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(outside)));
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
    assert_eq!(ended.await.unwrap().status.code(), Some(4));
}
