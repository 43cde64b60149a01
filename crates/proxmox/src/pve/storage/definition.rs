//! Defining storages.
//!
//! Only what we define is here, and nothing takes a definition away: with that of a backup server PVE deletes the only copy of
//! the key that it has (pve-storage PBSPlugin.pm `on_delete_hook`), and so does a change that sets `encryption-key` anew.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use felhom_ids::{DatastoreName, Fingerprint, Namespace, NodeName, StorageId, TokenId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::StorageConfig;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::property::PruneBackups;

/// Where a storage lies, and how it is reached.
#[derive(Debug, Clone)]
pub enum StoragePlace {
    /// A directory of the node.
    Dir {
        /// Its path.
        path: String,
        /// Whether something must be mounted there: without it a target that is unplugged fills the root file system.
        is_mountpoint: bool,
    },
    /// An NFS export, which PVE mounts.
    Nfs {
        /// Host name or address.
        server: String,
        /// The exported path.
        export: String,
        /// Mount options.
        options: Option<String>,
    },
    /// A CIFS share, which PVE mounts.
    Cifs {
        /// Host name or address.
        server: String,
        /// The share.
        share: String,
        /// Who we are to it; nobody means a guest.
        username: Option<String>,
        /// That one's password.
        password: Option<SecretString>,
    },
    /// A thin pool of LVM.
    LvmThin {
        /// The volume group.
        vgname: String,
        /// The pool.
        thinpool: String,
    },
    /// A datastore of a backup server.
    Pbs(Box<PbsPlace>),
}

/// A datastore of a backup server, and what PVE shows and keeps to reach it.
#[derive(Debug, Clone)]
pub struct PbsPlace {
    /// Host name or address.
    pub server: String,
    /// Its port, where it is not 8007.
    pub port: Option<u16>,
    /// The datastore.
    pub datastore: DatastoreName,
    /// The namespace in it.
    pub namespace: Namespace,
    /// The server's certificate.
    pub fingerprint: Option<Fingerprint>,
    /// Who writes the backups, and owns them.
    pub token: TokenId,
    /// That token's secret.
    pub secret: SecretString,
    /// The file of the key that encrypts backups, its whole text; none sends everything in the clear.
    pub key: Option<SecretString>,
    /// A public RSA key in PEM form; a copy of the key under it goes with every backup from then on. Only together with a key.
    pub master_key: Option<String>,
}

/// `POST /storage`: `Datastore.Allocate` on `/storage`. PVE tries the storage at once and defines nothing when that fails.
#[derive(Debug, Clone)]
pub struct CreateStorage {
    /// Its id.
    pub storage: StorageId,
    /// Where it lies.
    pub place: StoragePlace,
    /// What it may hold, such as `backup`.
    pub content: Vec<String>,
    /// Its own retention.
    pub prune_backups: Option<PruneBackups>,
}

/// What PVE answers to a definition; the key that it repeats is not read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CreatedStorage {
    /// Its id.
    pub storage: StorageId,
    /// Its type.
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
}

/// `GET /storage/S`: `Datastore.Allocate` on it.
#[derive(Debug, Clone)]
pub struct GetStorageConfig {
    /// Which.
    pub storage: StorageId,
}

/// `PUT /storage/S`: `Datastore.Allocate` on `/storage`. What is not named stays as it is.
#[derive(Debug, Clone)]
pub struct ChangeStorage {
    /// Which.
    pub storage: StorageId,
    /// The certificate of a backup server.
    pub fingerprint: Option<Fingerprint>,
    /// A path: what must be a mount point; `yes` means the storage's own path.
    pub is_mountpoint: Option<String>,
    /// The secret of a backup server's token.
    pub secret: Option<SecretString>,
}

impl StoragePlace {
    /// As PVE calls the type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dir { .. } => "dir",
            Self::Nfs { .. } => "nfs",
            Self::Cifs { .. } => "cifs",
            Self::LvmThin { .. } => "lvmthin",
            Self::Pbs(_) => "pbs",
        }
    }

    fn add_to(&self, request: Request) -> Request {
        match self {
            Self::Dir {
                path,
                is_mountpoint,
            } => request
                .with("path", path)
                .maybe("is_mountpoint", is_mountpoint.then_some("yes")),
            Self::Nfs {
                server,
                export,
                options,
            } => request
                .with("server", server)
                .with("export", export)
                .maybe("options", options.as_deref()),
            Self::Cifs {
                server,
                share,
                username,
                password,
            } => request
                .with("server", server)
                .with("share", share)
                .maybe("username", username.as_deref())
                .maybe(
                    "password",
                    password.as_ref().map(ExposeSecret::expose_secret),
                ),
            Self::LvmThin { vgname, thinpool } => {
                request.with("vgname", vgname).with("thinpool", thinpool)
            }
            Self::Pbs(place) => place.add_to(request),
        }
    }
}

impl PbsPlace {
    fn add_to(&self, request: Request) -> Request {
        let namespace = Some(&self.namespace).filter(|namespace| !namespace.is_root());
        let master_key = self.master_key.as_deref().map(|pem| STANDARD.encode(pem));
        request
            .with("server", &self.server)
            .maybe("port", self.port)
            .with("datastore", &self.datastore)
            .maybe("namespace", namespace)
            .maybe("fingerprint", self.fingerprint)
            .with("username", &self.token)
            .with("password", self.secret.expose_secret())
            .maybe(
                "encryption-key",
                self.key.as_ref().map(ExposeSecret::expose_secret),
            )
            .maybe("master-pubkey", master_key)
    }
}

impl Endpoint for CreateStorage {
    type Response = CreatedStorage;

    fn request(&self, _node: &NodeName) -> Request {
        let request = Request::new(Method::Post, &[&"storage"])
            .with("storage", &self.storage)
            .with("type", self.place.kind())
            .joined("content", &self.content)
            .maybe("prune-backups", self.prune_backups.as_ref())
            .slow()
            .confidential();
        self.place.add_to(request)
    }
}

impl Endpoint for GetStorageConfig {
    type Response = StorageConfig;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"storage", &self.storage])
    }
}

impl Endpoint for ChangeStorage {
    type Response = CreatedStorage;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Put, &[&"storage", &self.storage])
            .maybe("fingerprint", self.fingerprint)
            .maybe("is_mountpoint", self.is_mountpoint.as_deref())
            .maybe(
                "password",
                self.secret.as_ref().map(ExposeSecret::expose_secret),
            )
            .slow()
            .confidential()
    }
}
