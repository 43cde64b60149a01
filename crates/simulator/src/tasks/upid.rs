//! UPIDs: the names of worker tasks (pve-common, `UPID.pm`).

use std::fmt;

/// The parts of `UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upid {
    pub(crate) node: String,
    pub(crate) pid: u32,
    /// Clock ticks between the node's boot and the process's start.
    pub(crate) pstart: u64,
    pub(crate) starttime: i64,
    pub(crate) kind: String,
    pub(crate) id: String,
    /// A token's tasks carry its whole name.
    pub(crate) user: String,
}

impl Upid {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["UPID", node, pid, pstart, start, kind, id, user, ""] = parts.as_slice() else {
            return None;
        };
        let plain =
            |part: &str| !part.contains(|letter: char| letter.is_whitespace() || letter == '/');
        let hex = |part: &str, widths: &[usize]| {
            widths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let is_host = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let sound = is_host(node)
            && hex(pid, &[8])
            && hex(pstart, &[8, 9])
            && hex(start, &[8])
            && !kind.is_empty()
            && !user.is_empty()
            && [kind, id, user].into_iter().all(|part| plain(part));
        if !sound {
            return None;
        }
        Some(Self {
            node: (*node).to_owned(),
            pid: u32::from_str_radix(pid, 16).ok()?,
            pstart: u64::from_str_radix(pstart, 16).ok()?,
            starttime: i64::from_str_radix(start, 16).ok()?,
            kind: (*kind).to_owned(),
            id: (*id).to_owned(),
            user: (*user).to_owned(),
        })
    }

    /// The user without its token.
    pub(crate) fn owner(&self) -> &str {
        self.user
            .split_once('!')
            .map_or(self.user.as_str(), |(user, _)| user)
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.user.split_once('!').map(|(_, token)| token)
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            pid,
            pstart,
            starttime,
            kind,
            id,
            user,
        } = self;
        write!(
            out,
            "UPID:{node}:{pid:08X}:{pstart:08X}:{starttime:08X}:{kind}:{id}:{user}:"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Upid;

    #[test]
    fn a_recorded_upid_round_trips() {
        let text = "UPID:demo-felhom:000007D9:00010F4A:6B0384D6:vzdump:9001:felhom-ctl@pve!ctl:";
        let upid = Upid::parse(text).unwrap();
        assert_eq!(
            (upid.pid, upid.owner(), upid.token()),
            (2009, "felhom-ctl@pve", Some("ctl"))
        );
        assert_eq!(upid.to_string(), text);
    }

    #[test]
    fn what_is_no_upid_is_refused() {
        for bad in [
            "",
            "UPID:",
            "UPID:n:000007D9:00010F4A:6B0384D6:vzdump:9001:u@pve",
            "UPID:n:7D9:00010F4A:6B0384D6:t:1:u:",
            "UPID:n:000007D9:00010F4A:6B0384D6:a/b:1:u:",
            "UPID:../x:000007D9:00010F4A:6B0384D6:t:1:u:",
        ] {
            assert_eq!(Upid::parse(bad), None, "{bad}");
        }
    }
}
