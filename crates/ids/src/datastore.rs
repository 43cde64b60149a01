//! The name of a datastore on a Proxmox Backup Server, and of a namespace in it.

use crate::text::text_name;

text_name!(
    /// A datastore's name, unique on its server.
    DatastoreName,
    "datastore name",
    "3 to 32 letters, digits, `_`, `.`, `-`, not beginning with `.` or `-` (as in `felhom-store`)",
    is_datastore_name
);

fn is_datastore_name(text: &str) -> bool {
    (3..=32).contains(&text.len()) && is_safe_id(text)
}

text_name!(
    /// A namespace within a datastore: `a/b/c`. The root namespace is the empty text.
    Namespace,
    "namespace",
    "at most 8 parts joined by `/`, each of letters, digits, `_`, `.`, `-` (as in `customers/n100`), or nothing for the root",
    is_namespace
);

/// Parts of the deepest namespace: seven levels below the first.
const MOST_PARTS: usize = 8;

/// Bytes of the longest namespace.
const LONGEST: usize = 256;

fn is_namespace(text: &str) -> bool {
    text.is_empty()
        || text.len() <= LONGEST
            && text.split('/').count() <= MOST_PARTS
            && text.split('/').all(is_safe_id)
}

/// What Proxmox Backup Server calls a safe id: neither a hidden file, nor an option, nor a path.
pub(crate) fn is_safe_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !text.is_empty() && !text.starts_with(['.', '-']) && text.chars().all(allowed)
}

impl Namespace {
    /// The namespace that every datastore has, and that is left out of requests and paths.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of parts; the root has none.
    pub fn depth(&self) -> usize {
        self.parts().count()
    }

    /// The parts from the outermost inwards.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The namespace that this one lies in; the root lies in none.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let outer = self.0.rsplit_once('/').map_or("", |(outer, _)| outer);
        Some(Self(outer.to_owned()))
    }

    /// Whether `other` is this namespace or lies below it, however deep.
    pub fn contains(&self, other: &Self) -> bool {
        self.is_root()
            || other
                .0
                .strip_prefix(&self.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datastores_follow_the_pattern_of_the_server() {
        for good in ["abc", "felhom-spike", "_x.", "1-a", &"a".repeat(32)] {
            assert_eq!(good.parse::<DatastoreName>().unwrap().as_str(), good);
        }
        for odd in [
            "",
            "ab",
            ".ab",
            "-ab",
            "a/b",
            "a b",
            "äbc",
            "abc\n",
            &"a".repeat(33),
        ] {
            assert!(odd.parse::<DatastoreName>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn the_root_is_the_empty_text() {
        let root: Namespace = "".parse().unwrap();
        assert!(root.is_root());
        assert_eq!(root, Namespace::root());
        assert_eq!(root, Namespace::default());
        assert_eq!(root.to_string(), "");
        assert_eq!((root.depth(), root.parent()), (0, None));
        assert_eq!(serde_json::to_string(&root).unwrap(), "\"\"");
    }

    #[test]
    fn namespaces_nest_to_a_limit() {
        let deepest = "a/b/c/d/e/f/g/h";
        let namespace: Namespace = deepest.parse().unwrap();
        assert_eq!(namespace.depth(), 8);
        assert_eq!(namespace.parent().unwrap().as_str(), "a/b/c/d/e/f/g");
        assert_eq!(
            "a".parse::<Namespace>().unwrap().parent(),
            Some(Namespace::root())
        );
        let long = format!("{}/b", "a".repeat(254));
        assert_eq!(long.parse::<Namespace>().unwrap().depth(), 2);
        for odd in [
            "a/b/c/d/e/f/g/h/i",
            "/",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/..",
            "-a",
            "a b",
            "a\\b",
            &format!("{long}b"),
        ] {
            assert!(odd.parse::<Namespace>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_namespace_contains_what_lies_below_it_by_whole_parts() {
        let namespace = |text: &str| text.parse::<Namespace>().unwrap();
        assert!(namespace("").contains(&namespace("a/b")));
        assert!(namespace("a").contains(&namespace("a")));
        assert!(namespace("a").contains(&namespace("a/b")));
        assert!(!namespace("a").contains(&namespace("ab")));
        assert!(!namespace("a/b").contains(&namespace("a")));
        assert_eq!(namespace("a/b").parts().collect::<Vec<_>>(), ["a", "b"]);
    }
}
