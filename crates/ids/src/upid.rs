//! The name of a worker task, in PVE's form and in that of Proxmox Backup Server.

use std::fmt;
use std::str::FromStr;

use crate::text::{is_field, is_field_or_empty, serde_as_text};
use crate::{InvalidName, NodeName, TokenId};

/// A task's unique id. Two are the same task only when their texts are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upid {
    text: String,
    node: NodeName,
    pid: u32,
    pstart: u64,
    task_id: Option<u64>,
    starttime: u32,
    /// Where kind, id and user begin in `text`; each ends at the next colon.
    tail: [usize; 3],
}

impl Upid {
    /// The whole text, as the API takes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The node that runs the task.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The worker's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When the process started, in clock ticks since the node booted.
    pub fn pstart(&self) -> u64 {
        self.pstart
    }

    /// The counter that only Proxmox Backup Server's form has.
    pub fn task_id(&self) -> Option<u64> {
        self.task_id
    }

    /// When the task started, in seconds since 1970 by the node's clock.
    pub fn starttime(&self) -> u32 {
        self.starttime
    }

    /// What sort of task it is, such as `vzdump`.
    pub fn kind(&self) -> &str {
        self.field(0)
    }

    /// What it is about, as written; often a VMID, sometimes empty.
    pub fn id(&self) -> &str {
        self.field(1)
    }

    /// What it is about, with the escapes undone with which Proxmox Backup Server writes it
    /// (`felhom\x2dspike` is `felhom-spike`, and a bare `-` stands for `/`).
    pub fn subject(&self) -> String {
        if self.task_id.is_none() {
            self.id().to_owned()
        } else {
            unescape(self.id())
        }
    }

    /// Who started it: a user id, or a token id.
    pub fn user(&self) -> &str {
        self.field(2)
    }

    /// The token that started it, when it was one.
    pub fn token(&self) -> Option<TokenId> {
        self.user().parse().ok()
    }

    fn field(&self, index: usize) -> &str {
        let start = self.tail.get(index).copied().unwrap_or(0);
        self.text
            .get(start..)
            .and_then(|rest| rest.split(':').next())
            .unwrap_or("")
    }
}

impl FromStr for Upid {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        parse(text).ok_or_else(|| {
            InvalidName::new(
                "UPID",
                "`UPID:node:pid:pstart:starttime:type:id:user:`",
                text,
            )
        })
    }
}

fn parse(text: &str) -> Option<Upid> {
    let mut fields = text.strip_prefix("UPID:")?.strip_suffix(':')?.split(':');
    let node = fields.next()?.parse().ok()?;
    let pid = u32::try_from(hex(fields.next()?, 8..=8)?).ok()?;
    // Nine digits since a node's uptime no longer fits eight (after 497 days at 100 ticks a second).
    let pstart = hex(fields.next()?, 8..=9)?;
    // No field can hold a colon, so their number tells the two forms apart.
    let task_id = match fields.clone().count() {
        4 => None,
        5 => Some(hex(fields.next()?, 8..=16)?),
        _ => return None,
    };
    let starttime = u32::try_from(hex(fields.next()?, 8..=8)?).ok()?;
    let (kind, id, user) = (fields.next()?, fields.next()?, fields.next()?);
    if !(is_field(kind) && is_field_or_empty(id) && is_field(user)) {
        return None;
    }
    let user_at = text.len() - 1 - user.len();
    let id_at = user_at - 1 - id.len();
    let tail = [id_at - 1 - kind.len(), id_at, user_at];
    Some(Upid {
        text: text.to_owned(),
        node,
        pid,
        pstart,
        task_id,
        starttime,
        tail,
    })
}

fn hex(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let valid = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if valid {
        u64::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

/// The inverse of systemd's unit name escaping.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let escape = rest.strip_prefix("\\x").and_then(|tail| tail.get(..2));
        let (byte, used) = match (first, escape.and_then(crate::text::hex_byte)) {
            (_, Some(byte)) => (Some(byte), 4),
            ('-', None) => (Some(b'/'), 1),
            (_, None) => (None, first.len_utf8()),
        };
        match byte {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = rest.get(used..).unwrap_or("");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl AsRef<str> for Upid {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

serde_as_text!(Upid, "a UPID");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_token_task_of_pve() {
        let text = "UPID:demo-felhom:0000A1B2:0001C3D4:6A220C2F:vzdump:9001:felhom-ctl@pve!ctl:";
        let upid: Upid = text.parse().unwrap();
        assert_eq!(upid.node().as_str(), "demo-felhom");
        assert_eq!(
            (upid.pid(), upid.pstart(), upid.starttime()),
            (0xA1B2, 0x1C3D4, 0x6A22_0C2F)
        );
        assert_eq!(
            (upid.kind(), upid.id(), upid.user()),
            ("vzdump", "9001", "felhom-ctl@pve!ctl")
        );
        assert_eq!(upid.token().unwrap().name(), "ctl");
        assert_eq!(upid.task_id(), None);
        assert_eq!(upid.to_string(), text);
    }

    #[test]
    fn nine_digits_of_pstart_and_an_empty_id_are_fine() {
        let upid: Upid = "UPID:pve:00000001:1ABCDEF01:6A220C2F:vzdump::root@pam:"
            .parse()
            .unwrap();
        assert_eq!(upid.pstart(), 0x1_ABCD_EF01);
        assert_eq!(upid.id(), "");
        assert_eq!(upid.token(), None);
    }

    #[test]
    fn reads_the_form_of_the_backup_server() {
        let text =
            "UPID:vm:000002A7:0000316B:0000000C:6A22F2C6:verify:felhom\\x2dspike:felhom@pbs!n100:";
        let upid: Upid = text.parse().unwrap();
        assert_eq!(upid.task_id(), Some(12));
        assert_eq!(upid.starttime(), 0x6A22_F2C6);
        assert_eq!(upid.id(), "felhom\\x2dspike");
        assert_eq!(upid.subject(), "felhom-spike");
        assert_eq!(upid.user(), "felhom@pbs!n100");
        assert_eq!(upid.to_string(), text);
    }

    #[test]
    fn subjects_lose_their_escapes_only_where_they_have_them() {
        assert_eq!(unescape("a-b\\x2dc\\x3aä\\xZZ"), "a/b-c:ä\\xZZ");
        let upid: Upid = "UPID:pve:00000001:00000002:00000003:imgdel:101@a-b:root@pam:"
            .parse()
            .unwrap();
        assert_eq!(upid.subject(), "101@a-b");
    }

    #[test]
    fn refuses_what_only_looks_like_one() {
        for odd in [
            "",
            "OK",
            "UPID:",
            "UPID:pve:00000001:00000002:00000003:vzdump:101:root@pam",
            "UPID:pve:0000001:00000002:00000003:vzdump:101:root@pam:",
            "UPID:pve:00000001:0000000002:00000003:vzdump:101:root@pam:",
            "UPID:pve:00000001:00000002:00000003::101:root@pam:",
            "UPID:pve:00000001:00000002:00000003:vzdump:101::",
            "UPID:pve:00000001:00000002:00000003:vz dump:101:root@pam:",
            "UPID:pve:00000001:00000002:00000003:vzdump:1/1:root@pam:",
            "UPID:p_e:00000001:00000002:00000003:vzdump:101:root@pam:",
            "UPID:pve:0000000g:00000002:00000003:vzdump:101:root@pam:",
            "upid:pve:00000001:00000002:00000003:vzdump:101:root@pam:",
            "UPID:pve:00000001:00000002:00000003:vzdump:101:root@pam:\n",
        ] {
            assert!(odd.parse::<Upid>().is_err(), "{odd:?}");
        }
    }
}
