//! A restore's plan and its end, for programs and for people.

use felhom_engine::{Job, RestoreEnd, RestoreRunJob, RestoreRunPlan, RestoreRunReport};
use felhom_ids::{GuestKind, Vmid};
use serde::Serialize;

use crate::cli::text::findings_text;
use crate::clock;
use crate::config::Config;
use crate::output::seconds;

/// What programs get of a plan.
#[derive(Serialize)]
pub(super) struct PlanView<'a> {
    /// Whether it may be carried out.
    may: bool,
    to: Vmid,
    plan: Option<RestoreRunPlan>,
    reasons: &'a [String],
    hints: &'a [String],
    /// What an admin types as root on the node after the restore.
    as_root: Vec<String>,
    /// What an admin types so that the token may do it, and afterwards may not.
    grants: Vec<String>,
}

impl<'a> PlanView<'a> {
    pub(super) fn new(restore: &'a RestoreRunJob, config: &Config) -> Self {
        let report = restore.report();
        let plan = restore.plan();
        Self {
            may: report.is_none(),
            to: restore.to(),
            plan: plan.map(RestoreRunPlan::told),
            reasons: report.map_or(&[], |report| &report.reasons),
            hints: report.map_or(&[], |report| &report.hints),
            as_root: plan.map(RestoreRunPlan::commands).unwrap_or_default(),
            grants: report.map_or_else(Vec::new, |report| grants(report, config)),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut lines = match &self.plan {
            Some(plan) => plan.lines(),
            None => self.reasons.to_vec(),
        };
        lines.extend(hints(self.hints, &self.grants));
        lines.join("\n")
    }
}

fn hints(hints: &[String], grants: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = hints.iter().map(|hint| format!("  hint: {hint}")).collect();
    if !grants.is_empty() {
        lines.push("  as root on the node, so that the token may, for this occasion:".to_owned());
        lines.extend(grants.iter().map(|line| format!("    {line}")));
    }
    lines
}

/// What programs get of a restore.
#[derive(Serialize)]
pub(super) struct RunView<'a> {
    job: &'a str,
    as_root: Vec<String>,
    grants: Vec<String>,
    #[serde(flatten)]
    report: &'a RestoreRunReport,
}

impl<'a> RunView<'a> {
    pub(super) fn new(job: &'a Job, report: &'a RestoreRunReport, config: &Config) -> Self {
        let plan = report.plan.as_ref();
        let there = matches!(report.end, RestoreEnd::Restored | RestoreEnd::Differs);
        Self {
            job: job.id.as_str(),
            as_root: plan
                .filter(|_| there)
                .map(RestoreRunPlan::commands)
                .unwrap_or_default(),
            grants: grants(report, config),
            report,
        }
    }

    pub(super) fn text(&self) -> String {
        let report = self.report;
        let mut lines = vec![headline(report)];
        lines.extend(report.reasons.iter().map(|reason| format!("  {reason}")));
        lines.extend(
            report
                .checks
                .iter()
                .map(|check| format!("  checked: {check}")),
        );
        match report.end {
            RestoreEnd::Restored | RestoreEnd::Differs => {
                lines.extend(self.there());
            }
            RestoreEnd::Failed if report.nothing_left => {
                lines.push("  nothing of it is left".to_owned());
            }
            RestoreEnd::Failed => {
                lines.push(format!("  something is left under {}", report.to));
            }
            RestoreEnd::Refused => lines.push("  nothing was made".to_owned()),
        }
        lines.extend(hints(&report.hints, &self.grants));
        lines.extend(findings_text(&report.findings));
        lines.join("\n")
    }

    /// What a person does next with a guest that is there.
    fn there(&self) -> Vec<String> {
        let report = self.report;
        let mut lines = Vec::new();
        if let Some(age) = report.data_age_s {
            lines.push(format!("  the data is {} old", clock::age(age)));
        }
        let plan = report.plan.iter();
        for missing in plan.flat_map(|plan| &plan.missing) {
            lines.push(format!("  not back: {}: {}", missing.key, missing.why));
        }
        let plan = report.plan.iter();
        let empty = plan.flat_map(|plan| {
            plan.volumes
                .iter()
                .filter(|volume| !volume.filled && !volume.generated)
        });
        for volume in empty {
            lines.push(format!("  empty: {} ({})", volume.key, volume.path));
        }
        if !self.as_root.is_empty() {
            lines.push("  to have it all back, as root on the node:".to_owned());
            lines.extend(self.as_root.iter().map(|line| format!("    {line}")));
        }
        if !report.started && report.end == RestoreEnd::Restored {
            let tool = report
                .plan
                .as_ref()
                .map_or(GuestKind::Lxc, |plan| plan.kind)
                .tool();
            lines.push(format!(
                "  it was not started; when it shall: {tool} start {}",
                report.to
            ));
        }
        lines
    }
}

fn headline(report: &RestoreRunReport) -> String {
    let (to, volid) = (report.to, &report.volid);
    match report.end {
        RestoreEnd::Restored => {
            let took = report.restore_ms.map(seconds);
            let took = took.map_or(String::new(), |took| format!(" in {took}"));
            let runs = if report.started { ", and runs" } else { "" };
            format!("guest {to} is back from {volid}{took}{runs}")
        }
        RestoreEnd::Differs => {
            format!("guest {to} is back from {volid}, and is not as planned; it was not started")
        }
        RestoreEnd::Refused => format!("{volid} was not restored to {to}"),
        RestoreEnd::Failed => format!("restoring {volid} to {to} failed"),
    }
}

/// Roles and grants for the occasion, on user and token, and taking them back; one role a path, made or made anew.
fn grants(report: &RestoreRunReport, config: &Config) -> Vec<String> {
    let principal = config.restore.as_ref().unwrap_or(&config.agent);
    let (user, token) = (principal.token.user(), &principal.token);
    let role = |path: &str| format!("FelhomRestore{}", path.replace('/', "-"));
    let acl = |verb: &str, path: &str| {
        let role = role(path);
        format!("pveum acl {verb} {path} --users {user} --tokens '{token}' --roles {role}")
    };
    let mut lines = Vec::new();
    for lacking in &report.lacking {
        let (role, privileges) = (role(&lacking.path), lacking.grant.join(","));
        lines.push(format!(
            "pveum role modify {role} --privs '{privileges}' || pveum role add {role} --privs '{privileges}'"
        ));
        lines.push(acl("modify", &lacking.path));
    }
    if !lines.is_empty() {
        lines.push("# and afterwards:".to_owned());
    }
    for lacking in &report.lacking {
        lines.push(acl("delete", &lacking.path));
        lines.push(format!("pveum role delete {}", role(&lacking.path)));
    }
    lines
}
