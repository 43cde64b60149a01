//! `volumes show`: the volumes and bind mounts of a guest's containers, as they were last told.

use std::collections::BTreeMap;

use felhom_engine::volumes::{Container, ContainerMount, DockerVolume, Inventory, Mounted, gaps};
use felhom_ids::Vmid;
use serde_json::json;

use super::{everyday, fingerprint};
use crate::cli::backup::findings_text;
use crate::cli::context::{Context, journal_failure, parse};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::output::{size, table};
use crate::volumes::{Known, how_to_report, inventory, known};

pub(super) async fn run(context: &Context, vmid: &str) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("VMID", vmid)?;
    let performer = context.performer()?;
    let fingerprint = fingerprint(everyday(&performer), vmid).await?;
    let journal = context.read_journal(performer.config()).await?;
    let known = known(journal.as_ref(), vmid, &fingerprint)
        .await
        .map_err(|error| journal_failure(&error))?;
    let message = match known {
        Known::Report(kept) => {
            let inventory = inventory(&kept.report, kept.taken);
            return Ok(tell(context, vmid, &inventory));
        }
        Known::Nothing => format!("there is no report on the Docker volumes of {vmid} yet"),
        Known::OfAnother(kept) => format!(
            "the report of {} is on another guest, which had the VMID {vmid} before",
            clock::local(kept.taken)
        ),
    };
    let failure = Failure::new(Exit::NoSuchThing, "no-report", message);
    Err(failure.hint(format!("as root on the node: {}", how_to_report(vmid))))
}

fn tell(context: &Context, vmid: Vmid, inventory: &Inventory) -> Exit {
    let findings: Vec<_> = gaps(vmid, inventory).into_iter().collect();
    let data = json!({ "vmid": vmid.get(), "inventory": inventory, "findings": findings });
    context.printer.document("felhom.volumes", &data, || {
        let age = clock::now().since(inventory.taken).as_secs();
        let age = clock::age(i64::try_from(age).unwrap_or(i64::MAX));
        let mut lines = vec![format!(
            "guest {vmid}, told {age} ago: {} volume(s), {} container(s), Docker's data in {}",
            inventory.volumes.len(),
            inventory.containers.len(),
            one_line(&inventory.data_root)
        )];
        let rows = rows(inventory);
        if !rows.is_empty() {
            lines.push(table(&["KIND", "NAME", "SIZE", "USED BY", "AT"], &rows));
        }
        lines.extend(findings_text(&findings));
        lines.join("\n")
    });
    if findings.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    }
}

/// Volumes first, then the paths of the guest that containers show, then what else they mount; a line for each user.
fn rows(inventory: &Inventory) -> Vec<Vec<String>> {
    let mut users: BTreeMap<&Mounted, Vec<[String; 2]>> = BTreeMap::new();
    for container in &inventory.containers {
        for mount in &container.mounts {
            let user = user(container, mount);
            users.entry(&mount.source).or_default().push(user);
        }
    }
    let mut rows = Vec::new();
    for volume in &inventory.volumes {
        let users = users.get(&Mounted::Volume(volume.name.clone()));
        rows.extend(with_users(volume_cells(volume), users));
    }
    for (source, of_source) in &users {
        let (kind, path) = match source {
            Mounted::Volume(_) | Mounted::Tmpfs => continue,
            Mounted::Bind(path) => ("bind", path.as_str()),
            Mounted::Other(word) => (word.as_str(), ""),
        };
        let cells = [one_line(kind), one_line(path), String::new()];
        rows.extend(with_users(cells, Some(of_source)));
    }
    rows
}

/// The cells stand beside the first user only.
fn with_users(cells: [String; 3], users: Option<&Vec<[String; 2]>>) -> Vec<Vec<String>> {
    let nobody = [String::new(), String::new()];
    let users = users.map_or_else(|| vec![nobody], Clone::clone);
    let mut cells = Some(cells);
    let row = |user: [String; 2]| {
        cells
            .take()
            .unwrap_or_default()
            .into_iter()
            .chain(user)
            .collect()
    };
    users.into_iter().map(row).collect()
}

/// Kind, name, and size. What the data of a volume is on stands below the name where it is not Docker's own directory.
fn volume_cells(volume: &DockerVolume) -> [String; 3] {
    // Twelve of the digits that Docker chose are what Docker itself shows of such names.
    let name = if volume.anonymous {
        let start: String = volume.name.chars().take(12).collect();
        format!("{start}…")
    } else {
        volume.name.clone()
    };
    let option = |key: &str| volume.options.get(key).map(String::as_str);
    let kind = match (volume.described, option("type")) {
        (false, _) => "?".to_owned(),
        (true, Some(kind)) if kind != "none" => format!("{} ({kind})", volume.driver),
        (true, _) => volume.driver.clone(),
    };
    let name = match option("device") {
        Some(device) => format!("{}\n= {}", one_line(&name), one_line(device)),
        None => one_line(&name),
    };
    [
        one_line(&kind),
        name,
        volume.size.map(size).unwrap_or_default(),
    ]
}

/// A container, and where it has the mount, in Docker's writing.
fn user(container: &Container, mount: &ContainerMount) -> [String; 2] {
    let name = one_line(&container.name);
    let at = one_line(&mount.destination);
    [
        if container.running {
            name
        } else {
            format!("{name} (stopped)")
        },
        if mount.read_only {
            format!("{at}:ro")
        } else {
            at
        },
    ]
}

/// A name that breaks a line would look like another row.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
