//! Property strings of machines, and what a disk says of its system.

use super::*;
use crate::guest::config::Config;

#[test]
fn drives_come_in_the_order_of_qemu_server() {
    let config = Config::parse(
        "scsi10: a:vm-1-disk-2,size=1G\nscsi2: a:vm-1-disk-1,backup=0,size=8G\nide2: none,media=cdrom\n\
         virtio0: /dev/sdb\nefidisk0: a:vm-1-disk-0,size=528K\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n",
    );
    let keys: Vec<String> = drives::of(&config.current)
        .into_iter()
        .map(|drive| drive.key)
        .collect();
    assert_eq!(keys, ["ide2", "scsi2", "scsi10", "virtio0", "efidisk0"]);
    let judged: Vec<_> = drives::judge(&config.current)
        .into_iter()
        .map(|(drive, judged)| (drive.key, judged.err()))
        .collect();
    assert_eq!(
        judged,
        [
            ("scsi2".to_owned(), Some("backup=no")),
            ("scsi10".to_owned(), None),
            ("virtio0".to_owned(), None),
            ("efidisk0".to_owned(), Some("efidisk but no OVMF BIOS")),
        ]
    );
}

#[test]
fn the_agent_option_reads_as_qemu_server_reads_it() {
    let of = |text: &str| {
        Qemu {
            config: Config::parse(&format!("agent: {text}\n")),
            ..Qemu::default()
        }
        .agent_option()
    };
    assert_eq!(of("1"), (true, true));
    assert_eq!(of("enabled=1,freeze-fs=0"), (true, false));
    assert_eq!(of("0,fstrim_cloned_disks=1"), (false, false));
    assert_eq!(Qemu::default().agent_option(), (false, false));
}

#[test]
fn what_a_system_does_is_read_from_its_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    assert_eq!(Boot::read(&path), Boot::default());
    let boot = Boot {
        agent_after: Some(2.5),
        dies_after: None,
        deaf: true,
    };
    std::fs::write(&path, [boot.text().as_bytes(), &[0; 64]].concat()).unwrap();
    assert_eq!(Boot::read(&path), boot);
}
