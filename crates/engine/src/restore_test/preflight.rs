//! What must hold before a copy is made: the box can bear it, the bridge is isolated, nothing in the archive reaches the host.

use std::time::Duration;

use felhom_ids::Vmid;

use crate::headroom::headroom;
use crate::judgement::Judgement;
use crate::mark::Mark;
use crate::outcome::ErrorClass;
use crate::restore_test::plan::{RestorePlan, plan_restore};
use crate::restore_test::{RestoreTestRequest, judge};
use crate::step::Guard;
use crate::world::TestSubject;

/// How long to wait between two looks.
pub(super) const WAIT_STEP: Duration = Duration::from_millis(500);

pub(super) enum Preflight {
    Go {
        plan: RestorePlan,
        guard: Option<Guard>,
        report: Vec<String>,
    },
    Wait(String),
    Stop {
        judgement: Judgement,
        trouble: Option<ErrorClass>,
        plan: Option<RestorePlan>,
    },
}

pub(super) fn check(request: &RestoreTestRequest, subject: &TestSubject) -> Preflight {
    let stop = |judgement, trouble| Preflight::Stop {
        judgement,
        trouble,
        plan: None,
    };
    if subject.archive.is_none() {
        let text = format!(
            "`{}` is not on the storage, or hidden from the token",
            request.volid
        );
        return stop(Judgement::error(text), Some(ErrorClass::NotFound));
    }
    if let Some(error) = &subject.config_error {
        // The archive is there and may be read, but what is in it cannot be: that may be a statement about the backup.
        return if error.class == ErrorClass::Refused {
            stop(judge::unreadable(&error.text), None)
        } else {
            stop(Judgement::error(error.text.clone()), Some(error.class))
        };
    }
    if let Some(upid) = &subject.node.vzdump_running {
        return Preflight::Wait(format!("a vzdump runs on the node (`{upid}`)"));
    }
    let Some(vmid) = subject
        .free_vmids
        .iter()
        .find(|vmid| !request.leased.contains(vmid))
    else {
        let policy = &request.policy;
        let text = format!(
            "no VMID is free in {} to {}",
            policy.first_vmid, policy.last_vmid
        );
        return stop(Judgement::error(text), Some(ErrorClass::Refused));
    };
    decide(request, subject, *vmid)
}

fn decide(request: &RestoreTestRequest, subject: &TestSubject, vmid: Vmid) -> Preflight {
    let mark = Mark {
        installation: request.installation.clone(),
        job: request.job.clone(),
        vmid,
    };
    let plan = plan_restore(
        &request.volid,
        &subject.archived,
        vmid,
        &request.policy,
        mark,
        request.nonce,
    );
    // Where volumes take their whole size at once, what is in them does not matter.
    let kind = subject.archived.kind;
    let thick = subject
        .target
        .as_ref()
        .is_some_and(|target| target.is_thick(kind));
    let growth = worst_case(&plan, request.content_bytes.filter(|_| !thick));
    let room = headroom(subject, &request.policy.floors, growth, plan.memory_mib);

    let mut reasons: Vec<String> = plan
        .refused
        .iter()
        .map(|refusal| refusal.what.clone())
        .collect();
    reasons.extend(box_reasons(request, subject));
    reasons.extend(
        room.shortages
            .iter()
            .map(|shortage| shortage.detail.clone()),
    );
    if let Some(first) = reasons.first() {
        let mut judgement = Judgement::error(first.clone());
        judgement.reasons = reasons;
        return Preflight::Stop {
            judgement,
            trouble: None,
            plan: Some(plan),
        };
    }
    let mut report = plan.lines();
    report.extend(room.report.iter().map(|line| format!("  {line}")));
    Preflight::Go {
        plan,
        guard: room.guard,
        report,
    }
}

/// How far the copy can grow: a volume's whole size where the content is unknown; else the content, a quarter more for what
/// the file system and a short boot add, and 32 MiB a volume for an empty file system.
fn worst_case(plan: &RestorePlan, content: Option<u64>) -> u64 {
    let volumes = plan.volume_bytes();
    let empty = 32_u64
        .saturating_mul(1 << 20)
        .saturating_mul(u64::try_from(plan.mounts.len()).unwrap_or(1));
    content.map_or(volumes, |bytes| {
        bytes
            .saturating_add(bytes / 4)
            .saturating_add(empty)
            .min(volumes)
    })
}

fn box_reasons(request: &RestoreTestRequest, subject: &TestSubject) -> Vec<String> {
    let policy = &request.policy;
    let mut reasons = Vec::new();
    if subject.node.cluster_nodes != 1 {
        reasons.push(format!(
            "the cluster has {} nodes; only single nodes are supported",
            subject.node.cluster_nodes
        ));
    }
    for (path, privilege) in &subject.missing_privileges {
        reasons.push(format!(
            "the restore-test token lacks {privilege} on {path}"
        ));
    }
    match &subject.bridge {
        None => reasons.push(format!(
            "bridge `{}` is not there, or hidden from the token",
            policy.bridge
        )),
        Some(bridge) => {
            if !bridge.ports.is_empty() {
                reasons.push(format!(
                    "bridge `{}` is not isolated: port {}",
                    bridge.name,
                    bridge.ports.join(", ")
                ));
            }
            if !bridge.addresses.is_empty() {
                let addresses = bridge.addresses.join(", ");
                reasons.push(format!(
                    "bridge `{}` is not isolated: the host has {addresses} on it",
                    bridge.name
                ));
            }
        }
    }
    if subject.pool.is_none() {
        reasons.push(format!(
            "pool `{}` is not there, or hidden from the restore-test token",
            policy.pool
        ));
    }
    if let Some(target) = &subject.target {
        if !target.active {
            reasons.push(format!("storage `{}` is not active", target.id));
        }
        if !target.content.contains("rootdir") {
            reasons.push(format!(
                "storage `{}` does not take containers (content `rootdir` is missing)",
                target.id
            ));
        }
    }
    reasons
}
