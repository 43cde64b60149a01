//! The log of a verify task: what it skipped, what it failed, and which chunks it could not stand.
//!
//! Lines as proxmox-backup 3.2.4 wrote them. A log is foreign text: whatever does not look like one of them says nothing,
//! and no number of lines makes this grow without bound.

use felhom_ids::BackupSnapshot;
use serde::{Deserialize, Serialize};

use crate::finding::one_line;

/// How many of each are kept; the rest is counted.
const KEPT: usize = 32;
/// Characters of a foreign text that are repeated.
const SHOWN: usize = 200;
/// Characters of a chunk's digest.
const DIGEST: usize = 64;

/// A file that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFile {
    /// Its name: `root.pxar.didx`.
    pub file: String,
    /// What the server says of it.
    pub why: String,
}

/// What a verify task said of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerifyLog {
    /// Whether it began to look at the snapshot.
    pub begun: bool,
    /// Why it was skipped: `recently verified`, or the lock in the way.
    pub skipped: Option<String>,
    /// Whether the list of what failed at the end names it.
    pub listed_failed: bool,
    /// Damaged or missing chunks, each once, in the order of the log.
    pub chunks: Vec<String>,
    /// Files that failed.
    pub files: Vec<FailedFile>,
    /// What else it said against the snapshot itself: an unreadable manifest.
    pub notes: Vec<String>,
    /// How much was said beyond what is kept.
    pub more: usize,
}

impl VerifyLog {
    /// Reads the log of a task that verified `snapshot`, alone or among others.
    pub fn parse(lines: &[String], snapshot: &BackupSnapshot) -> Self {
        let wanted = snapshot.to_string();
        let mut log = Self::default();
        let mut ours = false;
        let mut listing = false;
        for line in lines {
            let line = without_time(line);
            if let Some(name) = line.strip_prefix('\t').filter(|_| listing) {
                // With its namespace before it, where it has one.
                let name = name.trim();
                log.listed_failed |= name == wanted
                    || name.starts_with("ns/") && name.ends_with(&format!("/{wanted}"));
                continue;
            }
            listing = line.starts_with("Failed to verify the following");
            if let Some(rest) = line.strip_prefix("SKIPPED: verify ") {
                if let Some(why) = of_snapshot(rest, &wanted) {
                    log.skipped = Some(reason(why));
                }
            } else if let Some(rest) = line.strip_prefix("verify group ") {
                // The next group; nothing below it is about a snapshot before its own line.
                ours = rest.is_empty();
            } else if let Some(rest) = line.strip_prefix("verify ") {
                ours = log.verify_line(rest, &wanted);
            } else if ours && let Some(chunk) = chunk(line) {
                log.chunk(chunk);
            }
        }
        log
    }

    /// `STORE:SNAPSHOT`, `STORE:SNAPSHOT/FILE failed: WHY` or `STORE:SNAPSHOT - WHY`. Whether it is about ours.
    fn verify_line(&mut self, rest: &str, wanted: &str) -> bool {
        let Some(rest) = of_snapshot(rest, wanted) else {
            return false;
        };
        if rest.is_empty() {
            self.begun = true;
        } else if let Some((file, why)) = rest
            .strip_prefix('/')
            .and_then(|rest| rest.split_once(" failed: "))
        {
            let (file, why) = (shown(file), shown(why));
            if self.files.len() < KEPT {
                self.files.push(FailedFile { file, why });
            } else {
                self.more = self.more.saturating_add(1);
            }
        } else if self.notes.len() < KEPT {
            self.notes.push(reason(rest));
        } else {
            self.more = self.more.saturating_add(1);
        }
        true
    }

    fn chunk(&mut self, digest: &str) {
        if self.chunks.iter().any(|known| known == digest) {
        } else if self.chunks.len() < KEPT {
            self.chunks.push(digest.to_owned());
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// Logs of a backup server begin each line with its time: `2026-11-22T23:43:52+00:00: verify …`.
fn without_time(line: &str) -> &str {
    match line.split_once(": ") {
        Some((time, rest))
            if time.len() >= 20
                && time.len() <= 35
                && time.starts_with(|c: char| c.is_ascii_digit())
                && !time.contains(' ') =>
        {
            rest
        }
        Some(_) | None => line,
    }
}

/// What follows the snapshot in `STORE:SNAPSHOT…`. A longer id that begins like ours is another snapshot; its time ends all.
fn of_snapshot<'a>(rest: &'a str, wanted: &str) -> Option<&'a str> {
    let (_store, rest) = rest.split_once(':')?;
    let rest = rest.strip_prefix(wanted)?;
    let ends = rest.is_empty() || rest.starts_with(['/', ' ']);
    ends.then_some(rest)
}

/// The digest of the chunk that a line complains of.
fn chunk(line: &str) -> Option<&str> {
    let digest = if let Some((_, rest)) = line.split_once("unable to load chunk '") {
        rest.get(..DIGEST)
    } else if let Some(rest) = line.strip_prefix("corrupted chunk renamed to ") {
        // `"/…/.chunks/4f49/<digest>.0.bad"`
        rest.rsplit('/').next().and_then(|name| name.get(..DIGEST))
    } else {
        line.strip_prefix("chunk ")
            .filter(|rest| rest.ends_with(" was marked as corrupt"))
            .and_then(|rest| rest.get(..DIGEST))
    }?;
    let hex = digest
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex.then_some(digest)
}

/// ` (recently verified)` and ` - could not …` without what holds them.
fn reason(text: &str) -> String {
    let text = text.trim().trim_start_matches("- ");
    shown(
        text.strip_prefix('(')
            .and_then(|inner| inner.strip_suffix(')'))
            .unwrap_or(text),
    )
}

fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    one_line(&out)
}
