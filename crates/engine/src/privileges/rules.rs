//! Roles and grants as the server keeps them, and what they give one subject on one path by themselves.

use std::collections::{BTreeMap, BTreeSet};

/// Whom a grant is made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    /// A user.
    User,
    /// A group of users.
    Group,
    /// A token.
    Token,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclGrant {
    /// Where.
    pub path: String,
    /// To what kind of subject.
    pub kind: SubjectKind,
    /// To whom.
    pub subject: String,
    /// The role.
    pub role: String,
    /// Whether it also holds below.
    pub propagate: bool,
}

/// Roles, and grants where they may be seen whole.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Privileges of each role.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// Every grant there is; `None` when the list may be shortened.
    pub acl: Option<Vec<AclGrant>>,
}

/// What a subject's own grants give it on a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// On the path itself.
    pub(super) here: BTreeSet<String>,
    /// On what is below it, as far as nothing deeper says otherwise.
    pub(super) below: BTreeSet<String>,
    /// `NoAccess` stands on this very path, and beats whatever is added.
    pub(super) barred: bool,
}

impl Rules {
    /// The level nearest to the path that grants anything replaces all levels above it; a grant that does not propagate
    /// counts on its own level only (pve-access-control `AccessControl::roles`).
    pub(super) fn own(&self, kind: SubjectKind, subject: &str, path: &str) -> Option<Own> {
        let acl = self.acl.as_ref()?;
        let at = |level: &str, propagating: bool| -> Vec<&AclGrant> {
            acl.iter()
                .filter(|one| one.path == level && one.kind == kind && one.subject == subject)
                .filter(|one| one.propagate || !propagating)
                .collect()
        };
        let mut inherited = Vec::new();
        for level in above(path) {
            let found = at(&level, true);
            if !found.is_empty() {
                inherited = found;
            }
        }
        let (all, passed_on) = (at(path, false), at(path, true));
        let barred = all.iter().any(|one| one.role == NO_ACCESS);
        let here = if all.is_empty() { &inherited } else { &all };
        let below = if passed_on.is_empty() {
            &inherited
        } else {
            &passed_on
        };
        Some(Own {
            here: self.privileges(here),
            below: self.privileges(below),
            barred,
        })
    }

    fn privileges(&self, grants: &[&AclGrant]) -> BTreeSet<String> {
        if grants.iter().any(|one| one.role == NO_ACCESS) {
            return BTreeSet::new();
        }
        let roles = grants.iter().filter_map(|one| self.roles.get(&one.role));
        roles.flatten().cloned().collect()
    }
}

pub(super) const NO_ACCESS: &str = "NoAccess";

/// The levels above a path, from the root down.
fn above(path: &str) -> Vec<String> {
    if path == "/" {
        return Vec::new();
    }
    let mut levels = vec!["/".to_owned()];
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .filter(|at| *at > 0);
    levels.extend(ends.filter_map(|at| path.get(..at)).map(str::to_owned));
    levels
}
