//! `volumes show`: where each volume of a guest lies, whether the next backup holds it, and what it should be.

use felhom_engine::volumes::{Classed, DockerVolume, JudgedVolume, VolumeKind, VolumeUse};
use felhom_ids::Vmid;
use serde_json::json;

use super::look::{Look, look};
use crate::cli::context::{Context, parse};
use crate::cli::text::findings_text;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::output::{size, table};

pub(super) async fn run(context: &Context, vmid: &str) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("VMID", vmid)?;
    let performer = context.performer()?;
    let look = look(context, &performer, vmid).await?;
    let data = json!({
        "vmid": vmid.get(),
        "volumes": look.judged.volumes,
        "data_root": look.judged.data_root,
        "inventory": look.inventory,
        "findings": look.findings,
    });
    context
        .printer
        .document("felhom.volumes", &data, || text(&look));
    Ok(if look.findings.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    })
}

fn text(look: &Look) -> String {
    let inventory = &look.inventory;
    let age = clock::now().since(inventory.taken).as_secs();
    let age = clock::age(i64::try_from(age).unwrap_or(i64::MAX));
    let mut lines = vec![format!(
        "guest {}, told {age} ago: {} volume(s), {} container(s), Docker's data in {} ({})",
        look.vmid,
        inventory.volumes.len(),
        inventory.containers.len(),
        one_line(&inventory.data_root),
        look.judged.data_root
    )];
    let rows: Vec<_> = look
        .judged
        .volumes
        .iter()
        .map(|one| row(look, one))
        .collect();
    if !rows.is_empty() {
        let header = ["NAME", "KIND", "SIZE", "CLASS", "ON", "BACKUP", "USED BY"];
        lines.push(table(&header, &rows));
    }
    lines.extend(findings_text(&look.findings));
    lines.join("\n")
}

fn row(look: &Look, volume: &JudgedVolume) -> Vec<String> {
    let described = look
        .inventory
        .volumes
        .iter()
        .find(|described| volume.kind != VolumeKind::Bind && described.name == volume.name);
    let backup = match (volume.holds_data(), volume.included) {
        (false, _) => "-",
        (true, true) => "in",
        (true, false) => "out",
    };
    let users: Vec<String> = volume.uses.iter().map(user).collect();
    vec![
        name(volume, described),
        kind(volume, described),
        volume.size.map(size).unwrap_or_default(),
        class(volume),
        one_line(&volume.place.to_string()),
        backup.to_owned(),
        users.join("\n"),
    ]
}

/// What a volume's data is on stands below the name where it is not Docker's own directory.
fn name(volume: &JudgedVolume, described: Option<&DockerVolume>) -> String {
    // Twelve of the digits that Docker chose are what Docker itself shows of such names.
    let name = if volume.kind == VolumeKind::Anonymous {
        let start: String = volume.name.chars().take(12).collect();
        format!("{start}…")
    } else {
        one_line(&volume.name)
    };
    let device = described.and_then(|described| described.options.get("device"));
    match device {
        Some(device) => format!("{name}\n= {}", one_line(device)),
        None => name,
    }
}

fn kind(volume: &JudgedVolume, described: Option<&DockerVolume>) -> String {
    let Some(described) = described else {
        return "bind".to_owned();
    };
    let kind = match (described.described, described.options.get("type")) {
        (false, _) => "?".to_owned(),
        (true, Some(kind)) if kind != "none" => format!("{} ({kind})", described.driver),
        (true, _) => described.driver.clone(),
    };
    let kind = if volume.kind == VolumeKind::Anonymous {
        format!("{kind}, anonymous")
    } else {
        kind
    };
    one_line(&kind)
}

fn class(volume: &JudgedVolume) -> String {
    if !volume.holds_data() {
        return "-".to_owned();
    }
    match &volume.classed {
        Classed::Unknown { .. } => "?".to_owned(),
        Classed::As {
            class,
            why,
            cover: Some(cover),
        } => format!(
            "{class}: {}\n{}",
            one_line(why),
            one_line(&cover.to_string())
        ),
        Classed::As { class, why, .. } => format!("{class}: {}", one_line(why)),
    }
}

/// A container, and where it has the mount, in Docker's writing.
fn user(one: &VolumeUse) -> String {
    let (name, at) = (one_line(&one.container), one_line(&one.destination));
    let stopped = if one.running { "" } else { " (stopped)" };
    let ro = if one.read_only { ":ro" } else { "" };
    format!("{name}{stopped} {at}{ro}")
}

/// A name that breaks a line would look like another row.
pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
