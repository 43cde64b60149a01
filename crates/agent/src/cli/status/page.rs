//! The page of `status`: 80 columns, whatever things are called. What is long is folded or shortened; a VMID never is.

use felhom_engine::Finding;
use felhom_ids::VolumeId;
use felhom_protocol::host::{Disk, DiskHealth, Guest, HostReport, JobEnd, Posture, Usage};

use crate::cli::findings::suppressed_lines;
use crate::cli::text::{PAGE_WIDTH, findings_text, folded, shortened};
use crate::cli::{snapshot, storage};
use crate::clock;
use crate::journal::LastPass;
use crate::kit::shell::fold;
use crate::output::size;
use crate::report::Gathered;
use crate::report::servers::ServerLine;

/// Guests that are protected are only counted when there are more guests than this.
const MOST_GUESTS: usize = 40;
/// Jobs that ended last, on the page.
const JOBS: usize = 3;
/// Between two columns.
const GAP: &str = "  ";

pub(super) fn text(gathered: &Gathered) -> String {
    let report = &gathered.report;
    let mut page = node(gathered);
    page.push(String::new());
    page.extend(guests(report));
    page.push(String::new());
    for guards in snapshot::lines(&gathered.guards) {
        page.extend([guards, String::new()]);
    }
    page.extend(gathered.seen.all.iter().map(storage::line));
    page.extend(report.thin_pools.iter().map(|pool| {
        let (data, metadata) = (percent(pool.data), percent(pool.metadata));
        format!(
            "thin pool {}: data {data} of {}, metadata {metadata} of {}",
            pool.name,
            size(pool.data.total),
            size(pool.metadata.total)
        )
    }));
    page.extend(disks(&report.disks));
    page.extend(hottest(report));
    page.extend(storage::target::brief(&gathered.seen.targets));
    page.extend(gathered.servers.iter().map(ServerLine::text));
    page.extend(gathered.last_pass.as_ref().map(last_pass));
    page.extend(report.jobs.iter().take(JOBS).map(job));
    page.extend(unknown(report));
    let mut lines: Vec<String> = page.iter().flat_map(|line| folded(line)).collect();
    lines.extend(findings(&gathered.heard.loud));
    let suppressed = suppressed_lines(&gathered.heard.quiet);
    lines.extend(suppressed.flat_map(|line| folded(&line)));
    lines.join("\n")
}

fn node(gathered: &Gathered) -> Vec<String> {
    let node = &gathered.report.node;
    let version = node.pve_version.as_deref().unwrap_or("of unknown version");
    let mut first = vec![node.name.clone(), format!("Proxmox VE {version}")];
    first.extend(node.uptime_s.map(|up| format!("up {}", clock::age(up))));
    first.extend(match &node.updates {
        None => None,
        Some(updates) if updates.packages == 0 => Some("no updates".to_owned()),
        Some(updates) => Some(match &updates.pve_manager {
            Some(version) => format!("{} updates (to {version})", updates.packages),
            None => format!("{} updates", updates.packages),
        }),
    });
    let mut second = Vec::new();
    second.extend(
        node.memory
            .map(|memory| format!("memory {} of {}", size(memory.used), size(memory.total))),
    );
    second.extend(
        node.swap
            .filter(|swap| swap.total > 0)
            .map(|swap| format!("swap {} of {}", size(swap.used), size(swap.total))),
    );
    second.extend(
        gathered
            .status
            .as_ref()
            .map(|status| format!("root {} free", size(status.rootfs.avail))),
    );
    let load: Vec<String> = node.load.iter().map(|load| format!("{load:.2}")).collect();
    if !load.is_empty() {
        let cpus = node
            .cpus
            .map_or_else(String::new, |cpus| format!(" on {cpus} CPUs"));
        second.push(format!("load {}{cpus}", load.join(" ")));
    }
    vec![first.join(" · "), second.join(" · ")]
}

fn guests(report: &HostReport) -> Vec<String> {
    if report.guests.is_empty() {
        return vec!["no guest can be seen".to_owned()];
    }
    let many = report.guests.len() > MOST_GUESTS;
    let is_shown = |guest: &&Guest| !many || guest.posture != Posture::Protected;
    let shown: Vec<&Guest> = report.guests.iter().filter(is_shown).collect();
    let mut rows: Vec<[String; 6]> = shown.iter().map(|one| row(one, report.taken_s)).collect();
    let header = ["VMID", "NAME", "STATUS", "POSTURE", "BACKUP", "PROOF"].map(str::to_owned);
    let width = |rows: &[[String; 6]], column: usize| {
        let cells = rows.iter().chain([&header]);
        let cells = cells.filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let others = [0, 2, 3, 4, 5].map(|column| width(&rows, column).saturating_add(GAP.len()));
    let room = PAGE_WIDTH.saturating_sub(others.iter().sum());
    for [_, name, ..] in &mut rows {
        *name = shortened(name, room);
    }
    let widths: Vec<usize> = (0..header.len())
        .map(|column| width(&rows, column))
        .collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join(GAP);
        line.trim_end().to_owned()
    };
    let mut lines = vec![line(&header)];
    for (guest, row) in shown.iter().zip(&rows) {
        lines.push(line(row));
        if !guest.reasons.is_empty() {
            lines.push(format!("      {}", guest.reasons.join("; ")));
        }
    }
    let left_out = report.guests.len().saturating_sub(shown.len());
    if left_out > 0 {
        lines.push(format!("and {left_out} more, all of them protected"));
    }
    lines
}

fn row(guest: &Guest, now: i64) -> [String; 6] {
    let age = |at: i64| clock::age(now.saturating_sub(at));
    let proof = guest.last_proof.as_ref();
    [
        guest.vmid.to_string(),
        guest.name.clone(),
        if guest.running { "running" } else { "stopped" }.to_owned(),
        posture(guest.posture).to_owned(),
        guest
            .newest_archive_s
            .map_or_else(|| "none".to_owned(), age),
        proof.map_or_else(
            || "never".to_owned(),
            |proof| format!("{}, {}", proof.verdict, age(proof.ended_s)),
        ),
    ]
}

pub(in crate::cli) fn posture(posture: Posture) -> &'static str {
    match posture {
        Posture::Protected => "protected",
        Posture::Attention => "attention",
        Posture::Unprotected => "unprotected",
        Posture::Unknown => "unknown",
    }
}

pub(in crate::cli) fn percent(usage: Usage) -> String {
    let used = u128::from(usage.used).saturating_mul(100);
    let share = used.checked_div(u128::from(usage.total));
    share.map_or_else(|| "- %".to_owned(), |share| format!("{share} %"))
}

/// One line when all are well; else one for each that is not.
fn disks(disks: &[Disk]) -> Vec<String> {
    let is_well = |disk: &&Disk| {
        disk.health != DiskHealth::Failed && disk.worn_percent.is_none_or(|worn| worn < 90)
    };
    let (well, bad): (Vec<&Disk>, Vec<&Disk>) = disks.iter().partition(is_well);
    let mut lines: Vec<String> = bad.iter().map(|disk| disk_line(disk)).collect();
    if well.is_empty() {
        return lines;
    }
    let silent = well.iter().filter(|one| one.health == DiskHealth::Unknown);
    let silent = silent.count();
    let told = well.len().saturating_sub(silent);
    let worn = well.iter().filter_map(|disk| disk.worn_percent).max();
    let mut parts = Vec::new();
    if told > 0 {
        parts.push(format!("{told} call themselves well"));
    }
    if silent > 0 {
        parts.push(format!("{silent} without SMART data"));
    }
    parts.extend(worn.map(|worn| format!("most worn {worn} %")));
    lines.push(format!("disks: {}", parts.join(", ")));
    lines
}

/// One disk.
pub(in crate::cli) fn disk_line(disk: &Disk) -> String {
    let health = match disk.health {
        DiskHealth::Passed => "well",
        DiskHealth::Failed => "FAILING",
        DiskHealth::Unknown => "no SMART data",
    };
    let mut parts = vec![health.to_owned(), size(disk.size)];
    parts.extend(disk.worn_percent.map(|worn| format!("worn {worn} %")));
    parts.extend(disk.celsius.map(|celsius| format!("{celsius} °C")));
    parts.extend(disk.model.clone());
    format!("disk {}: {}", disk.device, parts.join(", "))
}

/// The sensor that is nearest to its own limit, or reads most.
fn hottest(report: &HostReport) -> Option<String> {
    let limit = |one: &felhom_protocol::host::Temperature| {
        let limit = one.critical.or(one.high).filter(|limit| *limit > 0.0);
        limit.unwrap_or(100.0)
    };
    let nearest = report.temperatures.iter().max_by(|one, other| {
        let share = one.celsius / limit(one);
        share.total_cmp(&(other.celsius / limit(other)))
    })?;
    let most = nearest.critical.or(nearest.high);
    let most = most.map_or_else(String::new, |limit| format!(" of {limit:.0}"));
    let (chip, label) = (&nearest.chip, &nearest.label);
    Some(format!(
        "hottest: {:.0}{most} °C ({chip} {label})",
        nearest.celsius
    ))
}

fn last_pass(pass: &LastPass) -> String {
    let began = clock::local(pass.began);
    match (pass.ended, pass.exit) {
        (Some(ended), Some(0)) => {
            format!("last pass: {began}, all well at {}", clock::local(ended))
        }
        (Some(ended), Some(3)) => {
            format!(
                "last pass: {began}, with findings at {}",
                clock::local(ended)
            )
        }
        (Some(_), Some(exit)) => format!("last pass: {began}, ended with {exit}"),
        (None, _) | (_, None) => format!("last pass: {began}, under way or cut off"),
    }
}

fn job(job: &JobEnd) -> String {
    let at = clock::local(felhom_engine::Timestamp::from_secs(job.ended_s));
    // An archive's name is longer than anybody reads; its guest says as much here.
    let guest = job.subject.parse::<VolumeId>().ok();
    let guest = guest.and_then(|volid| volid.guest());
    let subject = guest.map_or_else(|| job.subject.clone(), |vmid| format!("guest {vmid}"));
    format!("{at}: {} of {subject}: {}", job.kind, job.verdict)
}

/// The findings. Commands, which stand in lines of their own, can be copied as they are folded.
fn findings(found: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for one in found {
        let commands = one.hint.as_ref().filter(|hint| hint.contains('\n'));
        let Some(commands) = commands else {
            let told = findings_text(std::slice::from_ref(one));
            lines.extend(told.iter().flat_map(|line| folded(line)));
            continue;
        };
        let bare = Finding {
            hint: None,
            ..one.clone()
        };
        let told = findings_text(std::slice::from_ref(&bare));
        lines.extend(told.iter().flat_map(|line| folded(line)));
        lines.push("  hint:".to_owned());
        let commands = commands.lines();
        lines.extend(commands.flat_map(|command| fold(command, "    ", PAGE_WIDTH)));
    }
    lines
}

/// What could not be looked at. What has a line of its own says it there.
fn unknown(report: &HostReport) -> Vec<String> {
    let told = |what: &str| {
        ["storage ", "server ", "target", "guest "]
            .iter()
            .any(|kind| what.starts_with(kind))
    };
    let unknown = report.unknown.iter().filter(|one| !told(&one.what));
    unknown
        .map(|one| format!("not known: {}: {}", one.what, one.why))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(guests: usize) -> HostReport {
        let guest = |number: usize| {
            serde_json::json!({
                "vmid": 999_999_000 + number, "kind": "lxc", "name": "a-name-as-long-as-some-people-like-them-to-be",
                "running": true, "selected": true, "posture": if number == 7 { "unprotected" } else { "protected" },
                "reasons": [], "newest_archive_s": 1_000_000, "last_proof": {
                    "verdict": "passed", "ended_s": 0, "volid": "local:backup/x",
                },
            })
        };
        serde_json::from_value(serde_json::json!({
            "installation": "x", "sequence": 1, "taken_s": 7100, "agent_version": "0.1.0", "node": { "name": "pve" },
            "guests": (0..guests).map(guest).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    #[test]
    fn long_names_are_shortened_and_no_vmid_is() {
        let lines = guests(&report(40));
        assert_eq!(lines.len(), 41);
        for (number, line) in lines.iter().skip(1).enumerate() {
            assert!(line.chars().count() <= PAGE_WIDTH, "{line}");
            assert!(
                line.starts_with(&(999_999_000 + number).to_string()),
                "{line}"
            );
            assert!(
                line.contains('…') && line.ends_with("passed, 118 min"),
                "{line}"
            );
        }
    }

    #[test]
    fn of_many_guests_only_those_are_shown_that_somebody_should_look_at() {
        let lines = guests(&report(200));
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("999999007 ")));
        assert!(
            lines
                .iter()
                .any(|line| line == "and 199 more, all of them protected")
        );
        assert_eq!(guests(&report(0)), ["no guest can be seen"]);
    }
}
