//! The admin's shell is root; the agent is not. Started as root it becomes the package's user before it opens anything, so
//! that the journal never belongs to root.

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

/// The user of the package.
pub const USER: &str = "felhom-agent";

/// What became of the privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privileges {
    /// There were none.
    Unprivileged,
    /// We were root and are the package's user now.
    Dropped,
    /// We are root, because the box has no such user.
    StillRoot,
}

/// Root's privileges could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("cannot become `{USER}`")]
pub struct DropError(#[source] std::io::Error);

/// Gives root's privileges up. Must be called while the process has one thread: the system calls concern a thread.
///
/// # Errors
/// When the user exists and we cannot become it; going on as root would be worse.
pub fn drop_root() -> Result<Privileges, DropError> {
    if !geteuid().is_root() {
        return Ok(Privileges::Unprivileged);
    }
    let Some((uid, gid)) = package_user() else {
        return Ok(Privileges::StillRoot);
    };
    let gid = Gid::from_raw(gid);
    set_thread_groups(&[gid])
        .and_then(|()| set_thread_gid(gid))
        .and_then(|()| set_thread_uid(Uid::from_raw(uid)))
        .map_err(|error| DropError(error.into()))?;
    Ok(Privileges::Dropped)
}

/// User and group id of the package's user, where the box has one.
pub fn package_user() -> Option<(u32, u32)> {
    lookup(&std::fs::read_to_string("/etc/passwd").ok()?, USER)
}

/// User and group id of a line of passwd(5).
fn lookup(passwd: &str, user: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == user;
        let ids = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        // An entry of that name with root's id would drop nothing.
        (found && ids.0 != 0).then_some(ids)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_s_user_is_found_and_a_second_root_is_not() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nfelhom-agent:x:998:997::/var/lib/felhom-agent:/usr/sbin/nologin\n";
        assert_eq!(lookup(passwd, USER), Some((998, 997)));
        assert_eq!(lookup("felhom-agent:x:0:0::/:/bin/sh", USER), None);
        assert_eq!(
            lookup("felhom-agent-2:x:5:5::/:/bin/sh\nnonsense\n", USER),
            None
        );
    }
}
