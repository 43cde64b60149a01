//! The mount unit of a target. It is not enabled: a copy of the disk that is attached at boot must not be mounted unseen, so
//! only the daemon starts it, after it has looked at the disk.

use felhom_ids::TargetName;

use super::super::Root;
use super::place::{self, failed};
use super::record::Record;
use crate::argv::CommandLine;
use crate::config::UsbConfig;
use crate::refusal::{Code, Refusal};

const DIRECTORY: &str = "/etc/systemd/system";
const HEAD: &str = "# Written by felhom-hostd";
/// A unit is shorter.
const LONGEST: u64 = 16 * 1024;

/// Where a target is mounted.
pub(super) fn mount_point(usb: &UsbConfig, name: &TargetName) -> String {
    format!("{}/{name}", usb.mount_dir.display())
}

/// The name that systemd demands of the unit for that path. Nothing in the path needs an escape.
pub(super) fn name(usb: &UsbConfig, name: &TargetName) -> String {
    let path = mount_point(usb, name);
    format!("{}.mount", path.trim_start_matches('/').replace('/', "-"))
}

/// The unit's text.
pub(super) fn text(usb: &UsbConfig, record: &Record) -> String {
    let (target, fstype, uuid) = (&record.name, record.fstype, &record.uuid);
    let place = mount_point(usb, target);
    let unit = name(usb, target);
    let options = fstype.options();
    format!(
        "{HEAD} for the target {target}; it is written anew when the target is mounted.\n\
         # It is not enabled, and must not be: felhom-hostd starts it after it has looked whether this is the right disk.\n\
         # To remove it by hand: systemctl stop {unit}; rm {DIRECTORY}/{unit}; systemctl daemon-reload;\n\
         # chattr -i {place}; rmdir {place}; rm /etc/felhom/targets/{target}.toml\n\
         [Unit]\n\
         Description=Backup target {target}\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Mount]\n\
         What=/dev/disk/by-uuid/{uuid}\n\
         Where={place}\n\
         Type={fstype}\n\
         Options={options}\n\
         TimeoutSec=45\n"
    )
}

/// Sees to it that the unit is there as it has to be, and that systemd knows it.
pub(super) fn install(root: Root<'_>, record: &Record) -> Result<(), Refusal> {
    let unit = name(&root.config.usb, &record.name);
    let text = text(&root.config.usb, record);
    let dir = place::make(root.layout, DIRECTORY)?;
    if found(root, &unit)?.as_deref() != Some(&text) {
        place::write(&dir, &unit, &text, 0o644).map_err(|error| failed(&unit, error))?;
    }
    // Also for a unit that was there: the daemon may have died before systemd was told.
    root.performer.run(&CommandLine::reload_units())?;
    Ok(())
}

/// Takes the unit away.
pub(super) fn remove(root: Root<'_>, target: &TargetName) -> Result<(), Refusal> {
    let unit = name(&root.config.usb, target);
    found(root, &unit)?;
    if let Some(dir) = place::open(root.layout, DIRECTORY)? {
        place::unlink(&dir, &unit)
            .and_then(|()| Ok(rustix::fs::fsync(&dir)?))
            .map_err(|error| failed(&unit, error))?;
    }
    root.performer.run(&CommandLine::reload_units())?;
    Ok(())
}

/// The unit that is there, when it is the daemon's; another's is refused.
fn found(root: Root<'_>, unit: &str) -> Result<Option<String>, Refusal> {
    let others = |why: &str| {
        let text = format!("{DIRECTORY}/{unit} is {why}; remove it, or choose another name");
        Refusal::new(Code::Exists, text)
    };
    let Some(dir) = place::open(root.layout, DIRECTORY)? else {
        return Ok(None);
    };
    let text = place::read(&dir, unit, LONGEST)
        .map_err(|error| others(&format!("not felhom-hostd's ({error})")))?;
    match text {
        Some(text) if !text.starts_with(HEAD) => Err(others("not felhom-hostd's")),
        text => Ok(text),
    }
}
