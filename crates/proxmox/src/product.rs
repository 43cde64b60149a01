//! The two servers that we talk to, where their dialects differ.

/// Which of Proxmox's servers a name, a secret or a login belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// Proxmox VE: the node that runs guests.
    VirtualEnvironment,
    /// Proxmox Backup Server: the box that stores their backups.
    BackupServer,
}

impl Product {
    /// Where it listens unless told otherwise.
    pub fn port(self) -> u16 {
        match self {
            Self::VirtualEnvironment => 8006,
            Self::BackupServer => 8007,
        }
    }

    /// How its tokens begin in the `Authorization` header, and what stands between a token's id and
    /// its secret (proxmox-rest-server, `AuthIdParser`; pve-access-control, `AccessControl.pm`).
    pub(crate) fn token_scheme(self) -> (&'static str, char) {
        match self {
            Self::VirtualEnvironment => ("PVEAPIToken", '='),
            Self::BackupServer => ("PBSAPIToken", ':'),
        }
    }

    /// The name of its tickets' cookie.
    pub(crate) fn cookie(self) -> &'static str {
        match self {
            Self::VirtualEnvironment => "PVEAuthCookie",
            Self::BackupServer => "PBSAuthCookie",
        }
    }

    /// How the ticket of a login begins that still wants a second factor.
    pub(crate) fn incomplete_ticket(self) -> &'static str {
        match self {
            Self::VirtualEnvironment => "PVE:!tfa!",
            Self::BackupServer => "PBS:!tfa!",
        }
    }
}
