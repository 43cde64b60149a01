//! The report for people: more than the page of `status`, part by part.

use felhom_engine::Timestamp;
use felhom_protocol::host::{
    Attachment, Backup, Finding, Guest, HostReport, JobEnd, Proof, Server, Target, Temperature,
    Usage,
};

use crate::cli::status::{disk_line, percent, posture};
use crate::cli::text::folded;
use crate::clock;
use crate::output::{seconds, size};

pub(super) fn text(report: &HostReport) -> String {
    let number = match report.sequence {
        0 => "a report that was not kept".to_owned(),
        number => format!("report {number}"),
    };
    let mut page = vec![format!(
        "{number} of {}, {}",
        report.node.name,
        at(report.taken_s)
    )];
    page.extend(node(report));
    part(&mut page, "guests", report.guests.iter().flat_map(guest));
    let storages = report.storages.iter().map(|one| {
        let state = state(one.state);
        let space = one.usage.map_or_else(String::new, used);
        let left = one.full_in_days;
        let left = left.map_or_else(String::new, |days| format!(", full in {days} days"));
        format!("{} ({}): {state}{space}{left}", one.id, one.kind)
    });
    part(&mut page, "storages", storages);
    let pools = report.thin_pools.iter().map(|pool| {
        let (data, metadata) = (used(pool.data), used(pool.metadata));
        format!("{}: data{data}; metadata{metadata}", pool.name)
    });
    part(&mut page, "thin pools", pools);
    part(&mut page, "disks", report.disks.iter().map(disk_line));
    let temperatures = report.temperatures.iter().map(temperature);
    part(&mut page, "temperatures", temperatures);
    part(&mut page, "targets", report.targets.iter().map(target));
    part(
        &mut page,
        "backup servers",
        report.servers.iter().map(server),
    );
    part(
        &mut page,
        "findings",
        report.findings.iter().flat_map(finding),
    );
    if report.suppressed > 0 {
        page.push(format!("  and {} suppressed", report.suppressed));
    }
    part(&mut page, "last jobs", report.jobs.iter().map(job));
    let unknown = report.unknown.iter();
    let unknown = unknown.map(|one| format!("{}: {}", one.what, one.why));
    part(&mut page, "not known", unknown);
    let lines: Vec<String> = page.iter().flat_map(|line| folded(line)).collect();
    lines.join("\n")
}

fn target(one: &Target) -> String {
    let why = one.why.as_ref();
    let why = why.map_or_else(String::new, |why| format!(", {why}"));
    let last = one.last_there_s.map(at);
    let last = last.map_or_else(String::new, |last| format!(", last there {last}"));
    format!("{}: {}{last}{why}", one.name, state(one.state))
}

fn server(one: &Server) -> String {
    let storage = &one.storage;
    if let Some(error) = &one.error {
        return format!("{storage}: cannot be asked: {error}");
    }
    let counts = [one.backups, one.verified, one.failed];
    let [backups, verified, failed] = counts.map(Option::unwrap_or_default);
    format!("{storage}: {backups} backups, {verified} verified, {failed} failed their verify")
}

/// A part with its head; nothing where there is nothing to tell.
fn part(page: &mut Vec<String>, head: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.map(|line| format!("  {line}")).peekable();
    if lines.peek().is_some() {
        page.extend([String::new(), head.to_owned()]);
        page.extend(lines);
    }
}

fn at(seconds: i64) -> String {
    clock::local(Timestamp::from_secs(seconds))
}

fn used(usage: Usage) -> String {
    let (share, total) = (percent(usage), size(usage.total));
    format!(", {} of {total} used ({share})", size(usage.used))
}

fn node(report: &HostReport) -> Vec<String> {
    let node = &report.node;
    let text = |value: Option<&String>| value.map_or("unknown", String::as_str).to_owned();
    let mut lines = vec![format!(
        "Proxmox VE {}, kernel {}",
        text(node.pve_version.as_ref()),
        text(node.kernel.as_ref())
    )];
    lines.extend(node.uptime_s.map(|up| format!("up {}", clock::age(up))));
    for (what, usage) in [
        ("memory", node.memory),
        ("swap", node.swap),
        ("root file system", node.root),
    ] {
        lines.extend(usage.map(|usage| format!("{what}{}", used(usage))));
    }
    let load: Vec<String> = node.load.iter().map(|load| format!("{load:.2}")).collect();
    let cpus = node
        .cpus
        .map_or_else(String::new, |cpus| format!(" on {cpus} CPUs"));
    if !load.is_empty() {
        lines.push(format!("load {}{cpus}", load.join(" ")));
    }
    lines.extend(node.updates.as_ref().map(|updates| {
        let manager = updates.pve_manager.as_ref();
        let manager = manager.map_or_else(String::new, |to| format!(", Proxmox VE to {to}"));
        format!("{} pending updates{manager}", updates.packages)
    }));
    lines
}

fn guest(guest: &Guest) -> Vec<String> {
    let running = if guest.running { "running" } else { "stopped" };
    let left_out = if guest.selected {
        ""
    } else {
        ", not backed up by policy"
    };
    let mut lines = vec![format!(
        "{} {} ({}, {running}{left_out}): {}",
        guest.vmid,
        guest.name,
        guest.kind,
        posture(guest.posture)
    )];
    if !guest.reasons.is_empty() {
        lines.push(format!("  {}", guest.reasons.join("; ")));
    }
    let newest = guest.newest_archive_s.map(at);
    lines.push(format!(
        "  newest backup {}",
        newest.unwrap_or_else(|| "none".to_owned())
    ));
    lines.extend(guest.last_backup.as_ref().map(backup));
    lines.extend(guest.last_proof.as_ref().map(proof));
    lines
}

fn backup(backup: &Backup) -> String {
    let bytes = backup
        .size
        .map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
    let volid = backup.volid.as_ref();
    let volid = volid.map_or_else(String::new, |volid| format!(", {volid}"));
    let (verdict, ended) = (&backup.verdict, at(backup.ended_s));
    format!("  our last backup {verdict}, {ended}{bytes}{volid}")
}

fn proof(proof: &Proof) -> String {
    let evidence = proof.evidence.as_ref();
    let evidence = evidence.map_or_else(String::new, |level| format!(" ({level})"));
    let rto = proof.rto_ms;
    let rto = rto.map_or_else(String::new, |rto| format!(", back in {}", seconds(rto)));
    let (verdict, ended, volid) = (&proof.verdict, at(proof.ended_s), &proof.volid);
    format!("  last proof {verdict}{evidence}, {ended}{rto}, {volid}")
}

fn state(state: Attachment) -> &'static str {
    match state {
        Attachment::Attached => "attached",
        Attachment::Detached => "detached",
        Attachment::Wrong => "WRONG",
        Attachment::Unknown => "UNKNOWN",
    }
}

fn temperature(one: &Temperature) -> String {
    let limit = one.critical.or(one.high);
    let limit = limit.map_or_else(String::new, |limit| format!(" of {limit:.0}"));
    format!("{} {}: {:.0}{limit} °C", one.chip, one.label, one.celsius)
}

fn finding(one: &Finding) -> Vec<String> {
    let (severity, subject) = (one.severity, &one.subject);
    let (detail, code) = (&one.detail, &one.code);
    let mut lines = vec![format!("{severity}: {subject}: {detail} [{code}]")];
    let remedy = one.remedy.iter().flat_map(|remedy| remedy.lines());
    lines.extend(remedy.map(|line| format!("  {line}")));
    lines
}

fn job(job: &JobEnd) -> String {
    let took = job.ended_s.saturating_sub(job.began_s);
    let (kind, subject, verdict) = (&job.kind, &job.subject, &job.verdict);
    format!(
        "{} {kind} of {subject}: {verdict}, took {}",
        at(job.ended_s),
        clock::age(took)
    )
}
