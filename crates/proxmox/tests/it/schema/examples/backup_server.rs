//! Calls of a backup server, each with everything it can say and with the least.

use std::num::NonZeroU32;

use felhom_ids::{DatastoreName, Namespace};
use felhom_proxmox::pbs::access::GetPermissions;
use felhom_proxmox::pbs::datastore::{
    GetDatastoreStatus, GetDatastoreUsage, GetGcStatus, ListDatastores, ListNamespaces,
};
use felhom_proxmox::pbs::download::Download;
use felhom_proxmox::pbs::identities::{Change, Grant, IssueToken, ListAcl, ListTokens, ListUsers};
use felhom_proxmox::pbs::jobs::{
    CreatePruneJob, CreateVerifyJob, DeletePruneJob, DeleteVerifyJob, ListPruneJobs, ListVerifyJobs,
};
use felhom_proxmox::pbs::node::{GetNodeStatus, ListCertificates};
use felhom_proxmox::pbs::prune::{Keep, PruneDatastore, PruneGroup};
use felhom_proxmox::pbs::snapshots::{
    GetNotes, GetProtected, ListFiles, ListGroups, ListSnapshots, SetNotes, SetProtected,
};
use felhom_proxmox::pbs::tasks::{ListTasks, StopTask, TaskLogOf, TaskStatusOf};
use felhom_proxmox::pbs::verify::{Scope, Verify};
use felhom_proxmox::pbs::version::{GetVersion, Ping};
use felhom_proxmox::pbs::{Call, Place};

use super::{Example, example, id, keys};

/// All examples.
pub(in crate::schema) fn all() -> Vec<Example> {
    let mut list = Calls(Vec::new());
    list.one(&GetVersion);
    list.one(&Ping);
    list.one(&GetNodeStatus);
    list.one(&ListCertificates);
    list.one(&ListDatastores);
    list.one(&GetDatastoreUsage);
    datastores(&mut list);
    for place in [
        Place::root(id("abc")),
        Place {
            store: store(),
            namespace: deepest(),
        },
    ] {
        backups(&mut list, &place);
    }
    verifications(&mut list);
    prunes(&mut list);
    jobs(&mut list);
    tasks(&mut list);
    identities(&mut list);
    list.0
}

struct Calls(Vec<Example>);

impl Calls {
    fn one<C: Call + std::fmt::Debug>(&mut self, call: &C) {
        self.0.push(example(call, call.request()));
    }

    fn pair<C: Call + std::fmt::Debug>(&mut self, least: &C, most: &C) {
        let (fewer, more) = (least.request(), most.request());
        let (fewer, more) = (keys(&fewer), keys(&more));
        let grows = fewer.iter().all(|key| more.contains(key)) && fewer.len() < more.len();
        assert!(grows, "{most:?}: {more:?} is no more than {fewer:?}");
        self.one(least);
        self.one(most);
    }
}

fn store() -> DatastoreName {
    id("felhom-store_0123456789.abcdefgh")
}

fn deepest() -> Namespace {
    id("customers/n100/c/d/e/f/g/h")
}

fn keep() -> Keep {
    let number = |number| NonZeroU32::new(number);
    Keep {
        last: number(1),
        hourly: number(24),
        daily: number(7),
        weekly: number(4),
        monthly: number(12),
        yearly: number(u32::MAX),
    }
}

fn datastores(list: &mut Calls) {
    for verbose in [false, true] {
        list.one(&GetDatastoreStatus {
            store: store(),
            verbose,
        });
    }
    list.one(&GetGcStatus { store: store() });
    let least = ListNamespaces {
        store: store(),
        parent: Namespace::root(),
        max_depth: None,
    };
    let most = ListNamespaces {
        store: store(),
        parent: deepest(),
        max_depth: Some(7),
    };
    list.pair(&least, &most);
}

fn backups(list: &mut Calls, place: &Place) {
    let (place, snapshot) = (place.clone(), id("ct/9001/2026-06-09T14:18:33Z"));
    list.one(&ListGroups {
        place: place.clone(),
    });
    for kind in ["vm", "ct", "host"] {
        let most = ListSnapshots {
            place: place.clone(),
            kind: Some(id(kind)),
            id: Some("box_1.example-lan".to_owned()),
        };
        list.pair(&ListSnapshots::all(place.clone()), &most);
    }
    for decoded in [false, true] {
        let download = Download {
            place: place.clone(),
            snapshot: id("host/box/9999-12-30T22:00:00Z"),
            file: "index.json.blob".to_owned(),
            decoded,
        };
        list.0.push(example(&download, download.request()));
    }
    for notes in ["", "restore-tested 2026-11-20: passed\n& more = 100 %; ő"] {
        list.one(&SetNotes {
            place: place.clone(),
            snapshot: id("ct/9001/1970-01-01T00:00:01Z"),
            notes: notes.to_owned(),
        });
    }
    for protected in [false, true] {
        list.one(&SetProtected {
            place: place.clone(),
            snapshot: id("vm/100/2026-06-09T14:18:33Z"),
            protected,
        });
    }
    list.one(&ListFiles {
        place: place.clone(),
        snapshot: id("ct/9001/2026-06-09T14:18:33Z"),
    });
    list.one(&GetNotes {
        place: place.clone(),
        snapshot: id("ct/9001/2026-06-09T14:18:33Z"),
    });
    list.one(&GetProtected { place, snapshot });
}

fn verifications(list: &mut Calls) {
    let verify = |scope, ignore_verified, outdated_after| Verify {
        store: store(),
        scope,
        ignore_verified,
        outdated_after,
    };
    let below = |namespace, max_depth| Scope::Below {
        namespace,
        max_depth,
    };
    let least = verify(below(Namespace::root(), None), false, None);
    let most = verify(below(deepest(), Some(0)), true, Some(u32::MAX));
    list.pair(&least, &most);
    for namespace in [Namespace::root(), deepest()] {
        list.one(&verify(
            Scope::Group(namespace.clone(), id("ct/9001")),
            false,
            Some(0),
        ));
        list.one(&Verify::snapshot(
            store(),
            namespace,
            id("host/box/2026-06-09T14:18:33Z"),
        ));
    }
}

fn prunes(list: &mut Calls) {
    for dry_run in [true, false] {
        let group = |keep| PruneGroup {
            place: Place {
                store: store(),
                namespace: deepest(),
            },
            group: id("ct/9001"),
            keep,
            dry_run,
        };
        list.pair(&group(Keep::default()), &group(keep()));
        let least = PruneDatastore {
            store: store(),
            namespace: Namespace::root(),
            max_depth: None,
            keep: Keep::default(),
            dry_run,
        };
        let most = PruneDatastore {
            store: store(),
            namespace: deepest(),
            max_depth: Some(7),
            keep: keep(),
            dry_run,
        };
        list.pair(&least, &most);
    }
}

fn jobs(list: &mut Calls) {
    list.one(&ListVerifyJobs);
    list.one(&ListPruneJobs);
    list.one(&DeleteVerifyJob {
        id: "felhom-verify".to_owned(),
    });
    list.one(&DeletePruneJob {
        id: "felhom-prune".to_owned(),
    });
    let least = CreateVerifyJob {
        id: "v-1".to_owned(),
        store: store(),
        namespace: Namespace::root(),
        max_depth: None,
        schedule: None,
        ignore_verified: false,
        outdated_after: None,
        comment: None,
    };
    let most = CreateVerifyJob {
        id: "felhom-verify".to_owned(),
        store: store(),
        namespace: deepest(),
        max_depth: Some(7),
        schedule: Some("sat 03:00".to_owned()),
        ignore_verified: true,
        outdated_after: Some(30),
        comment: Some("made by felhom-agent".to_owned()),
    };
    list.pair(&least, &most);
    let least = CreatePruneJob {
        id: "p-1".to_owned(),
        store: store(),
        namespace: Namespace::root(),
        max_depth: None,
        schedule: "daily".to_owned(),
        keep: Keep::default(),
        comment: None,
    };
    let most = CreatePruneJob {
        id: "felhom-prune".to_owned(),
        store: store(),
        namespace: deepest(),
        max_depth: Some(0),
        schedule: "daily".to_owned(),
        keep: keep(),
        comment: Some("made by felhom-agent".to_owned()),
    };
    list.pair(&least, &most);
}

fn tasks(list: &mut Calls) {
    let most = ListTasks {
        store: Some(store()),
        kind: Some("verify".to_owned()),
        user: Some("felhom@pbs!n100".to_owned()),
        since: Some(1_795_392_000),
        until: Some(1_795_392_001),
        running: true,
        errors: true,
        start: u32::MAX,
        limit: 0,
    };
    list.pair(&ListTasks::default(), &most);
    let upid: felhom_ids::Upid = id(
        "UPID:vm:00004F7B:0003D00B:0000001B:6B037E39:verify_snapshot:felhom\\x2dspike\\x3a-ct-9001-6B037C64:felhom@pbs!n100:",
    );
    list.one(&TaskStatusOf { upid: upid.clone() });
    list.one(&TaskLogOf {
        upid: upid.clone(),
        start: 0,
        limit: 500,
    });
    list.one(&StopTask { upid });
}

fn identities(list: &mut Calls) {
    let most = GetPermissions {
        user: Some(id("felhom@pbs")),
        path: Some("/datastore/felhom-store/customers/n100".to_owned()),
    };
    list.pair(&GetPermissions::default(), &most);
    list.one(&ListUsers);
    list.one(&ListTokens {
        user: id("felhom@pbs"),
    });
    let most = ListAcl {
        path: Some("/".to_owned()),
    };
    list.pair(&ListAcl::default(), &most);
    list.one(&IssueToken {
        token: id("felhom@pbs!n100"),
        comment: "made by felhom-agent".to_owned(),
    });
    for change in [
        Change::CreateUser {
            user: id("felhom@pbs"),
            comment: "made by felhom-agent".to_owned(),
        },
        Change::DeleteUser(id("felhom@pbs")),
        Change::DeleteToken(id("felhom@pbs!n100")),
    ] {
        list.one(&change);
    }
    for delete in [false, true] {
        let place = Place {
            store: store(),
            namespace: id("customers/n100"),
        };
        let grant = Grant {
            path: place.acl_path(),
            role: "DatastoreReader".to_owned(),
            delete,
        };
        list.one(&Change::GrantUser(grant.clone(), id("felhom@pbs")));
        list.one(&Change::GrantToken(grant, id("felhom@pbs!n100")));
    }
}
