//! Which pool a guest is in, as PVE's own list of users, grants and pools says.

use felhom_ids::Vmid;

use super::files;
use crate::layout::Layout;
use crate::refusal::Refusal;

/// Longer is no list.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The pool of a guest; `None` when it is in none. A line is `pool:NAME:COMMENT:VMIDS:STORAGES:`, its comment encoded, and of
/// two pools the first counts (pve-access-control `AccessControl.pm` `parse_user_config`).
pub(crate) fn of(layout: &Layout, vmid: Vmid) -> Result<Option<String>, Refusal> {
    let text = files::trusted(layout, "/etc/pve/user.cfg", &[], LONGEST)?;
    Ok(text.and_then(|text| pool_of(&text, vmid)))
}

fn pool_of(text: &str, vmid: Vmid) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().strip_prefix("pool:")?.split(':');
        let (name, vmids) = (fields.next()?, fields.nth(1)?);
        let mut vmids = vmids.split([',', ';', ' ']);
        let has = vmids.any(|one| one.trim().parse() == Ok(vmid));
        has.then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_in_the_first_pool_that_lists_it() {
        let text = "user:a@pve:1:0::::::\npool:empty::::\npool:one:a comment%3A 9100:9101,9102:local:\n\
                    pool:two::9100,9101::\nacl:1:/pool/one:a@pve:Role:\n";
        let of = |vmid: u32| pool_of(text, vmid.to_string().parse().unwrap());
        assert_eq!(of(9101).as_deref(), Some("one"));
        assert_eq!(of(9100).as_deref(), Some("two"));
        assert_eq!(of(910), None);
    }
}
