//! API methods: storages, their definitions and their content.

mod config;
mod content;
mod list;

use crate::route::{Kind, Route, Rule, may, need};

/// Types that exist; this node can use two of them.
const TYPES: &[&str] = &[
    "btrfs",
    "cephfs",
    "cifs",
    "dir",
    "esxi",
    "iscsi",
    "iscsidirect",
    "lvm",
    "lvmthin",
    "nfs",
    "pbs",
    "rbd",
    "zfs",
    "zfspool",
];
const FORMATS: &[&str] = &["raw", "qcow2", "subvol", "vmdk"];
const LOOK: &[&str] = &["Datastore.Audit", "Datastore.AllocateSpace"];
const DEFINE: Rule = Rule::All("/storage", &["Datastore.Allocate"]);

fn retention(text: &str) -> Result<(), String> {
    crate::storage::retention::Retention::parse(text).map(drop)
}

fn path(text: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-/_.@".contains(c);
    if text.starts_with('/') && text.chars().all(plain) {
        Ok(())
    } else {
        Err("value does not look like a valid filesystem path\n".into())
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/storage",
        rule: Rule::User,
        params: &[may("type", Kind::Enum(TYPES))],
        handler: config::index,
    },
    Route {
        method: "POST",
        path: "/storage",
        rule: DEFINE,
        params: &[
            need("storage", Kind::StorageId),
            need("type", Kind::Enum(TYPES)),
            may("content", Kind::List),
            may("create-base-path", Kind::Bool),
            may("create-subdirs", Kind::Bool),
            may("datastore", Kind::Text),
            may("disable", Kind::Bool),
            may("domain", Kind::Short(256)),
            may("encryption-key", Kind::Text),
            may("export", Kind::Text),
            may("fingerprint", Kind::Text),
            may("is_mountpoint", Kind::Text),
            may("master-pubkey", Kind::Text),
            may("max-protected-backups", Kind::Int(-1, i64::MAX)),
            may("mkdir", Kind::Bool),
            may("namespace", Kind::Text),
            may("nodes", Kind::List),
            may("options", Kind::Text),
            may("password", Kind::Short(256)),
            may("path", Kind::Format(path)),
            may("port", Kind::Int(1, 65_535)),
            may("prune-backups", Kind::Format(retention)),
            may("server", Kind::Text),
            may("share", Kind::Text),
            may("shared", Kind::Bool),
            may("smbversion", Kind::Text),
            may("subdir", Kind::Text),
            may("thinpool", Kind::Text),
            may("username", Kind::Text),
            may("vgname", Kind::Text),
        ],
        handler: config::create,
    },
    Route {
        method: "GET",
        path: "/storage/{storage}",
        rule: Rule::All("/storage/{storage}", &["Datastore.Allocate"]),
        params: &[],
        handler: config::get,
    },
    Route {
        method: "PUT",
        path: "/storage/{storage}",
        rule: DEFINE,
        params: &[
            may("content", Kind::List),
            may("create-base-path", Kind::Bool),
            may("create-subdirs", Kind::Bool),
            may("delete", Kind::List),
            may("digest", Kind::Short(64)),
            may("disable", Kind::Bool),
            may("is_mountpoint", Kind::Text),
            may("max-protected-backups", Kind::Int(-1, i64::MAX)),
            may("mkdir", Kind::Bool),
            may("nodes", Kind::List),
            may("prune-backups", Kind::Format(retention)),
            may("shared", Kind::Bool),
        ],
        handler: config::update,
    },
    Route {
        method: "DELETE",
        path: "/storage/{storage}",
        rule: DEFINE,
        params: &[],
        handler: config::delete,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/storage",
        rule: Rule::User,
        params: &[
            may("content", Kind::List),
            may("enabled", Kind::Bool),
            may("format", Kind::Bool),
            may("storage", Kind::StorageId),
            may("target", Kind::Node),
        ],
        handler: list::list,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/storage/{storage}",
        rule: Rule::Any("/storage/{storage}", LOOK),
        params: &[],
        handler: list::index,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/storage/{storage}/status",
        rule: Rule::Any("/storage/{storage}", LOOK),
        params: &[],
        handler: list::status,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/storage/{storage}/content",
        rule: Rule::Any("/storage/{storage}", LOOK),
        params: &[may("content", Kind::Text), may("vmid", Kind::Vmid)],
        handler: content::list,
    },
    Route {
        method: "POST",
        path: "/nodes/{node}/storage/{storage}/content",
        rule: Rule::All("/storage/{storage}", &["Datastore.AllocateSpace"]),
        params: &[
            need("filename", Kind::Text),
            need("size", Kind::Text),
            need("vmid", Kind::Vmid),
            may("format", Kind::Enum(FORMATS)),
        ],
        handler: content::allocate,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/storage/{storage}/content/{volume}",
        rule: Rule::User,
        params: &[],
        handler: content::get,
    },
    Route {
        method: "PUT",
        path: "/nodes/{node}/storage/{storage}/content/{volume}",
        rule: Rule::User,
        params: &[may("notes", Kind::Text), may("protected", Kind::Bool)],
        handler: content::update,
    },
    Route {
        method: "DELETE",
        path: "/nodes/{node}/storage/{storage}/content/{volume}",
        rule: Rule::User,
        params: &[may("delay", Kind::Int(1, 30))],
        handler: content::delete,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/storage/{storage}/prunebackups",
        rule: Rule::Any("/storage/{storage}", LOOK),
        params: &[
            may("prune-backups", Kind::Format(retention)),
            may("type", Kind::Enum(&["qemu", "lxc"])),
            may("vmid", Kind::Vmid),
        ],
        handler: content::prune_plan,
    },
    Route {
        method: "DELETE",
        path: "/nodes/{node}/storage/{storage}/prunebackups",
        rule: Rule::User,
        params: &[
            may("prune-backups", Kind::Format(retention)),
            may("type", Kind::Enum(&["qemu", "lxc"])),
            may("vmid", Kind::Vmid),
        ],
        handler: content::prune,
    },
    Route {
        method: "POST",
        path: "/nodes/{node}/storage/{storage}/download-url",
        rule: Rule::All("/storage/{storage}", &["Datastore.AllocateTemplate"]),
        params: &[
            need("content", Kind::Enum(&["iso", "vztmpl", "import"])),
            need("filename", Kind::Short(255)),
            need("url", Kind::Text),
            may("checksum", Kind::Text),
            may("checksum-algorithm", Kind::Text),
            may("compression", Kind::Text),
            may("verify-certificates", Kind::Bool),
        ],
        handler: content::download,
    },
];
