//! What else goes wrong around a crash.

use felhom_ids::GuestKind;
use felhom_simulator::FaultKind;

use crate::scene::Subject;

/// What else goes wrong, once, after the restart.
fn faults() -> Vec<(&'static str, Option<FaultKind>, bool)> {
    // (name, kind, whether it hits a task instead of a request)
    vec![
        ("none", None, false),
        ("refuse", Some(FaultKind::Refuse), false),
        ("stall", Some(FaultKind::Stall), false),
        ("cut answer", Some(FaultKind::CutAnswer), false),
        ("delay", Some(FaultKind::Delay { seconds: 20.0 }), false),
        (
            "596",
            Some(FaultKind::Status {
                code: 596,
                text: "Connection timed out".into(),
            }),
            false,
        ),
        ("html", Some(FaultKind::Html), false),
        ("garbage", Some(FaultKind::Garbage), false),
        ("truncated", Some(FaultKind::Truncated), false),
        (
            "task fails",
            Some(FaultKind::TaskFail {
                text: "simulated".into(),
            }),
            true,
        ),
        (
            "task warns",
            Some(FaultKind::TaskWarn {
                text: "simulated".into(),
            }),
            true,
        ),
    ]
}

/// Virtual machines go the same ways through the client: for them, one fault of each sort that is looked into differently.
pub(super) fn faults_for(subject: Subject) -> Vec<(&'static str, Option<FaultKind>, bool)> {
    let mut faults = faults();
    if subject.kind() == GuestKind::Qemu {
        let kept = ["none", "cut answer", "596", "task fails", "task warns"];
        faults.retain(|(name, ..)| kept.contains(name));
    }
    faults
}
