//! Whether the root helper is there, answers us, and allows what our configuration names. Asks only what changes nothing.

use felhom_engine::{Finding, codes};
use felhom_host::{Code, Operation, Refusal};
use felhom_ids::{Upid, Vmid};
use serde::Serialize;

use crate::config::Config;
use crate::fence::{Fence, FenceError, INSTALL};
use crate::targets;

/// What does not work without it.
pub const WITHOUT: [&str; 4] = [
    "targets on removable disks (`storage adopt UUID=…`)",
    "golden containers with `keyctl` (`golden create`)",
    "releasing a restore that a power cut left locked",
    "sensors and block devices (`host sensors`, `host devices`)",
];

/// How the helper stands to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelperState {
    /// It answers, and allows what is configured.
    Works,
    /// It is not there.
    Absent,
    /// It does not answer to us.
    WrongUser,
    /// It does not understand us, or we do not understand it.
    OtherVersion,
    /// Its configuration is missing, cannot be trusted, or does not fit ours.
    NotConfigured,
    /// It does not answer.
    Silent,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Helper {
    /// How it stands.
    pub state: HelperState,
    /// What it said, or what does not fit.
    pub detail: Vec<String>,
}

/// Looks at it.
pub async fn look(config: &Config) -> Helper {
    let fence = Fence::new(config);
    let patience = targets::patience(config);
    // No sensors is an answer, too.
    let answered = fence.ask(Operation::ReadSensors {}, patience).await;
    if let Err(error) = &answered
        && let Some(state) = in_the_way(error)
    {
        return Helper {
            state,
            detail: vec![error.to_string()],
        };
    }
    let mut detail = Vec::new();
    if config.restore_tests {
        for operation in questions(config) {
            let what = operation.subject();
            match fence.ask(operation, patience).await {
                Err(FenceError::Refused(refusal)) if is_of_the_configuration(&refusal) => {
                    detail.push(format!("{what}: {refusal}"));
                }
                Ok(_) | Err(FenceError::Refused(_)) => {}
                Err(error) => detail.push(format!("{what}: {error}")),
            }
        }
    }
    detail.dedup();
    let state = if detail.is_empty() {
        HelperState::Works
    } else {
        HelperState::NotConfigured
    };
    Helper { state, detail }
}

/// What keeps it from doing anything for us.
fn in_the_way(error: &FenceError) -> Option<HelperState> {
    match error {
        FenceError::Absent(_) => Some(HelperState::Absent),
        FenceError::Lost(text) if text.contains("nothing that is known") => {
            Some(HelperState::OtherVersion)
        }
        FenceError::Lost(_) => Some(HelperState::Silent),
        FenceError::Refused(refusal) => match refusal.code {
            Code::NotAllowed => Some(HelperState::WrongUser),
            Code::Malformed => Some(HelperState::OtherVersion),
            Code::NotConfigured => Some(HelperState::NotConfigured),
            Code::TimedOut => Some(HelperState::Silent),
            Code::OutsideRange
            | Code::NotFound
            | Code::Exists
            | Code::Detached
            | Code::Wrong
            | Code::Unsuitable
            | Code::ReadOnly
            | Code::Full
            | Code::InUse
            | Code::NotProven
            | Code::Busy
            | Code::Failed => None,
        },
    }
}

/// Whose token it is, is a matter of proof for root: such a refusal names the file.
fn is_of_the_configuration(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::OutsideRange | Code::NotConfigured)
        || refusal.text.contains("scratch.tokens")
}

/// The release of a task that never was, at both ends of our scratch range: root refuses it in any case, and says first
/// whether range and token are its own.
fn questions(config: &Config) -> Vec<Operation> {
    let policy = &config.restore_test_policy;
    let token = &config.restore_test.token;
    let ask = |vmid: Vmid| {
        let text = format!(
            "UPID:{}:00000001:00000001:00000001:vzrestore:{vmid}:{token}:",
            config.node
        );
        let upid: Upid = text.parse().ok()?;
        Some(Operation::ReleaseUnfinishedRestore { vmid, upid })
    };
    [policy.first_vmid, policy.last_vmid]
        .into_iter()
        .filter_map(ask)
        .collect()
}

impl Helper {
    /// What a person should know. That it is not there is a finding only where something that is set up needs it.
    pub fn finding(&self, config: &Config, needed: Option<&str>) -> Option<Finding> {
        let subject = format!("root helper {}", config.host_socket.display());
        let told = self.detail.join("; ");
        let unusable = |hint: String| {
            Some(Finding::new(codes::ROOT_HELPER_UNUSABLE, &subject, &told).hint(hint))
        };
        match self.state {
            HelperState::Works => None,
            HelperState::Absent => {
                let detail = format!("{} cannot be used: {told}", needed?);
                Some(Finding::new(codes::ROOT_HELPER_ABSENT, subject, detail).hint(INSTALL))
            }
            HelperState::WrongUser => unusable(
                "`user` in /etc/felhom/hostd.toml names who may ask; run the agent as that user".to_owned(),
            ),
            HelperState::OtherVersion => {
                unusable("install felhom-agent and felhom-hostd of one version".to_owned())
            }
            HelperState::NotConfigured => unusable(
                "compare /etc/felhom/hostd.toml with what `felhom-agent host config` prints; root writes it".to_owned(),
            ),
            HelperState::Silent => unusable("systemctl status felhom-hostd; journalctl -u felhom-hostd".to_owned()),
        }
    }

    /// The same in a line or two.
    pub fn lines(&self) -> Vec<String> {
        match self.state {
            HelperState::Works => {
                vec!["ok   the root helper answers, and allows what is configured".to_owned()]
            }
            HelperState::Absent => vec![
                format!(
                    "--   no root helper: without it these do not work: {}",
                    WITHOUT.join("; ")
                ),
                format!("     to have it: {INSTALL}"),
            ],
            HelperState::WrongUser
            | HelperState::OtherVersion
            | HelperState::NotConfigured
            | HelperState::Silent => {
                vec![format!("BAD  the root helper: {}", self.detail.join("; "))]
            }
        }
    }
}
