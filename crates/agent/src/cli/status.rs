//! `status`: one page that tells the truth.

mod pbs;

use felhom_engine::volumes::JudgedVolumes;
use felhom_engine::{
    ArchiveFacts, Finding, GuardStanding, GuestConfig, GuestRecord, MountSource, OpenGuard,
    Posture, Principal, Verdict, posture,
};
use felhom_ids::{BackupGroup, GuestKind, NodeName, Vmid};
use felhom_proxmox::Pve;
use felhom_proxmox::pve::guests::GuestStatus;
use felhom_proxmox::pve::nodes::NodeStatus;
use serde_json::json;

use super::context::{Context, journal_failure, node_now, pve_failure};
use super::findings::{self, Suppressed};
use super::snapshot;
use super::storage;
use super::text::findings_text;
use crate::clock;
use crate::config::Config;
use crate::doctor::pbs::{Look as ServerLook, Looked};
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::observe;
use crate::output::{size, table};
use crate::storages::Observed;
use crate::targets::Targets;
use crate::volumes::{Known, inventory, known};

/// One guest's line.
struct GuestLine {
    vmid: Vmid,
    kind: GuestKind,
    name: String,
    running: bool,
    posture: Posture,
    reasons: Vec<String>,
    newest_s: Option<i64>,
    proof: Option<(Verdict, i64)>,
}

/// Everything that the page shows.
struct Page {
    node: NodeName,
    version: String,
    status: NodeStatus,
    storages: Vec<Observed>,
    targets: Targets,
    servers: Vec<pbs::ServerLine>,
    guests: Vec<GuestLine>,
    guards: Vec<(OpenGuard, GuardStanding)>,
    findings: Vec<Finding>,
    suppressed: Vec<Suppressed>,
}

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let page = gather(context).await?;
    context
        .printer
        .document("felhom.status", &page.data(), || page.text());
    let healthy = page.findings.is_empty()
        && page
            .guests
            .iter()
            .all(|line| line.posture == Posture::Protected);
    Ok(if healthy { Exit::Done } else { Exit::Findings })
}

async fn gather(context: &Context) -> Result<Page, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let journal = context.read_journal(config).await?;
    let pve = performer.remotes().of(Principal::Agent);
    let servers = ServerLook::begin(config, performer.remotes(), journal.as_ref()).await;
    let servers = servers
        .all()
        .await
        .map_err(|error| journal_failure(&error))?;
    let seen = storage::look_and_note(&performer, journal.as_ref()).await?;
    let backups = storage::archives(&performer, &seen.all).await?;
    let look = Look {
        pve,
        config,
        servers: &servers,
        journal: journal.as_ref(),
        archives: backups.found,
        list_is_whole: backups.is_whole,
        node_now: node_now(pve).await,
    };
    let listed = observe::guests(pve)
        .await
        .map_err(|error| pve_failure(&error))?;
    let mut guests = Vec::new();
    let scratch = config.restore_test_policy.range();
    for (kind, guest) in &listed {
        if !scratch.contains(&guest.vmid) {
            guests.push(look.at(*kind, guest).await?);
        }
    }
    let guards = match &journal {
        Some(journal) => snapshot::open(journal, pve, &config.guard).await?,
        None => Vec::new(),
    };
    let mut found = found(journal.as_ref(), &guards).await?;
    found.extend(servers.iter().flat_map(|one| one.findings.iter().cloned()));
    found.extend(seen.findings(config));
    let heard = findings::heard(journal.as_ref(), found).await?;
    Ok(Page {
        node: config.node.clone(),
        version: pve
            .version()
            .await
            .map_err(|error| pve_failure(&error))?
            .version,
        status: pve
            .node_status()
            .await
            .map_err(|error| pve_failure(&error))?,
        storages: seen.all,
        targets: seen.targets,
        servers: pbs::lines(config, journal.as_ref(), &servers).await?,
        guests,
        guards,
        findings: heard.loud,
        suppressed: heard.quiet,
    })
}

/// What earlier jobs left, and what is so of the guards.
async fn found(
    journal: Option<&Journal>,
    guards: &[(OpenGuard, GuardStanding)],
) -> Result<Vec<Finding>, Failure> {
    let mut found: Vec<Finding> = match journal {
        Some(journal) => {
            let remains = journal
                .remains()
                .await
                .map_err(|error| journal_failure(&error))?;
            remains.into_iter().map(|remains| remains.finding).collect()
        }
        None => Vec::new(),
    };
    found.extend(
        guards
            .iter()
            .flat_map(|(_, standing)| standing.findings.clone()),
    );
    Ok(found)
}

impl Page {
    fn data(&self) -> serde_json::Value {
        json!({
            "node": self.node, "version": self.version, "uptime_s": self.status.uptime,
            "memory": { "total": self.status.memory.total, "used": self.status.memory.used },
            "root": { "total": self.status.rootfs.total, "avail": self.status.rootfs.avail },
            "guests": self.guests.iter().map(guest_json).collect::<Vec<_>>(),
            "storages": self.storages.iter().map(storage::brief).collect::<Vec<_>>(),
            "targets": storage::target::views(&self.targets),
            "backup_servers": self.servers.iter().map(pbs::ServerLine::view).collect::<Vec<_>>(),
            "guards": snapshot::view(&self.guards),
            "findings": self.findings,
            "suppressed": self.suppressed,
        })
    }

    fn text(&self) -> String {
        let mut page = vec![
            format!(
                "{} · Proxmox VE {} · up {} · memory {} of {} · root {} free",
                self.node,
                self.version,
                clock::age(self.status.uptime),
                size(self.status.memory.used),
                size(self.status.memory.total),
                size(self.status.rootfs.avail)
            ),
            String::new(),
            guest_table(&self.guests),
            String::new(),
        ];
        for guards in snapshot::lines(&self.guards) {
            page.extend([guards, String::new()]);
        }
        page.extend(self.storages.iter().map(storage::line));
        page.extend(storage::target::brief(&self.targets));
        page.extend(self.servers.iter().map(pbs::ServerLine::text));
        page.extend(findings_text(&self.findings));
        page.extend(findings::suppressed_lines(&self.suppressed));
        page.join("\n")
    }
}

/// What is known before the guests are looked at one by one.
struct Look<'a> {
    pve: &'a Pve,
    journal: Option<&'a Journal>,
    archives: Vec<ArchiveFacts>,
    config: &'a Config,
    servers: &'a [Looked],
    /// Whether every storage for backups told what is on it.
    list_is_whole: bool,
    node_now: i64,
}

impl Look<'_> {
    async fn at(&self, kind: GuestKind, guest: &GuestStatus) -> Result<GuestLine, Failure> {
        let stored = match kind {
            GuestKind::Lxc => {
                let stored = self.pve.lxc_config(guest.vmid).await;
                stored.map(|stored| observe::guest_config(&stored))
            }
            GuestKind::Qemu => {
                let stored = self.pve.qemu_config(guest.vmid).await;
                stored.map(|stored| observe::machine_config(&stored))
            }
        };
        let stored = stored.map_err(|error| pve_failure(&error))?;
        let stored = stored.unwrap_or_default();
        let path = format!("/vms/{}", guest.vmid);
        let held = self
            .pve
            .permissions_at(&path)
            .await
            .map_err(|error| pve_failure(&error))?;
        let shortened = !self.list_is_whole || !held.has(&path, "VM.Backup");
        let record = self.record(guest.vmid, &stored, shortened).await?;
        let (posture, reasons) = posture(&record);
        Ok(GuestLine {
            vmid: guest.vmid,
            kind,
            name: guest.name.clone().unwrap_or_default(),
            running: guest.is_running(),
            posture,
            reasons,
            newest_s: record.newest_archive_s,
            proof: record.last_proof,
        })
    }

    /// The guest's Docker volumes, as far as its engine was heard.
    async fn judged(
        &self,
        vmid: Vmid,
        config: &GuestConfig,
    ) -> Result<Option<JudgedVolumes>, Failure> {
        let known = known(self.journal, vmid, &config.fingerprint())
            .await
            .map_err(|error| journal_failure(&error))?;
        let Known::Report(kept) = known else {
            return Ok(None);
        };
        let inventory = inventory(&kept.report, kept.taken);
        Ok(Some(JudgedVolumes::judge(
            vmid,
            config,
            &inventory,
            &self.config.volumes,
        )))
    }

    async fn record(
        &self,
        vmid: Vmid,
        config: &GuestConfig,
        list_may_be_shortened: bool,
    ) -> Result<GuestRecord, Failure> {
        let now = clock::now();
        let newest = self
            .archives
            .iter()
            .filter(|archive| archive.vmid == Some(vmid))
            .map(|archive| archive.ctime)
            .max();
        let judged = self.judged(vmid, config).await?;
        let outside = |mount: &&felhom_engine::Mount| {
            let backed_up = mount.backup && matches!(mount.source, MountSource::Volume(_));
            let meant = |judged: &JudgedVolumes| judged.is_meant_outside(&mount.key, &mount.path);
            mount.key != "rootfs" && !backed_up && !judged.as_ref().is_some_and(meant)
        };
        let mut record = GuestRecord {
            newest_archive_s: newest.map(|ctime| self.node_now.saturating_sub(ctime)),
            list_may_be_shortened,
            kind: config.kind,
            outside: config.mounts.iter().filter(outside).count(),
            hot_outside: judged.as_ref().map_or(0, JudgedVolumes::hot_outside),
            bulk_uncovered: judged.as_ref().map_or(0, JudgedVolumes::bulk_uncovered),
            off_box: pbs::of_guest(
                self.config,
                self.servers,
                &BackupGroup::of_guest(config.kind, vmid),
                now,
            ),
            ..GuestRecord::default()
        };
        if let Some(journal) = self.journal {
            let backups = journal
                .backups(Some(vmid))
                .await
                .map_err(|error| journal_failure(&error))?;
            // A reused VMID does not inherit what was proven of another guest.
            let who = config.fingerprint();
            let same: Vec<_> = backups
                .iter()
                .filter(|row| row.report.fingerprint == who)
                .collect();
            record.last_backup = same.first().map(|row| row.report.verdict);
            let tests = journal
                .tests(Some(vmid))
                .await
                .map_err(|error| journal_failure(&error))?;
            let said = |verdict| matches!(verdict, Verdict::Passed | Verdict::Failed);
            record.last_proof = tests
                .iter()
                .find(|row| said(row.report.judgement.verdict) && row.report.fingerprint == who)
                .map(|row| {
                    let age = i64::try_from(now.since(row.finished).as_secs()).unwrap_or(i64::MAX);
                    (row.report.judgement.verdict, age)
                });
        }
        Ok(record)
    }
}

fn guest_json(line: &GuestLine) -> serde_json::Value {
    json!({
        "vmid": line.vmid.get(), "kind": line.kind, "name": line.name, "running": line.running, "posture": line.posture,
        "reasons": line.reasons, "newest_backup_s": line.newest_s,
        "last_proof": line.proof.map(|(verdict, age)| json!({ "verdict": verdict, "age_s": age })),
    })
}

fn guest_table(lines: &[GuestLine]) -> String {
    if lines.is_empty() {
        return "no guest can be seen".to_owned();
    }
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            vec![
                line.vmid.to_string(),
                line.name.clone(),
                if line.running {
                    "running".to_owned()
                } else {
                    "stopped".to_owned()
                },
                line.posture.to_string(),
                line.newest_s.map_or_else(|| "none".to_owned(), clock::age),
                line.proof.map_or_else(
                    || "never".to_owned(),
                    |(verdict, age)| format!("{verdict}, {}", clock::age(age)),
                ),
                line.reasons.join("; "),
            ]
        })
        .collect();
    table(
        &[
            "VMID", "NAME", "STATUS", "POSTURE", "BACKUP", "PROOF", "WHY",
        ],
        &rows,
    )
}
