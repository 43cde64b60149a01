//! Where the contract may leave traces. Every request that could change something passes here before it leaves: a server
//! that wrongly permits what should be refused must not cost anybody a guest, an archive or an account.

mod pbs;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use percent_encoding::percent_decode_str;

use crate::http::Request;

/// Prefix of the storages, users and tokens that a run makes, and of its roles.
pub(crate) const PREFIX: &str = "felhom-contract";
pub(crate) const ROLE_PREFIX: &str = "FelhomContract";

/// What a run may touch.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// VMIDs of the scratch range that were proven free by this run.
    pub(crate) ours: BTreeSet<u32>,
    /// The scratch range.
    pub(crate) range: Option<RangeInclusive<u32>>,
    /// Guests that the target gives away for the run.
    pub(crate) expendable: BTreeSet<u32>,
    /// Guests that may be backed up.
    pub(crate) named: BTreeSet<u32>,
    /// Archives and volumes that this run made.
    pub(crate) volumes: BTreeSet<String>,
    /// Tasks that this run started.
    pub(crate) tasks: BTreeSet<String>,
    /// Nobody else uses the server.
    pub(crate) alone: bool,
    /// The backup storage prunes nothing by itself.
    pub(crate) keeps_all: bool,
    /// Users, tokens, roles and ACLs may be made.
    pub(crate) identities: bool,
    /// The datastore that is ours: the server is a backup server.
    pub(crate) store: Option<String>,
}

impl Bounds {
    /// Refuses a request that could touch what is not ours.
    pub(crate) fn permit(&self, request: &Request) -> Result<(), String> {
        if request.is_read() {
            return Ok(());
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let Some(store) = &self.store {
            let fine = pbs::permits(self, store, &segments, request);
            return if fine { Ok(()) } else { Err(refusal(request)) };
        }
        let fine = match segments.as_slice() {
            ["nodes", _, "lxc" | "qemu"] => self.guest(request.param("vmid")),
            ["nodes", _, "lxc" | "qemu", id, rest @ ..] => {
                let target = if *rest == ["clone"] {
                    request.param("newid")
                } else {
                    None
                };
                // Copying a guest leaves it as it is.
                if target.is_some() {
                    self.guest(target)
                } else {
                    self.guest(Some(id))
                }
            }
            ["nodes", _, "vzdump"] => self.backup(request),
            ["nodes", _, "storage", _, "content" | "prunebackups"] => {
                self.guest(request.param("vmid"))
            }
            ["nodes", _, "storage", _, "content", volume] => self.volume(volume),
            ["nodes", _, "tasks", upid] => self.tasks.contains(*upid) || !upid.starts_with("UPID:"),
            ["storage"] => ours(request.param("storage")),
            ["storage", id] => ours(Some(id)),
            ["access", "ticket"] | [] => true,
            ["access", rest @ ..] => self.identity(rest, request),
            [top, ..] => self.alone || !["nodes", "cluster", "pools"].contains(top),
        };
        // Guests and accounts stay out of bounds even where nobody else is.
        let lenient = self.alone
            && segments.first() != Some(&"access")
            && !matches!(segments.get(2), Some(&"lxc" | &"qemu"));
        if fine || lenient {
            return Ok(());
        }
        Err(refusal(request))
    }

    /// A VMID that is no number cannot hit a guest.
    fn guest(&self, id: Option<&str>) -> bool {
        let Some(id) = id.and_then(|id| id.parse::<u32>().ok()) else {
            return true;
        };
        let scratch =
            self.ours.contains(&id) && self.range.as_ref().is_some_and(|range| range.contains(&id));
        scratch || self.expendable.contains(&id)
    }

    fn backup(&self, request: &Request) -> bool {
        if ["all", "pool", "exclude", "stop"]
            .iter()
            .any(|name| request.param(name).is_some())
        {
            return self.alone;
        }
        let listed = request.param("vmid").unwrap_or_default();
        let prunes = request.param("remove") != Some("0") && !self.keeps_all;
        listed
            .split([',', ';', ' '])
            .filter_map(|id| id.parse::<u32>().ok())
            .all(|id| {
                self.ours.contains(&id)
                    || self.expendable.contains(&id) && !prunes
                    || self.named.contains(&id) && !prunes && request.param("mode") != Some("stop")
            })
    }

    /// An archive or a disk of ours, or of a VMID that was free.
    fn volume(&self, volume: &str) -> bool {
        let owned = self.ours.iter().any(|id| {
            ["vzdump-lxc-", "vzdump-qemu-", "vm-"]
                .iter()
                .any(|kind| volume.contains(&format!("{kind}{id}-")))
        });
        self.volumes.contains(volume) || owned
    }

    fn identity(&self, rest: &[&str], request: &Request) -> bool {
        let subject = |name: &str| request.param(name).is_none_or(|id| id.starts_with(PREFIX));
        self.identities
            && match rest {
                ["users"] => subject("userid"),
                ["users", id, ..] => id.starts_with(PREFIX),
                ["roles"] => request
                    .param("roleid")
                    .is_some_and(|id| id.starts_with(ROLE_PREFIX)),
                ["roles", id] => id.starts_with(ROLE_PREFIX),
                ["acl"] => {
                    subject("users") && subject("tokens") && request.param("groups").is_none()
                }
                _ => false,
            }
    }
}

fn refusal(request: &Request) -> String {
    format!("out of bounds on this target: {}", request.shown())
}

fn ours(id: Option<&str>) -> bool {
    id.is_none_or(|id| id.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::Bounds;
    use crate::http::Request;

    /// Method, path, parameters.
    const PERMITTED: &str = "\
GET /nodes/n/lxc/9001/config
DELETE /nodes/n/lxc/9100
POST /nodes/n/lxc vmid=9100
POST /nodes/n/vzdump vmid=9001
POST /nodes/n/lxc/9001/clone newid=9100
DELETE /nodes/n/storage/local/content/local%3Abackup%2Fvzdump-lxc-9100-x.tar
PUT /access/acl path=/ users=felhom-contract-x@pve
POST /nodes/n/lxc/abc/status/start";
    const REFUSED: &str = "\
DELETE /nodes/n/lxc/9001
DELETE /nodes/n/lxc/9101
DELETE /nodes/n/lxc/%39001
POST /nodes/n/lxc vmid=9001
POST /nodes/n/lxc/9001/clone newid=9101
POST /nodes/n/vzdump vmid=9001 mode=stop
POST /nodes/n/vzdump vmid=9001,9010
POST /nodes/n/vzdump all=1
DELETE /nodes/n/storage/local/content/local%3Abackup%2Fvzdump-lxc-9001-x.tar
DELETE /nodes/n/storage/local/prunebackups vmid=9001
DELETE /nodes/n/tasks/UPID%3An%3A1%3A
DELETE /storage/local
POST /cluster/backup all=1
DELETE /access/users/root@pam
PUT /access/acl path=/ users=a@pve
PUT /access/roles/FelhomAgent privs=";

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
    fn nothing_foreign_is_touched() {
        let bounds = Bounds {
            ours: [9100].into(),
            range: Some(9100..=9199),
            named: [9001].into(),
            identities: true,
            keeps_all: true,
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
    fn a_server_of_our_own_still_has_guests_and_accounts_of_others() {
        let bounds = Bounds {
            alone: true,
            ..Bounds::default()
        };
        for line in [
            "DELETE /nodes/n/lxc/9001",
            "DELETE /nodes/n/qemu/9000",
            "POST /access/users userid=a@pve",
        ] {
            assert!(bounds.permit(&request(line)).is_err(), "{line}");
        }
        let job = request("POST /cluster/backup all=1");
        assert_eq!(bounds.permit(&job), Ok(()));
    }
}
