//! What has to be told though no pass comes to its end, where things are told otherwise: one that cannot begin, a journal that
//! takes nothing, passes that are cut off one after another.
//!
//! Without the journal nobody knows what was told before, so a stamp outside of it keeps this to once a day.

use std::path::{Path, PathBuf};
use std::time::Duration;

use felhom_engine::{Timestamp, codes};

use super::Sender;
use super::message::Message;
use crate::clock;
use crate::config::Config;

/// It is told again after so long.
const EVERY: Duration = Duration::from_hours(24);

/// Tells on every channel why no pass does its work, at most once a day each. What does not arrive is said, and not kept.
pub async fn alarm(config: &Config, detail: &str, remedy: Option<&str>) -> Vec<String> {
    let now = clock::now();
    let message = Message::unwritten(
        codes::PASS_BROKEN.name,
        detail,
        remedy,
        config.node.as_str(),
        now,
    );
    let mut lines = Vec::new();
    for channel in &config.notify.channels {
        let sender = Sender::new(config, channel);
        let stamp = stamp(config, sender.name());
        if told_lately(&stamp, now) {
            continue;
        }
        if let Err(error) = sender.send(&message, now).await {
            lines.push(format!("channel {}: {error}", sender.name()));
            continue;
        }
        // Where no stamp can be left, somebody is told more often rather than never.
        if let Err(error) = std::fs::write(&stamp, now.millis().to_string()) {
            let name = sender.name();
            lines.push(format!(
                "channel {name} hears this again with each pass: {error}"
            ));
        }
    }
    lines
}

/// In memory where systemd gives a directory there: the disk may be full.
fn stamp(config: &Config, channel: &str) -> PathBuf {
    let given = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    given
        .unwrap_or_else(|| config.state_dir.clone())
        .join(format!("alarm-{channel}"))
}

fn told_lately(stamp: &Path, now: Timestamp) -> bool {
    let text = std::fs::read_to_string(stamp).unwrap_or_default();
    let millis = text.trim().parse().map(Timestamp::from_millis);
    // One of the future was left by a clock that was wrong.
    millis.is_ok_and(|told| told <= now && now.since(told) < EVERY)
}
