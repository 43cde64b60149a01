//! What Proxmox Backup Server says in plain text, which it sends as the whole body of a refusal (under a content type that
//! promises JSON). Nearly everything is a 400, so the words decide; words that are not known stay what they are.

use std::collections::BTreeMap;

use super::super::{Denied, Error};

/// The body as a text for people, unless it is one for machines.
pub(super) fn text(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && !text.starts_with(['<', '{', '[', '"'])).then_some(text)
}

/// The error that a 400 with these words is.
pub(super) fn sort(request: String, text: String) -> Error {
    if is_denial(&text) {
        return Error::Forbidden {
            request,
            denied: Denied::find_in(&text),
            text,
        };
    }
    if let Some(fields) = refused_parameters(&text) {
        return Error::Parameter {
            request,
            fields,
            text: "parameter verification failed".to_owned(),
        };
    }
    if is_absence(&text) {
        return Error::NotFound {
            request,
            what: text,
        };
    }
    // A reader, a backup or another verification holds it for as long as it runs.
    if text.contains("unable to acquire lock on ") || text.contains("unable to acquire shared lock")
    {
        return Error::Locked {
            request,
            lock: "in use".to_owned(),
            text,
        };
    }
    Error::Api {
        request,
        status: 400,
        text,
    }
}

/// Denials that are no 403: those of another's task, of another's permissions, of a reader, of snapshots of which somebody
/// else is the owner, and of grants, which no token may give.
fn is_denial(text: &str) -> bool {
    text.starts_with("permission check failed")
        || text.starts_with("no permissions on ")
        || text.starts_with("not allowed to list permissions of ")
        || text.starts_with("Unprivileged ")
        || text == "task access not allowed"
        || text.starts_with("backup owner check failed")
}

/// `parameter verification failed - 'keep-last': value must have a minimum value of 1 (got 0)`
fn refused_parameters(text: &str) -> Option<BTreeMap<String, String>> {
    let rest = text
        .strip_prefix("parameter verification failed - ")
        .or_else(|| text.strip_prefix("parameter verification errors"))?;
    let line = |line: &str| {
        let line = line
            .trim()
            .strip_prefix("parameter ")
            .unwrap_or(line.trim());
        let (name, what) = line.strip_prefix('\'')?.split_once("': ")?;
        Some((name.to_owned(), what.to_owned()))
    };
    let fields: BTreeMap<_, _> = rest.lines().filter_map(line).collect();
    (!fields.is_empty()).then_some(fields)
}

/// A missing thing that the request named. A *datastore* whose directory is gone, because its disk is, says the same in
/// other words (`unable to open chunk store …`), and is on purpose not among them.
fn is_absence(text: &str) -> bool {
    const MISSING: &str = "No such file or directory";
    let line = text.lines().next().unwrap_or(text);
    let object = [
        "ENOENT: ",
        "unable to load blob '",
        "unable to update manifest blob - unable to load blob '",
        "unable to open snapshot directory ",
        "unable to open backup group directory ",
        "File open failed: ",
    ];
    line.contains(MISSING) && object.iter().any(|start| line.starts_with(start))
        || line.starts_with("snapshot ") && line.contains(" does not exist")
        || line.starts_with("no such ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str) -> Error {
        sort("GET /x".to_owned(), text.to_owned())
    }

    #[test]
    fn denials_are_found_behind_a_400() {
        for text in [
            "permission check failed",
            "task access not allowed",
            "not allowed to list permissions of felhom@pbs",
            "no permissions on /datastore/felhom-spike",
            "Unprivileged API tokens can't set ACL items.",
        ] {
            assert!(matches!(sorted(text), Error::Forbidden { .. }), "{text}");
        }
    }

    #[test]
    fn a_missing_disk_is_no_missing_backup() {
        for text in [
            "ENOENT: No such file or directory",
            "File open failed: No such file or directory (os error 2)",
            "snapshot ct/9010/2020-01-01T00:00:00Z does not exist!",
            "no such datastore 'x'",
        ] {
            assert!(matches!(sorted(text), Error::NotFound { .. }), "{text}");
        }
        for text in [
            "unable to open chunk store 'x' at \"/mnt/x/.chunks\" - No such file or directory (os error 2)",
            "datastore 'x' is in offline maintenance mode",
            "cannot remove protected snapshot",
            "group only partially deleted due to protected snapshots",
        ] {
            let error = sorted(text);
            assert!(matches!(error, Error::Api { status: 400, .. }), "{text}");
            assert!(!error.is_transient());
        }
    }

    #[test]
    fn parameters_are_named_one_or_many() {
        let one = sorted(
            "parameter verification failed - 'keep-last': value must have a minimum value of 1 (got 0)",
        );
        assert_eq!(
            one.to_string(),
            "GET /x: parameter verification failed (keep-last: value must have a minimum value of 1 (got 0))"
        );
        let two = sorted(
            "parameter verification errors\n\nparameter 'a': too long\nparameter 'b': missing\n",
        );
        assert!(matches!(two, Error::Parameter { fields, .. } if fields.len() == 2));
    }

    #[test]
    fn a_backup_that_is_read_is_locked_for_a_while() {
        let error = sorted(
            "unable to acquire lock on snapshot directory \"/srv/x\" - possibly running or in use",
        );
        assert!(matches!(error, Error::Locked { .. }) && error.is_transient());
    }

    #[test]
    fn bodies_for_machines_are_no_texts() {
        for body in ["", " \n", "<html>", "{\"data\":null}", "[1]", "\"x\""] {
            assert_eq!(text(body.as_bytes()), None, "{body}");
        }
        assert_eq!(text(b"\xff"), None);
        assert_eq!(text(b"ENOENT: x \n"), Some("ENOENT: x"));
    }
}
