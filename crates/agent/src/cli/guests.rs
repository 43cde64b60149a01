//! `guests`: the containers and virtual machines of the node that this token can see.

use felhom_engine::Principal;
use serde_json::json;

use super::context::{Context, pve_failure};
use crate::exit::{Exit, Failure};
use crate::observe;
use crate::output::{size, table};

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let pve = performer.remotes().of(Principal::Agent);
    let guests = observe::guests(pve)
        .await
        .map_err(|error| pve_failure(&error))?;
    let data: Vec<_> = guests
        .iter()
        .map(|(kind, guest)| {
            json!({
                "vmid": guest.vmid.get(), "kind": kind, "name": guest.name, "running": guest.is_running(),
                "uptime_s": guest.uptime, "lock": guest.lock, "memory": guest.maxmem, "disk": guest.maxdisk,
                "template": guest.template, "tags": guest.tags,
            })
        })
        .collect();
    context.printer.document("felhom.guests", &data, || {
        if guests.is_empty() {
            return "no guest can be seen (a token sees only guests it has VM.Audit on)".to_owned();
        }
        let rows: Vec<_> = guests
            .iter()
            .map(|(kind, guest)| {
                vec![
                    guest.vmid.to_string(),
                    kind.to_string(),
                    guest.name.clone().unwrap_or_default(),
                    if guest.is_running() {
                        "running".to_owned()
                    } else {
                        "stopped".to_owned()
                    },
                    guest.maxmem.map(size).unwrap_or_default(),
                    guest.maxdisk.map(size).unwrap_or_default(),
                    guest.lock.clone().unwrap_or_default(),
                ]
            })
            .collect();
        table(
            &["VMID", "KIND", "NAME", "STATUS", "MEMORY", "DISK", "LOCK"],
            &rows,
        )
    });
    Ok(Exit::Done)
}
