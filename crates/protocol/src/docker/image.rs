//! An image as `docker image inspect` prints it, as far as its digest goes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::docker::object::{Misshapen, Object, member_text};

/// Digests by repository: an image may be known to several.
pub(super) type Digests = BTreeMap<String, String>;

/// Its id, by which containers name it, and the digests under which registries have it: `postgres@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) digests: Digests,
}

pub(super) fn read(value: &Value) -> Result<Image, Misshapen> {
    let object = Object::new(value)?;
    let told = object.list("RepoDigests", member_text)?;
    let split = told.into_iter().filter_map(|told| told.split_once('@'));
    Ok(Image {
        id: object.text("Id")?.to_owned(),
        digests: split
            .map(|(repository, digest)| (repository.to_owned(), digest.to_owned()))
            .collect(),
    })
}

/// The digest of an image that was asked for as `asked`: that of the same repository, else any. An image that was built or
/// imported here has none.
pub(super) fn digest(asked: &str, digests: &Digests) -> Option<String> {
    let same = digests.get(repository(asked));
    same.or_else(|| digests.values().next()).cloned()
}

/// `registry:5000/name:tag` without the tag; the colon of a port stands before a slash.
fn repository(asked: &str) -> &str {
    let asked = asked.split_once('@').map_or(asked, |(name, _)| name);
    match asked.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_the_repository_that_was_asked_for_comes_first() {
        let digests = [("a/x", "sha256:1"), ("r:5000/x", "sha256:2")];
        let digests = digests.map(|(name, digest)| (name.to_owned(), digest.to_owned()));
        let digests = Digests::from(digests);
        for (asked, expected) in [
            ("r:5000/x:1", "sha256:2"),
            ("r:5000/x", "sha256:2"),
            ("a/x", "sha256:1"),
            ("r:5000/x@sha256:9", "sha256:2"),
            ("local:1", "sha256:1"),
        ] {
            assert_eq!(digest(asked, &digests).as_deref(), Some(expected));
        }
        assert_eq!(digest("x", &Digests::new()), None);
    }
}
