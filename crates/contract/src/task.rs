//! Following a task to its end, as whoever started it.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::http::{Request, encoded};
use crate::peer::{Client, PeerError};

/// A task that has ended, or has not in time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended {
    pub(crate) upid: String,
    /// `None`: still running when patience was at its end, or not to be read.
    pub(crate) exit: Option<String>,
    pub(crate) log: Vec<String>,
    /// Why the exit status is not known.
    pub(crate) trouble: String,
}

/// Waits for a task's end.
pub(crate) async fn follow(
    client: &mut Client,
    node: &str,
    upid: &str,
    patience: Duration,
) -> Result<Ended, PeerError> {
    let path = format!("/nodes/{node}/tasks/{}", encoded(upid));
    let began = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut ended = Ended {
        upid: upid.to_owned(),
        ..Ended::default()
    };
    loop {
        let status = client
            .send(&Request::get(&format!("{path}/status")))
            .await?;
        let data = status.data();
        if status.status != 200 {
            ended.trouble = format!("its status: {} {}", status.status, status.text());
            return Ok(ended);
        }
        if data.get("status").and_then(Value::as_str) == Some("stopped") {
            let exit = data.get("exitstatus").and_then(Value::as_str);
            ended.exit = exit.map(str::to_owned);
            ended.trouble = "stopped without an exit status".into();
            break;
        }
        if began.elapsed() > patience {
            ended.trouble = format!("still running after {} s", patience.as_secs());
            return Ok(ended);
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_secs(1));
    }
    let log = client
        .send(&Request::get(&format!("{path}/log?limit=0")))
        .await?;
    if let Value::Array(lines) = log.data() {
        let text = |line: &Value| {
            let text = line.get("t").and_then(Value::as_str)?;
            Some(log.product.log_line(text).to_owned())
        };
        ended.log = lines.iter().filter_map(text).collect();
    }
    Ok(ended)
}
