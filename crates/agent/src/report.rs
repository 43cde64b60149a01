//! The host report: one look at the box and everything on it, from which everything is told.
//!
//! A report is always possible. What does not answer costs its deadline, stands under `unknown` with the reason, and leaves the
//! rest whole.

mod former;
mod guests;
mod health;
pub(crate) mod heard;
pub(crate) mod parts;
pub(crate) mod servers;
mod storages;
mod stuck;

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::{
    ArchiveFacts, BackupVerdict, Finding, GuardStanding, OpenGuard, PostureLimits, Principal,
    codes, guard_standing,
};
use felhom_ids::VolumeId;
use felhom_protocol::host::{Guest, HostReport, Unknown};
use felhom_proxmox::pve::nodes::NodeStatus;
use felhom_proxmox::{Error, Pve};

use crate::clock;
use crate::config::Config;
use crate::doctor::pbs::{Look as ServerLook, Looked};
use crate::fence::Fence;
use crate::journal::{Journal, JournalError, LastPass, Tried};
use crate::notify;
use crate::observe::host::{self, Host, Kept};
use crate::observe::{self, Trouble as Asked};
use crate::perform::Performer;
use crate::storages::sight::{self, Seen};
use health::host_findings;
use heard::Heard;
use servers::ServerLine;

const SILENT: &str = "the node does not answer";
/// As many of the jobs that ended last are told of.
const JOBS: u32 = 50;

/// A report, and what the page of `status` shows beyond it.
#[derive(Debug)]
pub struct Gathered {
    /// What is told. It has no number before the journal keeps it.
    pub report: HostReport,
    /// Storages and targets, with all that is known of them.
    pub(crate) seen: Seen,
    pub(crate) servers: Vec<ServerLine>,
    pub(crate) guards: Vec<(OpenGuard, GuardStanding)>,
    pub(crate) heard: Heard,
    pub(crate) last_pass: Option<LastPass>,
    pub(crate) status: Option<NodeStatus>,
    /// What kept the node or the journal from being asked at all: whoever wants the whole page or none takes it for a failure.
    pub(crate) trouble: Option<Trouble>,
}

/// What kept something from being seen that nothing stands in for.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The node.
    Node(Error),
    /// The journal.
    Journal(JournalError),
}

/// Looks at everything.
pub async fn gather(performer: &Performer, journal: Option<&Journal>) -> Gathered {
    Box::pin(look_at_all(performer, journal, Kept::default())).await
}

/// The same at the end of a pass, of which there are many a day: what costs the node much is taken from the last report as long
/// as it is young.
pub async fn gather_in_pass(performer: &Performer, journal: &Journal) -> Gathered {
    let last = journal.last_report().await.ok().flatten();
    let kept = last.map(|last| Kept::of(last, clock::now().secs()));
    Box::pin(look_at_all(
        performer,
        Some(journal),
        kept.unwrap_or_default(),
    ))
    .await
}

async fn look_at_all(performer: &Performer, journal: Option<&Journal>, kept: Kept) -> Gathered {
    let mut look = Look::new(performer, journal);
    let status = look.node().await;
    let (host, seen) = if look.reached {
        let fence = Fence::new(look.config);
        let host = host::look(look.pve, &look.config.node, &fence, kept);
        let seen = sight::look(look.config, performer.remotes(), journal);
        tokio::join!(host, seen)
    } else {
        (look.host_unasked().await, look.targets_only().await)
    };
    look.unknown.extend(host.unknown.iter().cloned());
    let seen = look.seen(seen).await;
    let servers = look.servers().await;
    let lines = look.lines(&servers).await;
    let (guests, mut found) = look.guests(&seen, &servers).await;
    let guards = look.guards().await;
    found.extend(look.remains().await);
    found.extend(look.stuck().await);
    found.extend(look.undelivered().await);
    let standing = guards.iter().map(|(_, standing)| standing);
    found.extend(standing.flat_map(|standing| standing.findings.clone()));
    found.extend(servers.iter().flat_map(|one| one.findings.iter().cloned()));
    found.extend(seen.findings(look.config));
    found.extend(host_findings(&host));
    found.extend(look.health(&seen).await);
    let heard = look.heard(found).await;
    let last_pass = look.last_pass().await;
    let report = look.report(host, &seen, &lines, guests, &heard).await;
    Gathered {
        report,
        seen,
        servers: lines,
        guards,
        heard,
        last_pass,
        status,
        trouble: look.trouble,
    }
}

/// One look at everything, under way.
struct Look<'a> {
    performer: &'a Performer,
    config: &'a Config,
    journal: Option<&'a Journal>,
    pve: &'a Pve,
    /// Whether the node answers us at all: one that does not is not asked for each part.
    reached: bool,
    /// The node's own time, by which ages of what it dated are told; ours where the token may not ask.
    node_now: i64,
    /// Our time when it was asked for that.
    began: i64,
    unknown: Vec<Unknown>,
    trouble: Option<Trouble>,
}

impl<'a> Look<'a> {
    fn new(performer: &'a Performer, journal: Option<&'a Journal>) -> Self {
        Self {
            performer,
            config: performer.config(),
            journal,
            pve: performer.remotes().of(Principal::Agent),
            reached: true,
            node_now: clock::now().secs(),
            began: clock::now().secs(),
            unknown: Vec::new(),
            trouble: None,
        }
    }

    fn unseen(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let (what, why) = (what.into(), why.into());
        if !self.unknown.iter().any(|one| one.what == what) {
            self.unknown.push(Unknown { what, why });
        }
    }

    fn unasked(&mut self, what: &str, error: Error) {
        self.unseen(what, observe::remote_error(&error).text);
        self.trouble.get_or_insert(Trouble::Node(error));
    }

    fn unread(&mut self, what: &str, error: JournalError) {
        self.unseen(what, error.to_string());
        self.trouble.get_or_insert(Trouble::Journal(error));
    }

    /// Whether the node answers, and how it is.
    async fn node(&mut self) -> Option<NodeStatus> {
        match self.pve.node_status().await {
            Ok(status) => {
                if let Ok(time) = self.pve.node_time().await {
                    (self.node_now, self.began) = (time.time, clock::now().secs());
                }
                Some(status)
            }
            Err(error) => {
                self.reached = observe::remote_error(&error).class.is_lasting();
                self.unasked("node", error);
                None
            }
        }
    }

    /// What is known of the host without the node.
    async fn host_unasked(&mut self) -> Host {
        let (temperatures, unknown) = match host::temperatures(&Fence::new(self.config)).await {
            Ok(told) => told,
            Err(why) => (Vec::new(), vec![why]),
        };
        for what in ["storages", "guests", "disks", "thin pools", "updates"] {
            self.unseen(what, "the node does not answer");
        }
        Host {
            node: host::nothing_but(&self.config.node),
            disks: Vec::new(),
            thin_pools: Vec::new(),
            temperatures,
            unknown,
        }
    }

    async fn servers(&mut self) -> Vec<Looked> {
        let remotes = self.performer.remotes();
        let look = if self.reached {
            ServerLook::begin(self.config, remotes, self.journal).await
        } else {
            ServerLook::apart(self.config, remotes, self.journal)
        };
        let looked = look.all().await;
        let looked = looked.map_err(|error| self.unread("servers", error));
        let looked = looked.unwrap_or_default();
        for one in &looked {
            if let Err(error) = &one.seen.listing {
                self.unseen(format!("server {}", one.seen.target.storage), &error.text);
            }
        }
        looked
    }

    async fn lines(&mut self, servers: &[Looked]) -> Vec<ServerLine> {
        let lines = servers::lines(self.config, self.journal, servers).await;
        let lines = lines.map_err(|error| self.unread("servers", error));
        lines.unwrap_or_default()
    }

    async fn guards(&mut self) -> Vec<(OpenGuard, GuardStanding)> {
        let Some(journal) = self.journal else {
            return Vec::new();
        };
        let open = match journal.guards().await {
            Ok(open) => open,
            Err(error) => {
                self.unread("guards", error);
                return Vec::new();
            }
        };
        if open.is_empty() {
            return Vec::new();
        }
        // Without the server's clocks nothing is proven, and that is what is shown.
        let now = match observe::clocks(self.pve).await {
            Ok(now) => now,
            Err(Asked(_)) => felhom_engine::Reading {
                ours: clock::now(),
                ..felhom_engine::Reading::default()
            },
        };
        let policy = &self.config.guard;
        let judge = |guard: OpenGuard| {
            let standing = guard_standing(&guard, policy, &now);
            (guard, standing)
        };
        open.into_iter().map(judge).collect()
    }

    /// What earlier jobs left.
    async fn remains(&mut self) -> Vec<Finding> {
        let Some(journal) = self.journal else {
            return Vec::new();
        };
        let remains = journal.remains().await;
        let remains = remains.map_err(|error| self.unread("journal", error));
        let remains = remains.unwrap_or_default().into_iter();
        remains.map(|one| one.finding).collect()
    }

    /// Jobs that nobody goes on with.
    async fn stuck(&mut self) -> Vec<Finding> {
        let Some(journal) = self.journal else {
            return Vec::new();
        };
        let found = stuck::findings(journal).await;
        let found = found.map_err(|error| self.unread("jobs", error));
        found.unwrap_or_default()
    }

    /// What did not reach a person.
    async fn undelivered(&mut self) -> Vec<Finding> {
        let Some(journal) = self.journal else {
            return Vec::new();
        };
        let found = notify::findings(self.config, journal).await;
        let found = found.map_err(|error| self.unread("notifications", error));
        found.unwrap_or_default()
    }

    /// What counts, gravest first, each once.
    async fn heard(&mut self, mut found: Vec<Finding>) -> Heard {
        let mut told = BTreeSet::new();
        found.retain(|one| told.insert((one.code.clone(), one.subject.clone())));
        found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        match heard::heard(self.journal, found.clone()).await {
            Ok(heard) => heard,
            Err(error) => {
                self.unread("suppressions", error);
                Heard {
                    loud: found,
                    quiet: Vec::new(),
                }
            }
        }
    }

    async fn guests(&mut self, seen: &Seen, servers: &[Looked]) -> (Vec<Guest>, Vec<Finding>) {
        if !self.reached {
            return (former::guests(self.journal, SILENT).await, Vec::new());
        }
        let archives = sight::archives(self.config, self.pve, seen).await;
        for (storage, why) in &archives.mute {
            self.unseen(format!("storage {storage}"), why);
        }
        let listed = match observe::guests(self.pve).await {
            Ok(listed) => listed,
            Err(error) => {
                self.unasked("guests", error);
                return (former::guests(self.journal, SILENT).await, Vec::new());
            }
        };
        let pools = match self.pools().await {
            Some(pools) => pools,
            // Who is meant is not known then: nothing begins and nothing is over.
            None if self.config.schedule.guests.names_pools() => {
                return (
                    former::guests(self.journal, "its pool is not known").await,
                    Vec::new(),
                );
            }
            None => BTreeMap::new(),
        };
        let made = self.made(&archives.found).await;
        let ahead = guests::from_future(&archives.found, self.node_now);
        let former = if archives.is_whole() {
            Vec::new()
        } else {
            former::last(self.journal).await
        };
        let look = guests::Looking::new(self, archives, former, made, servers, pools);
        let scratch = self.config.restore_test_policy.range();
        let listed = listed
            .iter()
            .filter(|(_, one)| !scratch.contains(&one.vmid));
        let (mut guests, mut found) = (Vec::new(), Vec::from_iter(ahead));
        let mut unseen = BTreeSet::new();
        for (kind, status) in listed {
            let (guest, findings, trouble) = look.at(*kind, status).await;
            if let Some(why) = trouble {
                self.unseen(format!("guest {}", guest.vmid), why);
                unseen.insert(guest.vmid);
            }
            guests.push(guest);
            found.extend(findings);
        }
        former::recall(self.journal, &mut guests, &unseen).await;
        if !guests.is_empty() && !guests.iter().any(|guest| guest.selected) {
            let selection = &self.config.schedule.guests;
            let detail =
                format!("`schedule.guests` is `{selection}`, and no guest is meant by that");
            let finding = Finding::new(codes::NOBODY_SELECTED, "schedule", detail);
            found.push(finding.hint("felhom-agent run --once --dry-run says why each is left out"));
        }
        (guests, found)
    }

    async fn report(
        &mut self,
        host: Host,
        seen: &Seen,
        servers: &[ServerLine],
        guests: Vec<Guest>,
        heard: &Heard,
    ) -> HostReport {
        let jobs = match self.journal {
            Some(journal) => {
                let jobs = journal.ended_jobs(JOBS).await;
                let jobs = jobs.map_err(|error| self.unread("jobs", error));
                jobs.unwrap_or_default()
            }
            None => Vec::new(),
        };
        let installation = self
            .journal
            .map(|journal| journal.installation().to_string());
        HostReport {
            installation: installation.unwrap_or_default(),
            sequence: 0,
            taken_s: clock::now().secs(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            node: host.node,
            storages: seen.all.iter().map(parts::storage).collect(),
            thin_pools: host.thin_pools,
            disks: host.disks,
            temperatures: host.temperatures,
            targets: seen.targets.all.iter().map(parts::target).collect(),
            servers: servers.iter().map(ServerLine::told).collect(),
            guests,
            findings: heard.loud.iter().map(parts::finding).collect(),
            suppressed: u64::try_from(heard.quiet.len()).unwrap_or(u64::MAX),
            jobs,
            unknown: std::mem::take(&mut self.unknown),
        }
    }

    /// How old things may become.
    fn limits(&self) -> PostureLimits {
        self.config.posture_limits()
    }

    /// The pools of guests, as far as the token sees them: a selection may name one.
    async fn pools(&mut self) -> Option<BTreeMap<u32, String>> {
        let resources = match self.pve.resources().await {
            Ok(resources) => resources,
            Err(error) => {
                let why = observe::remote_error(&error).text;
                self.unseen("guests", format!("their pools are not known: {why}"));
                return None;
            }
        };
        let pool =
            |one: felhom_proxmox::pve::cluster::Resource| Some((one.vmid?, one.pool?.to_string()));
        Some(resources.into_iter().filter_map(pool).collect())
    }

    /// What the journal knows of archives.
    async fn made(
        &mut self,
        archives: &[ArchiveFacts],
    ) -> BTreeMap<VolumeId, Tried<BackupVerdict>> {
        let Some(journal) = self.journal else {
            return BTreeMap::new();
        };
        let made = journal.backups_of(archives.iter().map(|one| &one.volid));
        let made = made.await.map_err(|error| self.unread("journal", error));
        made.unwrap_or_default()
    }

    async fn last_pass(&mut self) -> Option<LastPass> {
        let last = self.journal?.last_pass().await;
        let last = last.map_err(|error| self.unread("passes", error));
        last.ok().flatten()
    }
}
