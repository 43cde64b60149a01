//! A guest's configuration as it lies in `/etc/pve`, with the lines that PVE writes (pve-container `LXC/Config.pm`
//! `parse_pct_config` and `write_pct_config`).

use felhom_ids::{GuestKind, Vmid};

use super::files;
use super::guests::{Place, directory};
use crate::layout::Layout;
use crate::refusal::Refusal;

/// pmxcfs holds no file that is longer.
const LONGEST: u64 = 1024 * 1024;

/// A configuration's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestConfig {
    text: String,
}

/// What one line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Blank,
    /// A part of the description, still encoded.
    Comment(&'a str),
    /// The head of a snapshot, or of what is pending.
    Section,
    Entry {
        key: &'a str,
        value: &'a str,
    },
    /// Nothing that PVE writes.
    Odd,
}

/// What a configuration holds that a cut-off task left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stub<'a> {
    /// A lock.
    Locked(&'a str),
    /// Not even a lock any more.
    Unlocked,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        if line.trim().is_empty() {
            return Self::Blank;
        }
        if let Some(comment) = line.strip_prefix('#') {
            return Self::Comment(comment);
        }
        if line.starts_with('[') {
            return Self::Section;
        }
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = line.find(|c| !letters(c)).unwrap_or(line.len());
        let (key, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        let rest = rest.trim_start();
        // PVE takes `=` besides `:` after the raw keys of LXC.
        let value = rest
            .strip_prefix(':')
            .or_else(|| rest.strip_prefix('=').filter(|_| key.starts_with("lxc.")));
        match value {
            Some(value) if key.starts_with(|c: char| c.is_ascii_lowercase()) => {
                let value = value.trim();
                Self::Entry { key, value }
            }
            _ => Self::Odd,
        }
    }
}

impl GuestConfig {
    /// Where a guest's configuration is.
    pub(crate) fn path(place: &Place, vmid: Vmid) -> String {
        let directory = directory(place.kind);
        format!("/etc/pve/nodes/{}/{directory}/{vmid}.conf", place.node)
    }

    /// Reads one; `None` when it is not there.
    pub(crate) fn read(
        layout: &Layout,
        place: &Place,
        vmid: Vmid,
    ) -> Result<Option<Self>, Refusal> {
        let path = Self::path(place, vmid);
        let text = files::trusted(layout, &path, &[], LONGEST)?;
        Ok(text.map(|text| Self { text }))
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        let text = text.to_owned();
        Self { text }
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().map(Line::of)
    }

    /// What stands before snapshots and pending changes.
    fn top(&self) -> impl Iterator<Item = Line<'_>> {
        self.lines().take_while(|line| *line != Line::Section)
    }

    /// Whether there are snapshots, or pending changes.
    pub(crate) fn has_sections(&self) -> bool {
        self.lines().any(|line| line == Line::Section)
    }

    /// A value; the last one when there are several, as PVE has it.
    pub(crate) fn get(&self, wanted: &str) -> Option<&str> {
        let values = self.top().filter_map(|line| match line {
            Line::Entry { key, value } => (key == wanted).then_some(value),
            Line::Blank | Line::Comment(_) | Line::Section | Line::Odd => None,
        });
        values.last()
    }

    /// The description, decoded.
    pub(crate) fn description(&self) -> String {
        let parts = self.top().filter_map(|line| match line {
            Line::Comment(text) => Some(decoded(text)),
            Line::Entry { key, value } => (key == "description").then(|| decoded(value)),
            Line::Blank | Line::Section | Line::Odd => None,
        });
        parts.collect::<Vec<_>>().join("\n")
    }

    /// What it holds when that is a lock and nothing else; `None` when there is more.
    ///
    /// A container has nothing besides (pve-container `API2/LXC.pm`: `create_and_lock_config`, then `{ lock => 'create' }`;
    /// its removal leaves `{ lock => 'destroyed' }`). Of a machine that comes from a backup server PVE writes a stand-in of
    /// `memory: 128` (qemu-server `QemuServer.pm` `restore_proxmox_backup_archive`).
    pub(crate) fn stub(&self, kind: GuestKind) -> Option<Stub<'_>> {
        let mut lock = None;
        for line in self.lines() {
            match line {
                Line::Blank => {}
                Line::Entry { key: "lock", value } if lock.is_none() => lock = Some(value),
                Line::Entry { key, value } => {
                    let is_stand_in = kind == GuestKind::Qemu && key == "memory" && value == "128";
                    if !is_stand_in {
                        return None;
                    }
                }
                Line::Comment(_) | Line::Section | Line::Odd => return None,
            }
        }
        Some(lock.map_or(Stub::Unlocked, Stub::Locked))
    }

    /// The text without the lines that `is_unwanted` names, and those lines.
    pub(crate) fn without(&self, is_unwanted: impl Fn(&str) -> bool) -> (String, Vec<String>) {
        let mut kept = String::with_capacity(self.text.len());
        let mut taken = Vec::new();
        for line in self.text.split_inclusive('\n') {
            match Line::of(line.trim_end_matches('\n')) {
                Line::Entry { key, .. } if is_unwanted(key) => taken.push(line.trim().to_owned()),
                Line::Blank | Line::Comment(_) | Line::Section | Line::Entry { .. } | Line::Odd => {
                    kept.push_str(line);
                }
            }
        }
        (kept, taken)
    }
}

/// Undoes `%XX`, with which PVE writes colons, per cents and control characters of a description.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        let length = if byte.is_some() { 2 } else { 0 };
        rest = after.get(length..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_holds_a_lock_and_nothing_else() {
        let is = |text: &str, kind, stub| assert_eq!(GuestConfig::of(text).stub(kind), Some(stub));
        let create = Stub::Locked("create");
        is("lock: create\n", GuestKind::Lxc, create);
        is("lock: create", GuestKind::Lxc, create);
        is("\nlock: create\n\n", GuestKind::Lxc, create);
        is("", GuestKind::Lxc, Stub::Unlocked);
        is("memory: 128\nlock: create", GuestKind::Qemu, create);
        is("memory: 128\n", GuestKind::Qemu, Stub::Unlocked);
        for more in [
            "memory: 128\nlock: create",
            "lock: create\nlock: create",
            "#mine\nlock: create",
            "lock: create\n[snap]\n",
            "lock: create\n[pve:pending]\n",
            "lock: create\nrootfs: local-lvm:vm-9100-disk-0,size=8G",
            "lock: create\nlxc.hook.pre-start: /bin/true",
            "lock: create\n\u{1}",
            "lock create",
        ] {
            assert_eq!(GuestConfig::of(more).stub(GuestKind::Lxc), None, "{more:?}");
        }
        let other = GuestConfig::of("memory: 4096\nlock: create");
        assert_eq!(other.stub(GuestKind::Qemu), None);
    }

    #[test]
    fn a_description_is_decoded() {
        let config =
            GuestConfig::of("#felhom%3A golden container 9900\n#50%25 of %zz\nlock: backup\n");
        let text = "felhom: golden container 9900\n50% of %zz";
        assert_eq!(config.description(), text);
        assert_eq!(config.get("lock"), Some("backup"));
    }

    #[test]
    fn a_snapshots_values_are_not_the_guests() {
        let config = GuestConfig::of("arch: amd64\n\n[before]\nlock: backup\n#mark\n");
        assert_eq!(config.get("lock"), None);
        assert_eq!(config.description(), "");
        assert!(config.has_sections());
    }

    #[test]
    fn lines_are_taken_away_and_the_rest_stays_as_it_is() {
        let text = "#a\narch: amd64\ndev0: /dev/null\nlxc.idmap = u 0 0 1\n\nodd line\nend: 1";
        let (kept, taken) = GuestConfig::of(text).without(|key| key != "arch" && key != "end");
        assert_eq!(kept, "#a\narch: amd64\n\nodd line\nend: 1");
        assert_eq!(taken, ["dev0: /dev/null", "lxc.idmap = u 0 0 1"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*|([a-z.=:#\\[\\]% \n\0-]{0,60})") {
            let config = GuestConfig::of(&text);
            let (kept, _) = config.without(|_| false);
            proptest::prop_assert_eq!(kept, text);
            let _read = (config.description(), config.stub(GuestKind::Lxc), config.has_sections());
        }
    }
}
