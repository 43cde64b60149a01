//! Targets on removable disks: what the root helper says of them beside what is remembered. Translation, no decisions.

use std::path::Path;
use std::time::Duration;

use felhom_engine::storages::Attachment;
use felhom_engine::targets::{Takes, TargetLook, target_findings};
use felhom_engine::{Finding, Timestamp};
use felhom_host::{Code, Operation, Report, Standing, TargetReport, Written};
use felhom_ids::TargetName;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::fence::{self, Fence, FenceError};
use crate::journal::{Journal, JournalError, KnownTarget};

/// No look is noted more often than this.
const BETWEEN_NOTES: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A target, and all that is known of it.
#[derive(Debug, Clone)]
pub struct Target {
    /// What is remembered.
    pub known: KnownTarget,
    /// How it stands, in the engine's words.
    pub look: TargetLook,
    /// What root told; `None` when there was no report.
    pub report: Option<TargetReport>,
}

/// All targets.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Each with how it stands.
    pub all: Vec<Target>,
    /// Why nothing is known of any, when the helper is not there.
    pub absent: Option<String>,
}

/// How long a look may take: no longer than a request to the node.
pub fn patience(config: &Config) -> Duration {
    fence::LOOK.min(config.request_timeout)
}

/// Asks for the state of one target; one that hangs costs no more than the patience.
pub async fn probe(
    fence: &Fence,
    name: &TargetName,
    patience: Duration,
) -> Result<Report, FenceError> {
    let operation = Operation::ProbeUsb {
        name: name.clone(),
        write: false,
    };
    fence.ask(operation, patience).await
}

/// Looks at all targets at once.
pub async fn look(config: &Config, known: Vec<KnownTarget>) -> Targets {
    let (fence, patience) = (Fence::new(config), patience(config));
    let mut asked = JoinSet::new();
    for known in known {
        let fence = fence.clone();
        asked.spawn(async move {
            let answer = probe(&fence, &known.name, patience).await;
            (known, answer)
        });
    }
    let mut targets = Targets::default();
    while let Some(answered) = asked.join_next().await {
        // A task of ours that died says nothing of its target.
        let Ok((known, answer)) = answered else {
            continue;
        };
        if let Err(error @ FenceError::Absent(_)) = &answer {
            targets.absent = Some(error.to_string());
        }
        targets.all.push(Target::new(known, answer));
    }
    targets
        .all
        .sort_by(|one, other| one.known.name.cmp(&other.known.name));
    targets
}

impl Target {
    /// What is remembered, and what was answered.
    pub fn new(known: KnownTarget, answer: Result<Report, FenceError>) -> Self {
        let (standing, mounted, why, takes, report) = match answer {
            Ok(Report::Target(report)) => {
                let (standing, mounted) = standing(report.standing);
                let takes = takes(&report);
                (
                    standing,
                    mounted,
                    report.reason.clone(),
                    takes,
                    Some(*report),
                )
            }
            Ok(_) => {
                let why = "the root helper answered something else: it is of another version";
                (
                    Attachment::Unknown,
                    false,
                    Some(why.to_owned()),
                    Takes::Untold,
                    None,
                )
            }
            Err(error) => {
                let (standing, takes) = refused(&error);
                let mounted = takes != Takes::Untold;
                (standing, mounted, Some(error.to_string()), takes, None)
            }
        };
        let look = TargetLook {
            name: known.name.clone(),
            standing,
            mounted,
            why,
            takes,
            last_there: known.attached.unwrap_or(known.since),
            leaving: known.ejected.is_some() && !known.away,
        };
        Self {
            known,
            look,
            report,
        }
    }

    /// Whether a path lies on it.
    pub fn holds(&self, path: &str) -> bool {
        Path::new(path).starts_with(&self.known.mount_point)
    }

    /// What is to be remembered of it now; `None` where nothing new was learned.
    fn news(&self, now: Timestamp) -> Option<KnownTarget> {
        let mut news = self.known.clone();
        match self.look.standing {
            Attachment::Attached => {
                if news.away || (news.ejected.is_some() && self.look.mounted) {
                    // It went and came back, or somebody mounted it again: from now on it is missed again.
                    (news.ejected, news.away) = (None, false);
                }
                let due = news
                    .attached
                    .is_none_or(|last| now < last || now.since(last) >= BETWEEN_NOTES);
                if due {
                    news.attached = Some(now);
                }
            }
            Attachment::Detached => news.away = news.ejected.is_some(),
            Attachment::Wrong | Attachment::Unknown => {}
        }
        (news != self.known).then_some(news)
    }
}

impl Targets {
    /// What a person should know of them. That the helper is not there is no finding of each.
    pub fn findings(&self, config: &Config, now: Timestamp) -> Vec<Finding> {
        let away = DAY.saturating_mul(u32::from(config.away_days));
        let told =
            |target: &&Target| self.absent.is_none() || target.look.standing != Attachment::Unknown;
        self.all
            .iter()
            .filter(told)
            .flat_map(|target| target_findings(&target.look, away, now))
            .collect()
    }

    /// The target that a path lies on.
    pub fn of_path(&self, path: &str) -> Option<&Target> {
        self.all.iter().find(|target| target.holds(path))
    }
}

/// Notes what was seen. That it cannot be noted now is no trouble: the next look does.
pub async fn note(directory: &Path, targets: &[Target], now: Timestamp) {
    let news: Vec<_> = targets
        .iter()
        .filter_map(|target| Some((&target.known, target.news(now)?)))
        .collect();
    if news.is_empty() {
        return;
    }
    if let Err(error) = write(directory, &news).await {
        tracing::debug!(%error, "what was seen of the targets is not remembered");
    }
}

async fn write(directory: &Path, news: &[(&KnownTarget, KnownTarget)]) -> Result<(), JournalError> {
    let journal = Journal::read(directory).await?;
    for (former, target) in news {
        journal.note_target(former, target).await?;
    }
    Ok(())
}

fn standing(standing: Standing) -> (Attachment, bool) {
    match standing {
        Standing::Mounted => (Attachment::Attached, true),
        Standing::Present => (Attachment::Attached, false),
        Standing::Detached => (Attachment::Detached, false),
        Standing::Wrong => (Attachment::Wrong, false),
    }
}

fn takes(report: &TargetReport) -> Takes {
    match report.written {
        Written::ReadBack => Takes::Data,
        Written::Full => Takes::Full,
        Written::ReadOnly => Takes::ReadOnly,
        Written::Unasked
            if report
                .space
                .is_some_and(|(size, free)| size > 0 && free == 0) =>
        {
            Takes::Full
        }
        Written::Unasked => Takes::Untold,
    }
}

/// How a target stands of which root refused to say more.
fn refused(error: &FenceError) -> (Attachment, Takes) {
    let FenceError::Refused(refusal) = error else {
        return (Attachment::Unknown, Takes::Untold);
    };
    match refusal.code {
        Code::Detached => (Attachment::Detached, Takes::Untold),
        Code::Wrong => (Attachment::Wrong, Takes::Untold),
        Code::ReadOnly => (Attachment::Attached, Takes::ReadOnly),
        Code::Full => (Attachment::Attached, Takes::Full),
        Code::NotAllowed
        | Code::Malformed
        | Code::NotConfigured
        | Code::OutsideRange
        | Code::NotFound
        | Code::Exists
        | Code::Unsuitable
        | Code::InUse
        | Code::NotProven
        | Code::Busy
        | Code::Failed
        | Code::TimedOut => (Attachment::Unknown, Takes::Untold),
    }
}
