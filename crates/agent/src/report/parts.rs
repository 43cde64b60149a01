//! What is known, in the report's words. Translation, no decisions.

use felhom_engine::storages::Attachment;
use felhom_engine::{Finding, Posture, Severity};
use felhom_protocol::host as told;

use crate::storages::Observed;
use crate::targets::Target;

const DAY_S: u64 = 86_400;

pub(super) fn storage(one: &Observed) -> told::Storage {
    let status = one.status.as_ref().filter(|status| status.active);
    let usage = status.and_then(|status| {
        Some(told::Usage {
            total: status.total?,
            used: status.used?,
        })
    });
    let growth = one.look.samples.growth();
    let full_in = growth.and_then(|growth| growth.full_in);
    let kind = one.config.as_ref().map(|config| config.kind.clone());
    told::Storage {
        id: one.look.id.to_string(),
        kind: kind.unwrap_or_else(|| "unknown".to_owned()),
        state: attachment(one.state()),
        usage,
        full_in_days: full_in.map(|left| left.as_secs() / DAY_S),
    }
}

pub(super) fn target(one: &Target) -> told::Target {
    let attached = one.known.attached.map(felhom_engine::Timestamp::secs);
    told::Target {
        name: one.known.name.to_string(),
        state: attachment(one.look.standing),
        why: one.look.why.clone(),
        last_there_s: attached,
    }
}

fn attachment(state: Attachment) -> told::Attachment {
    match state {
        Attachment::Attached => told::Attachment::Attached,
        Attachment::Detached => told::Attachment::Detached,
        Attachment::Wrong => told::Attachment::Wrong,
        Attachment::Unknown => told::Attachment::Unknown,
    }
}

pub(super) fn posture(posture: Posture) -> told::Posture {
    match posture {
        Posture::Protected => told::Posture::Protected,
        Posture::Attention => told::Posture::Attention,
        Posture::Unprotected => told::Posture::Unprotected,
        Posture::Unknown => told::Posture::Unknown,
    }
}

pub(crate) fn finding(one: &Finding) -> told::Finding {
    told::Finding {
        severity: match one.severity {
            Severity::Notice => told::Severity::Notice,
            Severity::Warning => told::Severity::Warning,
            Severity::Critical => told::Severity::Critical,
        },
        code: one.code.clone(),
        subject: one.subject.clone(),
        detail: one.detail.clone(),
        remedy: one.hint.clone(),
    }
}
