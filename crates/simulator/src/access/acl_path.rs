//! The grammar of ACL paths (pve-access-control, `AccessControl.pm` `check_path`).

/// Whether an ACL may be set on this path.
pub(crate) fn is_acl_path(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let parts: Vec<&str> = rest.split('/').collect();
    if !parts.iter().all(|part| is_name(part)) {
        return false;
    }
    match parts.as_slice() {
        ["access" | "nodes" | "pool" | "sdn" | "storage" | "vms" | "mapping"]
        | ["access", "groups" | "realm"]
        | ["nodes" | "storage" | "pool" | "mapping", _]
        | ["access", "groups" | "realm", _]
        | ["pool" | "mapping", _, _]
        | ["pool", _, _, _]
        | ["sdn", "zones" | "controllers" | "dns" | "ipams" | "fabrics"]
        | [
            "sdn",
            "zones" | "controllers" | "dns" | "ipams" | "fabrics",
            _,
        ]
        | ["sdn", "zones", _, _] => true,
        ["sdn", "zones", _, _, tag] => tag.bytes().all(|byte| byte.is_ascii_digit()),
        ["vms", id] => {
            id.len() >= 3
                && id.len() <= 9
                && !id.starts_with('0')
                && id.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

fn is_name(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// A path as `user.cfg` writes it: one leading slash, no doubled ones, none at the end.
pub(crate) fn normalized(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    path.starts_with('/')
        .then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::is_acl_path;

    #[test]
    fn the_grammar_of_acl_paths() {
        for good in [
            "/",
            "/vms",
            "/vms/100",
            "/pool/a/b/c",
            "/sdn/zones/localnetwork/vmbr0",
            "/sdn/zones/localnetwork/vmbr0/12",
            "/storage/local-lvm",
            "/nodes/demo-felhom",
            "/access/realm/pve",
            "/mapping/pci/x",
        ] {
            assert!(is_acl_path(good), "{good}");
        }
        for bad in [
            "",
            "vms",
            "/vms/99",
            "/vms/x",
            "/nope",
            "/pool/a/b/c/d",
            "/storage/a/b",
            "/sdn/zones/l/v/x",
        ] {
            assert!(!is_acl_path(bad), "{bad}");
        }
    }
}
