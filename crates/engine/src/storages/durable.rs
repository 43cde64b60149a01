//! What a storage is, whatever it is called: the same text as long as it is the same place.

use felhom_ids::{DatastoreName, Fingerprint, Namespace};
use serde::{Deserialize, Serialize};

/// What a storage lies on, by its definition in PVE (`/etc/pve/storage.cfg`) and, for a directory, by its file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backing {
    /// A directory.
    Dir {
        /// Its path.
        path: String,
        /// The UUID of the file system that it lies on, where that could be read.
        filesystem: Option<String>,
    },
    /// An NFS export.
    Nfs {
        /// Its server.
        server: String,
        /// Its path there.
        export: String,
    },
    /// A share of an SMB server.
    Cifs {
        /// Its server.
        server: String,
        /// Its name there.
        share: String,
    },
    /// A datastore of a Proxmox Backup Server.
    Pbs {
        /// Its server.
        server: String,
        /// Its port, when it is another than 8007.
        port: Option<u16>,
        /// The datastore.
        datastore: DatastoreName,
        /// The namespace.
        namespace: Namespace,
        /// The pinned certificate; `None` when a public authority vouches for it.
        fingerprint: Option<Fingerprint>,
    },
    /// A thin pool.
    LvmThin {
        /// Its volume group.
        vg: String,
        /// Its name in it.
        pool: String,
    },
    /// Something else, by PVE's word for it: `zfspool`.
    Other {
        /// The word.
        kind: String,
    },
}

/// The port of a backup server that nobody has to name.
const PBS_PORT: u16 = 8007;

/// The durable id: `192.168.0.180:felhom-spike#3b:95:…`, with `/namespace` after the datastore where it is not the root, and
/// the port after the server where it is not 8007; `nas:/export/backup`; `//nas/share`; `UUID=…`, or `path:/mnt/x` where the
/// file system's is not known; `pve/data`. `None` for what is not known here.
pub fn durable_id(backing: &Backing) -> Option<String> {
    Some(match backing {
        Backing::Dir {
            filesystem: Some(uuid),
            ..
        } => format!("UUID={uuid}"),
        Backing::Dir { path, .. } => format!("path:{path}"),
        Backing::Nfs { server, export } => format!("{server}:{export}"),
        Backing::Cifs { server, share } => format!("//{server}/{share}"),
        Backing::Pbs { fingerprint, .. } => {
            let place = place(backing)?;
            match fingerprint {
                Some(pinned) => format!("{place}#{}", pinned.to_string().to_lowercase()),
                None => place,
            }
        }
        Backing::LvmThin { vg, pool } => format!("{vg}/{pool}"),
        Backing::Other { .. } => return None,
    })
}

/// The durable id of a datastore without the certificate.
pub(super) fn place(backing: &Backing) -> Option<String> {
    let Backing::Pbs {
        server,
        port,
        datastore,
        namespace,
        ..
    } = backing
    else {
        return None;
    };
    // An IPv6 address has colons of its own.
    let server = if server.contains(':') && !server.starts_with('[') {
        format!("[{server}]")
    } else {
        server.clone()
    };
    let port = port.filter(|port| *port != PBS_PORT);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let inner = if namespace.is_root() {
        String::new()
    } else {
        format!("/{namespace}")
    };
    Some(format!("{server}{port}:{datastore}{inner}"))
}
