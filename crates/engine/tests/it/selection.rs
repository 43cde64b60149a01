//! Which guests the policy has backed up.

use felhom_engine::{Selectable, Selection};
use felhom_ids::{GuestKind, Vmid};

fn is_in(selection: &str, vmid: u32, kind: GuestKind, tag: &str, pool: Option<&str>) -> bool {
    let selection: Selection = selection.parse().unwrap();
    assert_eq!(selection.to_string().parse(), Ok(selection.clone()));
    let tags = [tag.to_owned()];
    let vmid = Vmid::new(vmid).unwrap();
    let guest = Selectable {
        vmid,
        kind,
        tags: &tags,
        pool,
    };
    selection.of(&guest).0
}

#[test]
fn the_last_term_that_speaks_of_a_guest_decides_and_who_is_not_named_is_out() {
    use GuestKind::{Lxc, Qemu};
    let usual = "@all,-@tag-scratch,101,-105,-@pool-lab";
    assert!(is_in(usual, 100, Lxc, "web", None), "a new guest is in");
    assert!(!is_in(usual, 102, Lxc, "scratch", None));
    assert!(is_in(usual, 101, Lxc, "scratch", None), "named behind");
    assert!(!is_in(usual, 105, Qemu, "web", None));
    assert!(!is_in(usual, 106, Qemu, "web", Some("lab")));
    assert!(is_in("@ct,200", 100, Lxc, "", None));
    assert!(!is_in("@ct,200", 201, Qemu, "", None));
    assert!(is_in("@ct,200", 200, Qemu, "", None));
    assert!(is_in("@vm,-200", 201, Qemu, "", None));
    assert!(!is_in("101", 100, Lxc, "", None));
    assert!(is_in("@pool-a/b,@tag-c", 100, Lxc, "", Some("a/b")));
}

#[test]
fn a_selection_that_means_nothing_is_refused() {
    for wrong in [
        "",
        " , ",
        "-105",
        "-105,@all",
        "@everything",
        "@tag-",
        "@pool-a b",
        "0",
        "web",
    ] {
        assert!(wrong.parse::<Selection>().is_err(), "`{wrong}`");
    }
}
