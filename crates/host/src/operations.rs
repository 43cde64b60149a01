//! What each operation does: its preconditions, looked at again by root, then the deed.

mod devices;
mod golden;
mod release;
mod scratch;
mod sensors;
mod strip;
mod usb;

pub(crate) use self::golden::description as golden_description;
use crate::config::{Config, GoldenConfig, ScratchConfig};
use crate::layout::Layout;
use crate::operation::Operation;
use crate::perform::Performer;
use crate::refusal::{Code, Refusal};
use crate::report::Report;

/// What an operation works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Root<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) config: &'a Config,
    pub(crate) performer: &'a Performer,
}

impl<'a> Root<'a> {
    /// What root's configuration says of golden containers.
    pub(crate) fn golden(&self) -> Result<&'a GoldenConfig, Refusal> {
        self.config.golden.as_ref().ok_or_else(|| missing("golden"))
    }

    /// What it says of scratch guests.
    pub(crate) fn scratch(&self) -> Result<&'a ScratchConfig, Refusal> {
        self.config
            .scratch
            .as_ref()
            .ok_or_else(|| missing("scratch"))
    }
}

fn missing(section: &str) -> Refusal {
    let text = format!("/etc/felhom/hostd.toml has no [{section}]");
    Refusal::new(Code::NotConfigured, text)
}

/// Carries an operation out.
pub(crate) fn carry_out(root: Root<'_>, operation: &Operation) -> Result<Report, Refusal> {
    match operation {
        Operation::CreateGoldenContainer { vmid, template } => {
            golden::create(root, *vmid, template)
        }
        Operation::ListBlockDevices {} => devices::list(root),
        Operation::InstallUsbMount { name, uuid } => usb::install(root, name, uuid),
        Operation::MountUsb { name } => usb::mount(root, name),
        Operation::UnmountUsb { name } => usb::unmount(root, name),
        Operation::RemoveUsbMount { name } => usb::remove(root, name),
        Operation::ProbeUsb { name, write } => usb::probe(root, name, *write),
        Operation::ReadSensors {} => sensors::read(root),
        Operation::StripScratchGuest { vmid } => strip::strip(root, *vmid),
        Operation::ReleaseUnfinishedRestore { vmid, upid } => release::release(root, *vmid, upid),
    }
}
