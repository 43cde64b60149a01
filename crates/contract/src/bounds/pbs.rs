//! What a run may touch on a backup server: one datastore, jobs, users and tokens, all of our naming.

use super::{Bounds, PREFIX, ours};
use crate::http::{Body, Request};

/// Whether a request stays within the datastore `store` and what has our name.
pub(super) fn permits(bounds: &Bounds, store: &str, path: &[&str], request: &Request) -> bool {
    // What is in a literal text nobody has looked at.
    let readable = !matches!(request.body, Body::Raw { .. });
    match path {
        // A store that has our prefix and is not there cannot be harmed.
        ["admin", "datastore", id, ..] => *id == store || id.starts_with(PREFIX),
        ["config", "datastore"] => readable && request.param("name") == Some(store),
        ["config", "datastore", id] => *id == store,
        ["config", "verify" | "prune"] => {
            readable && ours(request.param("id")) && request.param("store") == Some(store)
        }
        ["config", "verify" | "prune", id] => {
            id.starts_with(PREFIX) && request.param("store").is_none_or(|other| other == store)
        }
        ["admin", "verify" | "prune", id, "run"] => id.starts_with(PREFIX),
        ["nodes", _, "tasks", upid] => bounds.tasks.contains(*upid),
        ["access", "ticket"] | [] => true,
        ["access", rest @ ..] => bounds.identities && readable && identity(rest, request),
        // Nothing is there.
        [top, ..] => top.starts_with(PREFIX) || ["ping", "version"].contains(top),
    }
}

fn identity(rest: &[&str], request: &Request) -> bool {
    let subject = |name: &str| request.param(name).is_some_and(|id| id.starts_with(PREFIX));
    match rest {
        ["users"] => subject("userid"),
        ["users", id, ..] => id.starts_with(PREFIX),
        ["acl"] => subject("auth-id") && request.param("group").is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use crate::http::{Body, Request};

    const PERMITTED: &str = "\
GET /admin/datastore/backups/snapshots
DELETE /admin/datastore/felhom-contract/snapshots backup-id=9010
POST /admin/datastore/felhom-contract-none/verify
PUT /config/datastore/felhom-contract maintenance-mode=offline
POST /config/verify id=felhom-contract-v store=felhom-contract
POST /access/users userid=felhom-contract-x@pbs
PUT /access/acl path=/ role=Audit auth-id=felhom-contract-x@pbs!contract";
    const REFUSED: &str = "\
POST /admin/datastore/backups/verify
DELETE /admin/datastore/backups/groups backup-id=100
DELETE /admin/datastore/%62ackups/snapshots
POST /config/datastore name=backups path=/x
DELETE /config/datastore/felhom-contract-other
PUT /config/datastore/backups maintenance-mode=offline
POST /config/verify id=felhom-contract-v store=backups
DELETE /config/prune/daily
PUT /access/acl path=/ role=Admin auth-id=root@pam
PUT /access/acl path=/ role=Admin
DELETE /access/users/backup@pbs
POST /nodes/localhost/status command=reboot
DELETE /nodes/localhost/tasks/UPID%3Apbs%3A1
POST /admin/gc/backups";

    fn request(line: &str) -> Request {
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let pair = |word: &str| {
            let (key, value) = word.split_once('=').unwrap();
            (key.to_owned(), value.to_owned())
        };
        Request::new(method, path, words.map(pair).collect())
    }

    #[test]
    fn only_a_datastore_of_our_naming_is_touched() {
        let bounds = Bounds {
            store: Some("felhom-contract".into()),
            identities: true,
            alone: true,
            ..Bounds::default()
        };
        for line in PERMITTED.lines() {
            assert_eq!(bounds.permit(&request(line)), Ok(()));
        }
        for line in REFUSED.lines() {
            assert!(bounds.permit(&request(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_only_sent_where_the_path_says_enough() {
        let bounds = Bounds {
            store: Some("felhom-contract".into()),
            identities: true,
            ..Bounds::default()
        };
        for (path, fine) in [
            ("/admin/datastore/felhom-contract/verify", true),
            ("/config/verify", false),
            ("/access/acl", false),
        ] {
            let mut request = Request::new("POST", path, Vec::new());
            request.body = Body::Raw {
                kind: "application/json".into(),
                text: "{}".into(),
            };
            assert_eq!(bounds.permit(&request).is_ok(), fine, "{path}");
        }
    }
}
