//! `features` of a container.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::fields::{Fields, Printer, serde_as_property};
use super::{InvalidProperty, PropertyValue};

/// What a container may do beyond the usual. All are off unless switched on; a token may only ever
/// change `nesting`, and that only on an unprivileged container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// Containers within; Docker needs it.
    pub nesting: Option<bool>,
    /// The `keyctl` system call; Docker in an unprivileged container needs it.
    pub keyctl: Option<bool>,
    /// FUSE file systems.
    pub fuse: Option<bool>,
    /// Making certain device nodes.
    pub mknod: Option<bool>,
    /// A writable `/sys` in unprivileged containers.
    pub force_rw_sys: Option<bool>,
    /// File system types that may be mounted, separated by `;`.
    pub mount: Option<PropertyValue>,
    /// Keys that we do not know.
    pub other: BTreeMap<String, PropertyValue>,
}

impl Features {
    /// Whether both mean the same, written out or not.
    pub fn same(&self, other: &Self) -> bool {
        self.normalised() == other.normalised()
    }

    /// Whether nothing but `nesting` is switched on: what a token could have set itself.
    pub fn is_at_most_nesting(&self) -> bool {
        Self {
            nesting: None,
            ..self.normalised()
        } == Self::default()
    }

    fn normalised(&self) -> Self {
        let on = |flag: Option<bool>| flag.filter(|&set| set);
        Self {
            nesting: on(self.nesting),
            keyctl: on(self.keyctl),
            fuse: on(self.fuse),
            mknod: on(self.mknod),
            force_rw_sys: on(self.force_rw_sys),
            ..self.clone()
        }
    }
}

impl FromStr for Features {
    type Err = InvalidProperty;

    fn from_str(text: &str) -> Result<Self, InvalidProperty> {
        let mut fields = Fields::parse("features", None, text)?;
        Ok(Self {
            nesting: fields.flag("nesting")?,
            keyctl: fields.flag("keyctl")?,
            fuse: fields.flag("fuse")?,
            mknod: fields.flag("mknod")?,
            force_rw_sys: fields.flag("force_rw_sys")?,
            mount: fields.maybe("mount")?,
            other: fields.rest(),
        })
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer::default()
            .flag("nesting", self.nesting)
            .flag("keyctl", self.keyctl)
            .flag("fuse", self.fuse)
            .flag("mknod", self.mknod)
            .flag("force_rw_sys", self.force_rw_sys)
            .maybe("mount", self.mount.as_ref())
            .rest(&self.other)
            .write(f)
    }
}

serde_as_property!(Features);

#[cfg(test)]
mod tests {
    use super::*;

    fn features(text: &str) -> Features {
        text.parse().unwrap()
    }

    #[test]
    fn order_and_off_switches_do_not_matter() {
        let stored = features("nesting=1,keyctl=1");
        assert_eq!(stored.to_string(), "keyctl=1,nesting=1");
        assert!(stored.same(&features("keyctl=on,fuse=0,nesting=yes")));
        assert!(!stored.same(&features("nesting=1")));
        assert!(features("").same(&features("nesting=0")));
    }

    #[test]
    fn nesting_alone_is_what_a_token_may_set() {
        for (text, yes) in [
            ("", true),
            ("nesting=1", true),
            ("nesting=1,keyctl=0", true),
            ("nesting=1,keyctl=1", false),
            ("mount=nfs;cifs", false),
            ("brandnew=1", false),
        ] {
            assert_eq!(features(text).is_at_most_nesting(), yes, "{text}");
        }
    }
}
