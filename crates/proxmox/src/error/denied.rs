//! "Permission check failed (/vms/9001, VM.Audit)" as a value, because the fix depends on it.

use std::fmt;

/// The privileges that were missing, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Denied {
    /// The ACL path, such as `/vms/9001`.
    pub path: String,
    /// The privileges asked for.
    pub privileges: Vec<String>,
    /// Whether one of them would have done (PVE writes `A|B`), rather than all.
    pub any: bool,
}

impl Denied {
    /// Finds the statement in an error text or in a task's exit status, where it may stand behind
    /// other words. Denials that name no privilege ("… is only allowed for root@pam") are none.
    pub fn find_in(text: &str) -> Option<Self> {
        let (path, names) = of_the_node(text).or_else(|| of_the_backup_server(text))?;
        let any = names.contains('|');
        let privileges: Vec<String> = names
            .split(['|', ','])
            .map(|name| name.trim().to_owned())
            .collect();
        let is_privilege = |name: &String| {
            name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
        };
        let complete = path.starts_with('/') && privileges.iter().all(is_privilege);
        complete.then(|| Self {
            path: path.to_owned(),
            privileges,
            any,
        })
    }
}

/// `Permission check failed (/vms/9001, VM.Audit)`
fn of_the_node(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("Permission check failed (")?;
    let inside = rest.split_once(')').map_or(rest, |(inside, _)| inside);
    inside.split_once(", ")
}

/// `permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/x`
fn of_the_backup_server(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("permission check failed - missing ")?;
    let (names, path) = rest.split_once(" on ")?;
    Some((path.split_whitespace().next().unwrap_or(path), names))
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.any { " or " } else { " and " };
        write!(f, "{} on {}", self.privileges.join(word), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_privilege_on_a_path() {
        let denied = Denied::find_in("Permission check failed (/vms/9001, VM.Audit)\n").unwrap();
        assert_eq!(denied.to_string(), "VM.Audit on /vms/9001");
        assert!(!denied.any);
    }

    #[test]
    fn any_of_several() {
        let text = "Permission check failed (/vms/9001, VM.Snapshot|VM.Snapshot.Rollback)";
        let denied = Denied::find_in(text).unwrap();
        assert_eq!(denied.privileges, ["VM.Snapshot", "VM.Snapshot.Rollback"]);
        assert!(denied.any);
        assert_eq!(
            denied.to_string(),
            "VM.Snapshot or VM.Snapshot.Rollback on /vms/9001"
        );
    }

    #[test]
    fn a_backup_server_puts_it_the_other_way_round() {
        let text =
            "permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/x/ns";
        let denied = Denied::find_in(text).unwrap();
        assert_eq!(
            denied.to_string(),
            "Datastore.Audit or Datastore.Backup on /datastore/x/ns"
        );
        assert!(denied.any);
    }

    #[test]
    fn is_found_inside_the_exit_status_of_a_task() {
        let text = "unable to restore CT 901 - 403 Permission check failed (/, Sys.Modify)";
        let denied = Denied::find_in(text).unwrap();
        assert_eq!((denied.path.as_str(), denied.any), ("/", false));
    }

    #[test]
    fn denials_without_a_privilege_are_left_alone() {
        for text in [
            "Permission check failed",
            "permission check failed",
            "Permission check failed (mount point type bind is only allowed for root@pam)",
            "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)",
            "Permission check failed (URI '/access/ticket' not available with API token, need proper ticket.",
            "CT is locked (backup)",
        ] {
            assert_eq!(Denied::find_in(text), None, "{text}");
        }
    }
}
