//! From an operation to its report.

use std::sync::Arc;

use felhom_host::{Code, Golden, Operation, Refusal, Report, TargetReport};

use super::disks::mount_point;
use super::usb::{Hands, Seen};
use super::{devices, guests, sensors};
use crate::sim::Sim;

/// Carries an operation out.
pub(super) async fn answer(sim: &Arc<Sim>, operation: &Operation) -> Result<Report, Refusal> {
    match operation {
        Operation::CreateGoldenContainer { vmid, template } => {
            let made = guests::create_golden(sim, number(vmid), &template.to_string()).await?;
            Ok(Report::Golden(Golden {
                vmid: *vmid,
                existed: made.existed,
                features: made.features,
            }))
        }
        Operation::ListBlockDevices {} => Ok(Report::BlockDevices {
            devices: devices::list(&sim.lock()),
        }),
        Operation::InstallUsbMount { .. }
        | Operation::MountUsb { .. }
        | Operation::UnmountUsb { .. }
        | Operation::ProbeUsb { .. } => target(sim, operation),
        Operation::RemoveUsbMount { name } => {
            with_hands(sim, |hands| hands.remove(name.as_str()))?;
            Ok(Report::Removed { name: name.clone() })
        }
        Operation::ReadSensors {} => Ok(Report::Sensors(sensors::read())),
        Operation::StripScratchGuest { vmid } => Ok(Report::Stripped {
            vmid: *vmid,
            keys: guests::strip(sim, number(vmid))?,
        }),
        Operation::ReleaseUnfinishedRestore { vmid, upid } => Ok(Report::Released {
            vmid: *vmid,
            lock: guests::release(sim, number(vmid), upid.as_ref())?,
            unmounted: Vec::new(),
        }),
    }
}

/// The number that a VMID is written as.
fn number(vmid: &impl ToString) -> u32 {
    vmid.to_string().parse().unwrap_or_default()
}

fn with_hands<T>(sim: &Sim, work: impl FnOnce(&mut Hands<'_>) -> T) -> T {
    let mut world = sim.lock();
    let rules = world.rules.clone();
    let mut hands = Hands {
        disks: &mut world.storage.removable,
        state: &sim.state_dir,
        rules: &rules,
    };
    work(&mut hands)
}

/// An operation on a target: how it stands afterwards.
fn target(sim: &Sim, operation: &Operation) -> Result<Report, Refusal> {
    let (name, uuid) = match operation {
        Operation::InstallUsbMount { name, uuid } => (name, Some(uuid.to_string())),
        Operation::MountUsb { name }
        | Operation::UnmountUsb { name }
        | Operation::ProbeUsb { name, .. } => (name, None),
        Operation::CreateGoldenContainer { .. }
        | Operation::ListBlockDevices {}
        | Operation::RemoveUsbMount { .. }
        | Operation::ReadSensors {}
        | Operation::StripScratchGuest { .. }
        | Operation::ReleaseUnfinishedRestore { .. } => {
            return Err(Refusal::new(Code::Failed, "it is about no target"));
        }
    };
    with_hands(sim, |hands| {
        let seen = match (operation, uuid) {
            (_, Some(uuid)) => hands.install(name.as_str(), &uuid)?,
            (Operation::MountUsb { .. }, _) => hands.mount(name.as_str())?,
            (Operation::UnmountUsb { .. }, _) => hands.unmount(name.as_str())?,
            (one, _) => hands.probe(name.as_str(), one.changes())?,
        };
        let report = report(hands, name.as_str(), seen)?;
        Ok(Report::Target(Box::new(TargetReport {
            name: name.clone(),
            uuid: report.uuid,
            serial: report.serial,
            fstype: report.fstype,
            mount_point: mount_point(name.as_str()),
            unit: format!("mnt-felhom-{name}.mount"),
            standing: report.seen.standing,
            reason: report.seen.reason,
            written: report.seen.written,
            space: report.space,
            fenced: report.fenced,
        })))
    })
}

/// A report without the name, whose type is not ours to say.
struct Nameless {
    uuid: String,
    serial: Option<String>,
    fstype: String,
    seen: Seen,
    space: Option<(u64, u64)>,
    fenced: bool,
}

fn report(hands: &Hands<'_>, name: &str, seen: Seen) -> Result<Nameless, Refusal> {
    let target = hands.disks.targets.get(name);
    let gone = || Refusal::new(Code::NotFound, format!("there is no target {name}"));
    let target = target.ok_or_else(gone)?;
    Ok(Nameless {
        uuid: target.uuid.clone(),
        serial: (!target.serial.is_empty()).then(|| target.serial.clone()),
        fstype: target.fstype.clone(),
        space: hands.space(&seen),
        fenced: hands.is_fenced(name),
        seen,
    })
}
