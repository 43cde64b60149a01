//! A virtual machine's life through the client: backed up, restored, booted, asked, destroyed.

use felhom_ids::GuestKind;
use std::collections::BTreeMap;

use felhom_proxmox::Pve;
use felhom_proxmox::pve::backup::Vzdump;
use felhom_proxmox::pve::guests::{
    DestroyQemu, QemuSettings, RestoreQemu, RunState, ShutdownGuest,
};
use serde_json::json;

use crate::simulated::{World, done, vmid};

/// Stands for root; a token that may everything.
const ROOT: &str = "root@pam!root";

#[expect(clippy::too_many_lines, reason = "one life, in its order")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_goes_through_backup_and_restore() {
    let world = World::start().await;
    let order = json!({
        "vmid": 9200, "running": 60.0,
        "config": {
            "name": "shop", "memory": "1024", "agent": "1", "boot": "order=scsi0",
            "net0": "virtio=BC:24:11:00:92:00,bridge=vmbr0",
        },
        "disks": [
            { "key": "scsi0", "size": "256M", "boot": { "agent_after": 1.0 } },
            { "key": "scsi1", "size": "64M", "options": "backup=0" },
        ],
    });
    world.sim.control("put-qemu", order).await.unwrap();
    let pve = world.pve(ROOT);
    let listed = pve.qemu_list().await.unwrap();
    assert!(
        listed
            .iter()
            .any(|guest| guest.vmid == vmid(9200) && guest.is_running())
    );
    let status = pve.qemu_status(vmid(9200)).await.unwrap();
    assert_eq!(
        (status.qmpstatus.as_deref(), status.agent),
        (Some("running"), true)
    );
    let config = pve.qemu_config(vmid(9200)).await.unwrap();
    assert_eq!(config.drives().unwrap().len(), 2);

    let backup = Vzdump::new(vmid(9200), "local".parse().unwrap());
    done(&pve, pve.vzdump(&backup).await).await;
    let archives = pve
        .backups(&"local".parse().unwrap(), Some(vmid(9200)))
        .await
        .unwrap();
    let archive = archives[0].volid.clone();
    let inside = pve.extract_qemu_config(&archive).await.unwrap();
    assert_eq!(inside.archived.keys().collect::<Vec<_>>(), ["scsi0"]);

    let restore = RestoreQemu {
        vmid: vmid(9300),
        archive,
        storage: Some("local-lvm".parse().unwrap()),
        pool: Some("felhom-scratch".parse().unwrap()),
        unique: true,
        settings: QemuSettings {
            description: Some("marked".to_owned()),
            memory: Some(256),
            onboot: Some(false),
            nets: BTreeMap::from([(0, "virtio,bridge=vmbr9,link_down=1".parse().unwrap())]),
            ..QemuSettings::default()
        },
        bwlimit: None,
    };
    done(&pve, pve.restore_qemu(&restore).await).await;
    let copy = pve.qemu_config(vmid(9300)).await.unwrap();
    assert_eq!(
        (copy.description(), copy.memory().to_string()),
        (Some("marked"), "256M".into())
    );
    let net = &copy.nets().unwrap()[&0];
    assert!(
        net.is_link_down()
            && net
                .bridge
                .as_ref()
                .is_some_and(|name| name.as_str() == "vmbr9")
    );
    assert_eq!(copy.drives().unwrap().len(), 1);

    boots_answers_and_goes(&pve).await;
}

async fn boots_answers_and_goes(pve: &Pve) {
    done(pve, pve.start_guest(GuestKind::Qemu, vmid(9300)).await).await;
    let mut answered = false;
    for _ in 0..200 {
        answered = pve.ping_agent(vmid(9300)).await.is_ok();
        if answered {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(answered);
    let shutdown = ShutdownGuest {
        kind: GuestKind::Qemu,
        vmid: vmid(9300),
        timeout: Some(30),
        force_stop: true,
    };
    done(pve, pve.shutdown_guest(&shutdown).await).await;
    done(pve, pve.stop_guest(GuestKind::Qemu, vmid(9300)).await).await;
    let error = pve.ping_agent(vmid(9300)).await.unwrap_err();
    assert!(
        error.to_string().contains("VM 9300 is not running"),
        "{error}"
    );
    let status = pve.qemu_status(vmid(9300)).await.unwrap();
    assert_eq!(status.guest.status, RunState::Stopped);
    let destroy = DestroyQemu {
        vmid: vmid(9300),
        unreferenced_disks: false,
    };
    done(pve, pve.destroy_qemu(&destroy).await).await;
    assert!(pve.qemu_config(vmid(9300)).await.is_err());
}
