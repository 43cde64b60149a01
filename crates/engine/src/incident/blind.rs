//! What could not be looked at, and what somebody does not want to hear of.

use std::collections::{BTreeMap, BTreeSet};

/// What a look could not see. What it covers is neither over nor proven to last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blind {
    all: bool,
    kinds: BTreeSet<String>,
    subjects: BTreeSet<String>,
    codes: BTreeSet<String>,
    keys: BTreeSet<(String, String)>,
    /// By the kind: the only subjects of it that were seen.
    others: BTreeMap<String, BTreeSet<String>>,
}

impl Blind {
    /// Nothing at all was seen.
    pub fn to_all(&mut self) {
        self.all = true;
    }

    /// Nothing of a kind was seen: `guest` covers every `guest …`.
    pub fn to_kind(&mut self, kind: impl Into<String>) {
        self.kinds.insert(kind.into());
    }

    /// A subject was not seen: `storage nas`, and what is said of a part of it, `storage nas: …`.
    pub fn to_subject(&mut self, subject: impl Into<String>) {
        self.subjects.insert(subject.into());
    }

    /// Nothing that this code tells was seen, of whatever subject.
    pub fn to_code(&mut self, code: impl Into<String>) {
        self.codes.insert(code.into());
    }

    /// One code about one subject could not be told.
    pub fn to_key(&mut self, code: impl Into<String>, subject: impl Into<String>) {
        self.keys.insert((code.into(), subject.into()));
    }

    /// Of a kind only these subjects were seen: one that is gone says nothing, and that is not the same as being well.
    pub fn to_others(&mut self, kind: impl Into<String>, seen: BTreeSet<String>) {
        self.others.insert(kind.into(), seen);
    }

    /// Whether this incident cannot be judged.
    pub fn covers(&self, code: &str, subject: &str) -> bool {
        let kind = subject.split_once(' ').map_or(subject, |(kind, _)| kind);
        self.all
            || self.kinds.contains(kind)
            || self.codes.contains(code)
            || self
                .others
                .get(kind)
                .is_some_and(|seen| !seen.contains(subject))
            || self.subjects.iter().any(|seen| is_part(subject, seen))
            || self
                .keys
                .iter()
                .any(|(of, about)| of == code && about == subject)
    }
}

/// Whether `subject` is `whole` or something said of a part of it. `guest 1` is no part of `guest 10`.
fn is_part(subject: &str, whole: &str) -> bool {
    subject
        .strip_prefix(whole)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ':', ',', '/']))
}

/// Something that somebody accepted for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// The code.
    pub code: String,
    /// Only about this subject; `None` for all.
    pub subject: Option<String>,
}

impl Silence {
    /// Whether it covers this.
    pub fn covers(&self, code: &str, subject: &str) -> bool {
        let about = self.subject.as_deref();
        self.code == code && about.is_none_or(|about| about == subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_covers_its_parts_and_no_neighbour() {
        let mut blind = Blind::default();
        blind.to_subject("guest 1");
        blind.to_kind("disk");
        blind.to_key("posture", "guest 7");
        assert!(blind.covers("any", "guest 1") && blind.covers("any", "guest 1: volume a"));
        assert!(!blind.covers("any", "guest 10"));
        assert!(blind.covers("any", "disk /dev/sda") && !blind.covers("any", "diskless box"));
        blind.to_others("target", BTreeSet::from(["target usb1".to_owned()]));
        assert!(blind.covers("any", "target usb2") && !blind.covers("any", "target usb1"));
        assert!(blind.covers("posture", "guest 7") && !blind.covers("mode-degraded", "guest 7"));
    }
}
