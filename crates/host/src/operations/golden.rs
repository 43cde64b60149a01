//! Making the container from which the golden archive is taken.

use felhom_ids::{GuestKind, Vmid};

use super::Root;
use crate::argv::CommandLine;
use crate::config::GoldenConfig;
use crate::fields::TemplateVolume;
use crate::pve::guest_config::GuestConfig;
use crate::pve::guests::{Place, places, this_node};
use crate::refusal::{Code, Refusal};
use crate::report::{Golden, Report};

pub(super) fn create(
    root: Root<'_>,
    vmid: Vmid,
    template: &TemplateVolume,
) -> Result<Report, Refusal> {
    let golden = root.golden()?;
    check(golden, vmid, template)?;
    let node = this_node(root.layout)?;
    let wanted = Place {
        node,
        kind: GuestKind::Lxc,
    };
    let found = places(root.layout, vmid)?;
    let mark = description(vmid);
    let existed = if found.is_empty() {
        let line = CommandLine::create_golden(vmid, template, golden, &mark);
        root.performer.run(&line)?;
        false
    } else if found.iter().all(|place| *place == wanted) {
        true
    } else {
        let text =
            format!("{vmid} is a guest of another kind or on another node; choose another number");
        return Err(Refusal::new(Code::Exists, text));
    };
    let path = GuestConfig::path(&wanted, vmid);
    let config = GuestConfig::read(root.layout, &wanted, vmid)?;
    let features = match (&config, existed) {
        (Some(config), true) => earlier(config, vmid, &mark),
        (Some(config), false) => made(config).ok_or_else(|| {
            let text = format!(
                "pct made container {vmid}, but not as it was told: {path} is not unprivileged with nesting=1,keyctl=1 \
                 and unlocked; look at it, and remove it: pct destroy {vmid}"
            );
            Refusal::new(Code::Failed, text)
        }),
        (None, true) => {
            let text = format!("{path} is gone though PVE still lists {vmid}; try again");
            Err(Refusal::new(Code::Busy, text))
        }
        (None, false) => {
            let text = format!("pct ended well, but {path} is not there");
            Err(Refusal::new(Code::Failed, text))
        }
    }?;
    Ok(Report::Golden(Golden {
        vmid,
        existed,
        features,
    }))
}

/// By which a request knows what it made before.
pub(crate) fn description(vmid: Vmid) -> String {
    format!("felhom: golden container {vmid}")
}

fn check(golden: &GoldenConfig, vmid: Vmid, template: &TemplateVolume) -> Result<(), Refusal> {
    let vmids = golden.vmids;
    if !vmids.holds(vmid) {
        let text = format!(
            "{vmid} is not in the range {vmids} of golden containers in /etc/felhom/hostd.toml"
        );
        return Err(Refusal::new(Code::OutsideRange, text));
    }
    let storage = template.storage();
    if !golden.templates.contains(storage) {
        let text = format!(
            "the storage `{storage}` is not in `golden.templates` of /etc/felhom/hostd.toml"
        );
        return Err(Refusal::new(Code::NotConfigured, text));
    }
    Ok(())
}

/// The features of a container that is made as it has to be.
fn made(config: &GuestConfig) -> Option<String> {
    let features = config.get("features")?;
    let mut each: Vec<_> = features.split(',').map(str::trim).collect();
    each.sort_unstable();
    let is_so = each == ["keyctl=1", "nesting=1"]
        && config.get("unprivileged") == Some("1")
        && config.get("lock").is_none();
    is_so.then(|| features.to_owned())
}

/// The features of what is there already, when an earlier request for the same made it.
fn earlier(config: &GuestConfig, vmid: Vmid, mark: &str) -> Result<String, Refusal> {
    let exists = |text: String| Refusal::new(Code::Exists, text);
    if config.get("lock") == Some("create") {
        return Err(exists(format!(
            "{vmid} is locked (create): its making goes on, or was cut off. When `pvenode task list --vmid {vmid} --source \
             active` shows nothing: pct unlock {vmid} && pct destroy {vmid} --destroy-unreferenced-disks 1; then ask again"
        )));
    }
    let is_ours = config.description().trim() == mark;
    made(config).filter(|_| is_ours).ok_or_else(|| {
        exists(format!(
            "there is a container {vmid}, and it is not the golden container as felhom-hostd makes it; choose another number"
        ))
    })
}
