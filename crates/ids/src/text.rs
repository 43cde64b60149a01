//! What all text-shaped names share: serde through `FromStr` and `Display`, and character classes.

/// Serde for a type that has `FromStr<Err = InvalidName>` and `Display`.
macro_rules! serde_as_text {
    ($name:ty, $what:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

/// A name that is its own text: one private string, checked by `$check`.
macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as Proxmox writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(crate::InvalidName::new($what, $expected, text))
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        $crate::text::serde_as_text!($name, $what);
    };
}

pub(crate) use {serde_as_text, text_name};

/// A letter first, then at least one of letters, digits, and `extra`.
pub(crate) fn is_config_id(text: &str, extra: &[char]) -> bool {
    let mut chars = text.chars();
    let letter_first = chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic());
    let rest = chars.as_str();
    letter_first
        && !rest.is_empty()
        && rest
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
}

/// Neither blank, nor `:` and `/`, which separate fields in UPIDs, ACLs and paths.
pub(crate) fn is_field(text: &str) -> bool {
    !text.is_empty() && is_field_or_empty(text)
}

/// As [`is_field`], but may be empty.
pub(crate) fn is_field_or_empty(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == ':' || c == '/')
}

/// Two hexadecimal digits, and nothing else (`u8::from_str_radix` would take a sign).
pub(crate) fn hex_byte(text: &str) -> Option<u8> {
    let valid = text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if valid {
        u8::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

/// A SHA-256, as `aa:bb:…` or as 64 hexadecimal digits, in either case.
pub(crate) fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    // A colon between all pairs or none: 32 pairs make 95 characters or 64.
    let step = match text.len() {
        95 => 3,
        64 => 2,
        _ => return None,
    };
    for (index, byte) in digest.iter_mut().enumerate() {
        let start = index * step;
        *byte = hex_byte(text.get(start..start + 2)?)?;
        let colon = text.as_bytes().get(start + 2);
        if step == 3 && !matches!(colon, None | Some(b':')) {
            return None;
        }
    }
    Some(digest)
}
