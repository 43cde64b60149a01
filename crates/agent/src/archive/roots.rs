//! Directories that are counted apart, and which of them a path lies in: always the innermost.

use std::cmp::Ordering;
use std::collections::HashMap;

/// A directory, and the one of the others that it lies in.
#[derive(Debug)]
struct Root {
    path: Vec<u8>,
    around: Option<usize>,
}

/// Directories without slashes at their ends; the empty path is the guest's root.
///
/// They stand in the order in which a tree is walked, each knowing the next one around it. So finding the innermost takes a
/// binary search and a few steps outwards, however long a path is and however many directories there are.
#[derive(Debug)]
pub(super) struct Roots {
    sorted: Vec<Root>,
    by_path: HashMap<Vec<u8>, usize>,
}

impl Roots {
    /// Of these absolute paths; the same path twice is one.
    pub(super) fn new<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut paths: Vec<Vec<u8>> = paths
            .map(|path| path.trim_matches('/').as_bytes().to_vec())
            .collect();
        paths.sort_by(|one, other| walk_order(one, other));
        paths.dedup();
        let mut sorted: Vec<Root> = Vec::with_capacity(paths.len());
        let mut open: Vec<usize> = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            while let Some(last) = open.last().copied() {
                let inside = sorted
                    .get(last)
                    .is_some_and(|root: &Root| is_below(path, &root.path));
                if inside {
                    break;
                }
                open.pop();
            }
            sorted.push(Root {
                path: path.clone(),
                around: open.last().copied(),
            });
            open.push(at);
        }
        let by_path = paths
            .into_iter()
            .enumerate()
            .map(|(at, path)| (path, at))
            .collect();
        Self { sorted, by_path }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The directory with this very path.
    pub(super) fn exact(&self, path: &[u8]) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    pub(super) fn exact_text(&self, path: &str) -> Option<usize> {
        self.exact(path.trim_matches('/').as_bytes())
    }

    /// The directories that lie below this path.
    pub(super) fn below(&self, path: &[u8]) -> std::ops::Range<usize> {
        let start = self
            .sorted
            .partition_point(|root| walk_order(&root.path, path) != Ordering::Greater);
        let behind = self.sorted.get(start..).unwrap_or_default();
        start..start + behind.partition_point(|root| is_below(&root.path, path))
    }

    /// The innermost directory that this path is, or lies in, with the length of its path.
    pub(super) fn innermost(&self, path: &[u8]) -> Option<(usize, usize)> {
        let behind = self
            .sorted
            .partition_point(|root| walk_order(&root.path, path) != Ordering::Greater);
        let mut at = behind.checked_sub(1)?;
        loop {
            let root = self.sorted.get(at)?;
            if is_below(path, &root.path) {
                return Some((at, root.path.len()));
            }
            at = root.around?;
        }
    }
}

/// By their parts, so that what lies in a directory follows it at once.
fn walk_order(one: &[u8], other: &[u8]) -> Ordering {
    // The guest's root has no part at all.
    let parts = |path: &'_ [u8]| !path.is_empty();
    match (parts(one), parts(other)) {
        (true, true) => one
            .split(|byte| *byte == b'/')
            .cmp(other.split(|byte| *byte == b'/')),
        (one, other) => one.cmp(&other),
    }
}

/// Whether a path is this directory or lies in it.
pub(super) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The directory that a path lies in; that of a path with one part is the guest's root.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_innermost_is_the_longest_prefix(
            roots in prop::collection::vec("(/[ab-]{1,2}){0,4}", 0..12),
            path in "[ab-]{1,2}(/[ab-]{1,2}){0,5}",
        ) {
            let found = Roots::new(roots.iter().map(String::as_str));
            let longest = roots
                .iter()
                .map(|root| root.trim_matches('/'))
                .filter(|root| is_below(path.as_bytes(), root.as_bytes()))
                .max_by_key(|root| root.len());
            let innermost = found.innermost(path.as_bytes());
            prop_assert_eq!(innermost.map(|(at, _)| at), longest.and_then(|root| found.exact_text(root)));
            prop_assert_eq!(innermost.map(|(_, length)| length), longest.map(str::len));
            let below = found.below(path.as_bytes()).count();
            let strictly = |root: &str| is_below(root.as_bytes(), path.as_bytes()) && root != path;
            let all: std::collections::BTreeSet<&str> = roots.iter().map(|root| root.trim_matches('/')).collect();
            prop_assert_eq!(below, all.into_iter().filter(|root| strictly(root)).count());
        }
    }
}
