//! By whose word a volume is of a class: its label, else a rule of the policy, else a preset for a well-known image.

use felhom_ids::{ByteSize, Vmid};
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::class::{Classed, Cover, ParseVolumeClassError, VolumeClass};
use super::presets;

/// A rule of the policy. Every pattern that is given must match; `*` stands for any characters, `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRule {
    /// Only in this guest.
    pub vmid: Option<Vmid>,
    /// The volume's name; a bind mount has none.
    pub name: Option<String>,
    /// The image of a container that uses it, as it was asked for.
    pub image: Option<String>,
    /// The path inside the guest where its bytes lie.
    pub path: Option<String>,
    /// What it should be.
    pub class: VolumeClass,
    /// What protects it, when that is not the guest's backup.
    pub cover: Option<Cover>,
}

/// What was asked for, about volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePolicy {
    /// The first that matches wins.
    pub rules: Vec<VolumeRule>,
    /// An unclassified volume of this size or more is hinted to be bulk.
    pub bulk_hint: ByteSize,
}

impl VolumePolicy {
    /// Whether a rule calls all that lies below a path bulk, whatever it is.
    pub(super) fn says_bulk(&self, vmid: Vmid, path: &str) -> bool {
        let subject = Subject {
            vmid,
            name: None,
            label: &|_| None,
            path: Some(path),
            uses: Vec::new(),
        };
        let mut rules = self.rules.iter();
        let rule = rules.find(|rule| matches(rule, &subject));
        rule.is_some_and(|rule| rule.class == VolumeClass::Bulk && rule.path.is_some())
    }
}

impl Default for VolumePolicy {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            bulk_hint: ByteSize::from_bytes(10 << 30),
        }
    }
}

/// The label by which a volume says its own class, and the one that says what protects it.
const LABEL: &str = "felhom.class";
const LABEL_COVER: &str = "felhom.protected-by";

/// What is known of a volume when it is classed.
pub(super) struct Subject<'a> {
    pub(super) vmid: Vmid,
    /// `None` for a bind mount.
    pub(super) name: Option<&'a str>,
    pub(super) label: &'a dyn Fn(&str) -> Option<&'a str>,
    pub(super) path: Option<&'a str>,
    /// Image and destination of every container that mounts it.
    pub(super) uses: Vec<(&'a str, &'a str)>,
}

/// The class by label, else by the policy's rules, else by a preset for a well-known image.
pub(super) fn class(subject: &Subject<'_>, policy: &VolumePolicy) -> Classed {
    let mut rules = policy.rules.iter().enumerate();
    let rule = rules.find(|(_, rule)| matches(rule, subject));
    if let Some(word) = (subject.label)(LABEL) {
        return by_label(subject, word, rule.map(|(_, rule)| rule));
    }
    if let Some((place, rule)) = rule {
        return Classed::As {
            class: rule.class,
            why: format!("rule {} of the configuration", place + 1),
            cover: rule.cover.clone(),
        };
    }
    by_preset(subject)
}

/// A label says the class; what protects the volume the box's own configuration may say as well, of that class.
fn by_label(subject: &Subject<'_>, word: &str, rule: Option<&VolumeRule>) -> Classed {
    match word.parse() {
        Ok(class) => Classed::As {
            class,
            why: format!("its label `{LABEL}`"),
            cover: (subject.label)(LABEL_COVER)
                .map(|what| Cover::ProtectedBy(what.to_owned()))
                .or_else(|| rule.filter(|rule| rule.class == class)?.cover.clone()),
        },
        Err(error) => {
            let error: ParseVolumeClassError = error;
            Classed::Unknown {
                why: format!("its label `{LABEL}` cannot be followed: {error}"),
            }
        }
    }
}

fn matches(rule: &VolumeRule, subject: &Subject<'_>) -> bool {
    let fits = |pattern: &str, text: &str| WildMatch::new(pattern).matches(text);
    let one = |pattern: &Option<String>, text: Option<&str>| {
        pattern
            .as_ref()
            .is_none_or(|pattern| text.is_some_and(|text| fits(pattern, text)))
    };
    let image = rule.image.as_ref().is_none_or(|pattern| {
        let mut images = subject.uses.iter();
        images.any(|(image, _)| fits(pattern, image))
    });
    rule.vmid.is_none_or(|vmid| vmid == subject.vmid)
        && one(&rule.name, subject.name)
        && one(&rule.path, subject.path)
        && image
}

/// Presets of several containers must agree.
fn by_preset(subject: &Subject<'_>) -> Classed {
    let mut found = subject
        .uses
        .iter()
        .filter_map(|(image, destination)| presets::find(image, destination));
    let Some(first) = found.next() else {
        return Classed::Unknown {
            why: "no label, no rule and no preset says what it is".to_owned(),
        };
    };
    if let Some(other) = found.find(|preset| preset.class != first.class) {
        return Classed::Unknown {
            why: format!(
                "the presets for {} and {} contradict each other",
                first.image, other.image
            ),
        };
    }
    Classed::As {
        class: first.class,
        why: format!("preset for {}: {}", first.image, first.why),
        cover: None,
    }
}
