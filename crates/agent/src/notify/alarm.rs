//! What has to be told though nothing can be written down: a pass that cannot begin, a journal that takes nothing.
//!
//! Without the journal nobody knows what was told before, so a stamp outside of it keeps this to once a day.

use std::path::PathBuf;
use std::time::Duration;

use felhom_engine::{Timestamp, codes};

use super::Sender;
use super::message::Message;
use crate::clock;
use crate::config::Config;

/// It is told again after so long.
const EVERY: Duration = Duration::from_hours(24);
const STAMP: &str = "alarm";

/// Tells on every channel that no pass can do its work, at most once a day. What does not arrive is said, and not kept.
pub async fn alarm(config: &Config, why: &str, remedy: Option<&str>) -> Vec<String> {
    let now = clock::now();
    if config.notify.channels.is_empty() || told_lately(config, now) {
        return Vec::new();
    }
    let detail = format!("no pass can begin or be written down: {why}");
    let message = Message::unwritten(
        codes::PASS_BROKEN.name,
        &detail,
        remedy,
        config.node.as_str(),
        now,
    );
    let (mut lines, mut arrived) = (Vec::new(), false);
    for channel in &config.notify.channels {
        let sender = Sender::new(config, channel);
        match sender.send(&message, now).await {
            Ok(()) => arrived = true,
            Err(error) => lines.push(format!("channel {}: {error}", sender.name())),
        }
    }
    // Where no stamp can be left, somebody is told more often rather than never.
    if arrived && let Err(error) = std::fs::write(stamp(config), now.millis().to_string()) {
        lines.push(format!("this is told again with each pass: {error}"));
    }
    lines
}

/// In memory where systemd gives a directory there: the disk may be full.
fn stamp(config: &Config) -> PathBuf {
    let given = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    given
        .unwrap_or_else(|| config.state_dir.clone())
        .join(STAMP)
}

fn told_lately(config: &Config, now: Timestamp) -> bool {
    let text = std::fs::read_to_string(stamp(config)).unwrap_or_default();
    let millis = text.trim().parse().map(Timestamp::from_millis);
    // One of the future was left by a clock that was wrong.
    millis.is_ok_and(|told| told <= now && now.since(told) < EVERY)
}
