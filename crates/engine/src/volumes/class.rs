//! What a volume should be: in the backup or out of it, by whose word, and never by a guess.

use std::fmt;
use std::str::FromStr;

use felhom_ids::{ByteSize, Vmid};
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::presets;

/// What a volume should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeClass {
    /// Belongs in the guest's backup.
    Hot,
    /// Must not be in it.
    Bulk,
}

impl fmt::Display for VolumeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hot => "hot",
            Self::Bulk => "bulk",
        })
    }
}

/// The text is no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no class; expected `hot` or `bulk`")]
pub struct ParseVolumeClassError(String);

impl FromStr for VolumeClass {
    type Err = ParseVolumeClassError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hot" => Ok(Self::Hot),
            "bulk" => Ok(Self::Bulk),
            other => Err(ParseVolumeClassError(other.chars().take(64).collect())),
        }
    }
}

/// Somebody's word that a volume may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedLoss {
    /// Who said so.
    pub by: String,
    /// On which day, `2026-11-23`.
    pub on: String,
}

/// What protects a bulk volume, since its guest's backup does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cover {
    /// Something else backs it up, in the admin's words.
    ProtectedBy(String),
    /// It may be lost.
    AcceptedLoss(AcceptedLoss),
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProtectedBy(what) => write!(f, "protected by {what}"),
            Self::AcceptedLoss(loss) => write!(f, "loss accepted by {} on {}", loss.by, loss.on),
        }
    }
}

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

/// What a volume was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classed {
    /// Somebody said so.
    As {
        /// What.
        class: VolumeClass,
        /// Who said so, and why.
        why: String,
        /// What protects it, when that is not the guest's backup.
        cover: Option<Cover>,
    },
    /// Nobody said anything, or nothing that can be followed.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl Classed {
    /// The class, where there is one.
    pub fn class(&self) -> Option<VolumeClass> {
        match self {
            Self::As { class, .. } => Some(*class),
            Self::Unknown { .. } => None,
        }
    }

    /// Who said so and why; or why nobody did.
    pub fn why(&self) -> &str {
        match self {
            Self::As { why, .. } | Self::Unknown { why } => why,
        }
    }

    /// What protects it besides the guest's backup.
    pub fn cover(&self) -> Option<&Cover> {
        match self {
            Self::As { cover, .. } => cover.as_ref(),
            Self::Unknown { .. } => None,
        }
    }
}

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
