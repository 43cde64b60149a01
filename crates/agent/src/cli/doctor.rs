//! `doctor`: whether the box lets the agent do what is configured, no less and no more, and what mends it.

mod pbs;

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::codes;
use felhom_engine::privileges::{Damage, Effect, Lack, Setting};
use felhom_engine::{Finding, Principal};
use felhom_ids::Vmid;
use serde_json::{Value, json};

use super::context::{Context, journal_failure, pve_failure};
use super::storage::{self, target};
use super::text::findings_text;
use crate::clock;
use crate::config::{Config, ConfigError, TrustConfig};
use crate::doctor::fence::{self, Helper};
use crate::doctor::pbs::{Look, Looked};
use crate::doctor::probe::{self, Asked};
use crate::doctor::reach::{self, Reach};
use crate::doctor::{Examined, examine};
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, Suppression};
use crate::notify;
use crate::output::size;
use crate::perform::Performer;
use crate::pins::{self, Learned};
use crate::remote::Remotes;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// Also ask the server for what must be refused. Nothing of it can be carried out: each request has a parameter that the
    /// server does not know, and is refused for that where it is not refused before.
    #[arg(long)]
    probe: bool,
    /// Also count what whoever steals each secret of this box could destroy today.
    #[arg(long)]
    blast_radius: bool,
}

/// What was asked for beyond the usual.
#[derive(Debug, Default)]
struct More {
    /// The backup servers of the configuration.
    servers: Vec<Looked>,
    /// The root helper.
    helper: Option<Helper>,
    /// Targets on removable disks.
    targets: Targets,
    probed: Option<Vec<Asked>>,
    reaches: Option<Vec<Reach>>,
    /// The channels on which somebody is told.
    channels: Vec<String>,
}

pub(super) async fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, Failure> {
    if is_unconfigured(context) {
        return Ok(unconfigured(context));
    }
    let performer = context.performer()?;
    let config = performer.config();
    let journal = context.read_journal(config).await?;
    let (guests, suppressions) = match &journal {
        Some(journal) => known(journal).await?,
        None => (BTreeSet::new(), Vec::new()),
    };
    let remotes = performer.remotes();
    let seen = storage::look_and_note(&performer, journal.as_ref()).await?;
    let mut examined = examine(config, remotes, journal.as_ref(), guests, &seen.all)
        .await
        .map_err(|error| pve_failure(&error))?;
    let look = Look::begin(config, remotes, journal.as_ref()).await;
    let servers = look.all().await.map_err(|error| journal_failure(&error))?;
    let found = &mut examined.findings;
    found.extend(servers.iter().flat_map(|one| one.findings.iter().cloned()));
    found.extend(next_pin(&performer).await);
    let helper = helper(config, &seen.targets, found).await;
    found.extend(undelivered(config, journal.as_ref()).await?);
    let (helper, targets) = (Some(helper), seen.targets);
    let channels = config.notify.channels.iter();
    let mut more = More {
        servers,
        helper,
        targets,
        channels: channels.map(|channel| channel.name.clone()).collect(),
        ..More::default()
    };
    more.ask(args, config, remotes, &mut examined).await?;
    examined
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let is_quiet = |finding: &&Finding| suppressions.iter().any(|one| one.covers(finding));
    let (quiet, loud): (Vec<&Finding>, Vec<&Finding>) =
        examined.findings.iter().partition(is_quiet);
    let mut data = data(&examined, &loud, &quiet, &suppressions);
    if let Value::Object(fields) = &mut data {
        fields.extend(more.fields());
    }
    context.printer.document("felhom.doctor", &data, || {
        let mut lines: Vec<String> = more.servers.iter().map(pbs::line).collect();
        lines.extend(more.helper.iter().flat_map(Helper::lines));
        lines.extend(more.targets.all.iter().map(target::line));
        lines.extend(more.untold());
        lines.push(text(&examined, &loud, &quiet, &suppressions));
        lines.extend(more.lines());
        lines.join("\n")
    });
    Ok(if loud.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    })
}

/// Notices that did not arrive, and are not tried any more.
async fn undelivered(config: &Config, journal: Option<&Journal>) -> Result<Vec<Finding>, Failure> {
    match journal {
        Some(journal) => notify::findings(config, journal)
            .await
            .map_err(|error| journal_failure(&error)),
        None => Ok(Vec::new()),
    }
}

/// The root helper, and what is wrong with it and with the targets.
async fn helper(config: &Config, targets: &Targets, findings: &mut Vec<Finding>) -> Helper {
    let helper = fence::look(config).await;
    let needed = (!targets.all.is_empty()).then_some("targets on removable disks");
    findings.extend(helper.finding(config, needed));
    findings.extend(targets.findings(config, clock::now()));
    helper
}

/// Prepares the pin of the certificate that the node shows next, and tells of it.
async fn next_pin(performer: &Performer) -> Option<Finding> {
    let config = performer.config();
    let TrustConfig::Fingerprint(pin) = &config.trust else {
        return None;
    };
    let pve = performer.remotes().of(Principal::Agent);
    let learned = pins::learn(&config.state_dir, pin, pve, true, clock::now()).await;
    let Ok(Learned::Next(next)) = learned else {
        return None;
    };
    let detail = format!(
        "{next} stands in the node's file and is shown from pveproxy's next start on; it was read over the pinned connection, \
         is prepared, and taken when the node shows exactly that"
    );
    let finding = Finding::new(codes::CERTIFICATE_CHANGES, "pinned certificate", detail);
    Some(finding.hint("nothing has to be done; `felhom-agent trust rotate` says how it stands"))
}

fn is_unconfigured(context: &Context) -> bool {
    match crate::config::load(&context.path) {
        Err(ConfigError::Read { source, .. }) => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn unconfigured(context: &Context) -> Exit {
    let path = context.path.display().to_string();
    let hint = "`felhom-agent enroll pve` makes users, roles and tokens and writes the configuration; or write it by hand \
                and run `felhom-agent config check`";
    let detail = "there is no such file, so nothing is backed up";
    let finding = Finding::new(
        codes::NOT_CONFIGURED,
        format!("configuration {path}"),
        detail,
    );
    let findings = vec![finding.hint(hint)];
    let data = json!({
        "findings": findings, "suppressed": [], "operations": [], "lacks": [], "sides_visible": false,
    });
    context.printer.document("felhom.doctor", &data, || {
        findings_text(&findings).join("\n")
    });
    Exit::Findings
}

async fn known(journal: &Journal) -> Result<(BTreeSet<Vmid>, Vec<Suppression>), Failure> {
    let backups = journal
        .backups(None)
        .await
        .map_err(|error| journal_failure(&error))?;
    let suppressions = journal
        .suppressions(clock::now())
        .await
        .map_err(|error| journal_failure(&error))?;
    let last: BTreeSet<_> = backups.iter().map(|row| row.report.vmid).collect();
    Ok((last, suppressions))
}

/// Every step of the table, and what becomes of it with what is held now.
fn operations(
    setting: &Setting,
    lacks: &[Lack],
) -> Vec<(&'static str, &'static str, &'static str)> {
    let steps: BTreeSet<_> = setting
        .needs()
        .map(|need| (need.operation, need.purpose.command()))
        .collect();
    let state = |step: &(&'static str, &'static str)| {
        let effects = lacks.iter().filter_map(|lack| lack.operations.get(step));
        match effects.min() {
            None => "works",
            Some(Effect::Fails | Effect::Optional) => "fails",
            Some(Effect::Blind) => "sees-less",
        }
    };
    steps
        .into_iter()
        .map(|step| (step.1, step.0, state(&step)))
        .collect()
}

fn data(
    examined: &Examined,
    loud: &[&Finding],
    quiet: &[&Finding],
    suppressions: &[Suppression],
) -> Value {
    let suppressed: Vec<Value> = quiet
        .iter()
        .map(|finding| {
            let by = suppressions.iter().find(|one| one.covers(finding));
            json!({ "finding": finding, "by": by })
        })
        .collect();
    let operations: Vec<Value> = operations(&examined.setting, &examined.lacks)
        .into_iter()
        .map(|(command, operation, state)| {
            json!({ "command": command, "operation": operation, "state": state })
        })
        .collect();
    json!({
        "findings": loud,
        "suppressed": suppressed,
        "operations": operations,
        "lacks": examined.lacks,
        "guests": examined.setting.guests,
        "sides_visible": examined.sees_grants,
    })
}

fn text(
    examined: &Examined,
    loud: &[&Finding],
    quiet: &[&Finding],
    suppressions: &[Suppression],
) -> String {
    let mut commands: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (command, operation, state) in operations(&examined.setting, &examined.lacks) {
        let bad = commands.entry(command).or_default();
        if state != "works" {
            bad.push(format!("{operation} {state}"));
        }
    }
    let mut lines = Vec::new();
    for (command, bad) in commands {
        lines.push(if bad.is_empty() {
            format!("ok   the rights for `{command}` suffice")
        } else {
            format!(
                "BAD  the rights for `{command}` do not suffice: {}",
                bad.join(", ")
            )
        });
    }
    if !examined.setting.restore_tests {
        lines.push(
            "--   restore tests are not set up: `felhom-agent enroll pve --abilities backup,restore-test`, or a section \
             [restore-test] in the configuration"
                .to_owned(),
        );
    }
    if !examined.sees_grants {
        lines.push(
            "     who holds what cannot be seen without Sys.Audit on /access: compare a command below with `pveum acl list` \
             before you run it, for it gives the user and the token the rights that both hold now, and what is missing"
                .to_owned(),
        );
    }
    for finding in loud {
        lines.push(String::new());
        lines.push(format!(
            "{}: {} [{}]",
            finding.severity, finding.subject, finding.code
        ));
        lines.push(format!("  {}", finding.detail));
        let hints = finding.hint.iter().flat_map(|hint| hint.lines());
        lines.extend(hints.map(|line| format!("    {line}")));
    }
    lines.extend(optional(&examined.lacks));
    if !quiet.is_empty() {
        lines.push(String::new());
    }
    for finding in quiet {
        let by = suppressions.iter().find(|one| one.covers(finding));
        let why = by.map_or("", |one| one.reason.as_str());
        let until = by.map_or_else(String::new, |one| one.until.date());
        lines.push(format!(
            "suppressed until {until} ({why}): {}: {} [{}]",
            finding.subject, finding.detail, finding.code
        ));
    }
    lines.join("\n")
}

/// What only a person asks for is no finding, but whoever wants it should know what to grant.
fn optional(lacks: &[Lack]) -> Vec<String> {
    let optional = lacks.iter().filter(|lack| lack.effect == Effect::Optional);
    optional
        .flat_map(|lack| {
            let head = format!(
                "for exercises only: principal {} on {}: {}",
                lack.principal,
                lack.path,
                lack.detail()
            );
            let mend = lack.mend.iter().map(|line| format!("    {line}"));
            [String::new(), head]
                .into_iter()
                .chain(mend)
                .collect::<Vec<_>>()
        })
        .collect()
}

impl More {
    /// What is asked for beyond the usual.
    async fn ask(
        &mut self,
        args: &DoctorArgs,
        config: &Config,
        remotes: &Remotes,
        examined: &mut Examined,
    ) -> Result<(), Failure> {
        if args.probe {
            let asked = probe::ask(config, remotes, &examined.setting).await;
            let asked = asked.map_err(|error| pve_failure(&error))?;
            examined.findings.extend(probe::findings(&asked));
            self.probed = Some(asked);
        }
        if args.blast_radius {
            let reaches = reach::of_every_secret(config, remotes).await;
            self.reaches = Some(reaches.map_err(|error| pve_failure(&error))?);
        }
        Ok(())
    }

    /// What is said where nobody is told.
    fn untold(&self) -> Option<String> {
        self.channels.is_empty().then(|| notify::UNTOLD.to_owned())
    }

    fn fields(&self) -> Vec<(String, Value)> {
        let mut fields = vec![("channels".to_owned(), json!(self.channels))];
        if let Some(all) = &self.probed {
            fields.push(("probed".to_owned(), json!(all)));
        }
        if let Some(all) = &self.reaches {
            fields.push(("blast_radius".to_owned(), json!(all)));
        }
        if let Some(helper) = &self.helper {
            fields.push(("root_helper".to_owned(), json!(helper)));
        }
        if !self.targets.all.is_empty() {
            fields.push(("targets".to_owned(), target::views(&self.targets)));
        }
        if !self.servers.is_empty() {
            let views: Vec<Value> = self.servers.iter().map(pbs::view).collect();
            fields.push(("backup_servers".to_owned(), json!(views)));
        }
        fields
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(asked) = &self.probed {
            let refused = asked.iter().filter(|one| one.answer == "refused").count();
            lines.push(String::new());
            lines.push(format!(
                "asked for what must be refused: {refused} of {} refused",
                asked.len()
            ));
            for one in asked.iter().filter(|one| one.answer != "refused") {
                let text = one.text.as_deref().unwrap_or_default();
                let (answer, principal, deed) = (one.answer, one.principal, &one.deed);
                lines.push(
                    format!("  {answer}: principal {principal}: {deed} {text}")
                        .trim_end()
                        .to_owned(),
                );
            }
        }
        for reach in self.reaches.iter().flatten() {
            lines.push(String::new());
            lines.push(format!(
                "whoever has the secret of principal {} ({}) could today",
                reach.principal, reach.token
            ));
            lines.extend(reach.damages.iter().map(damage));
            if reach.damages.is_empty() {
                lines.push("  destroy nothing that is counted here".to_owned());
            }
        }
        lines
    }
}

fn damage(damage: &Damage) -> String {
    let of = damage.subjects.join(", ");
    let size = damage
        .bytes
        .map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
    let note = damage
        .note
        .as_deref()
        .map_or_else(String::new, |note| format!("; {note}"));
    let by = damage
        .by
        .join(if damage.together { " and " } else { " or " });
    format!(
        "  {}: {} ({of}){size}{note} [{by}]",
        damage.deed, damage.count
    )
}
