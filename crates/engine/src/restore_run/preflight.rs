//! What must hold before a guest is restored.

use crate::outcome::ErrorClass;
use crate::restore_run::plan::{Lacking, RestoreRunPlan, plan_restore_run};
use crate::restore_run::records::RestoreRunRequest;
use crate::restore_run::space;
use crate::restore_run::subject::RestoreSubject;
use crate::step::Guard;

pub(super) enum Preflight {
    Go {
        plan: Box<RestoreRunPlan>,
        guard: Option<Guard>,
    },
    Stop {
        reasons: Vec<String>,
        hints: Vec<String>,
        lacking: Vec<Lacking>,
        trouble: Option<ErrorClass>,
        plan: Option<Box<RestoreRunPlan>>,
    },
}

pub(super) fn check(request: &RestoreRunRequest, subject: &RestoreSubject) -> Preflight {
    let stop = |reason: String, hint: &str, trouble| Preflight::Stop {
        reasons: vec![reason],
        hints: vec![hint.to_owned()],
        lacking: Vec::new(),
        trouble,
        plan: None,
    };
    if subject.archive.is_none() {
        let reason = format!(
            "`{}` is not on the storage, or hidden from the token",
            request.volid
        );
        let hint = "`felhom-agent backup list` shows what there is";
        return stop(reason, hint, Some(ErrorClass::NotFound));
    }
    if let Some(error) = &subject.config_error {
        let reason = format!(
            "the configuration in the archive cannot be read: {}",
            error.text
        );
        let hint = "reading it needs VM.Backup on the guest it is of, and Datastore.AllocateSpace on its storage";
        let mut stop = stop(reason, hint, Some(error.class));
        if let Preflight::Stop { lacking, .. } = &mut stop {
            // What is asked for before anything is known of the guest.
            *lacking = plan_restore_run(request, subject).lacking;
        }
        return stop;
    }
    let plan = plan_restore_run(request, subject);
    if plan.refused.is_empty() {
        let guard = space::guard(&plan, subject, &request.policy);
        return Preflight::Go {
            plan: Box::new(plan),
            guard,
        };
    }
    let mut hints: Vec<String> = Vec::new();
    for hint in plan
        .refused
        .iter()
        .filter_map(|refusal| refusal.hint.clone())
    {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    // Only rights are missing: then it is a matter of permission.
    let only_rights = plan.refused.len() == plan.lacking.len();
    Preflight::Stop {
        reasons: plan
            .refused
            .iter()
            .map(|refusal| refusal.what.clone())
            .collect(),
        hints,
        lacking: plan.lacking.clone(),
        trouble: only_rights.then_some(ErrorClass::Forbidden),
        plan: Some(Box::new(plan)),
    }
}
