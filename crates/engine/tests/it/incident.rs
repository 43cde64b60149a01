//! Incidents: told once when they begin, once when they are over, under any history.

#![expect(
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "the arrays of a drawn moment are as long as its keys; a judge looks at everything in one place"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use felhom_engine::incident::*;
use felhom_engine::{Severity, Timestamp};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

const POLICY: NoticePolicy = NoticePolicy {
    at_least: Severity::Warning,
    remind_after: None,
    flap: HOUR,
};

fn at(hours: i64) -> Timestamp {
    Timestamp::from_secs(1_795_392_000 + hours * 3600)
}

fn condition(code: &str, subject: &str, severity: Severity) -> Condition {
    Condition {
        code: code.to_owned(),
        subject: subject.to_owned(),
        guest: subject
            .strip_prefix("guest ")
            .and_then(|number| number.parse().ok()),
        severity,
        headline: format!("{code} of {subject}"),
        detail: String::new(),
        remedy: None,
        explained: false,
    }
}

fn look(conditions: Vec<Condition>) -> Look {
    Look {
        conditions,
        ..Look::default()
    }
}

/// What a journal keeps of it.
#[derive(Default)]
struct Kept {
    open: Vec<Incident>,
    last: u64,
    told: Vec<(Event, u64, u32, String)>,
}

impl Kept {
    fn take(&mut self, look: &Look, now: Timestamp, policy: &NoticePolicy) -> Vec<Event> {
        let after = reconcile(self.open.clone(), self.last, look, now, policy);
        let events = after.notices.iter().map(|notice| notice.event).collect();
        for notice in &after.notices {
            let Incident {
                number, notices, ..
            } = notice.incident;
            self.last = self.last.max(number);
            let key = format!("{} {}", notice.incident.code, notice.incident.subject);
            self.told.push((notice.event, number, notices, key));
        }
        self.open = after.open;
        events
    }
}

fn storage(severity: Severity) -> Look {
    look(vec![condition("storage-fills", "storage local", severity)])
}

#[test]
fn a_condition_is_told_when_it_begins_and_when_it_is_over_and_never_between() {
    let mut kept = Kept::default();
    let warning = storage(Severity::Warning);
    assert_eq!(kept.take(&warning, at(0), &POLICY), [Event::Opened]);
    for hour in 1..100 {
        let mut again = warning.clone();
        again.conditions[0].detail = format!("{hour} percent");
        assert!(kept.take(&again, at(hour), &POLICY).is_empty());
    }
    assert_eq!(kept.open[0].detail, "99 percent");
    assert_eq!(
        kept.take(&Look::default(), at(100), &POLICY),
        [Event::Resolved]
    );
    assert!(kept.take(&Look::default(), at(101), &POLICY).is_empty());
    assert_eq!(kept.take(&warning, at(200), &POLICY), [Event::Opened]);
    assert_eq!(kept.open[0].number, 2);
}

#[test]
fn what_becomes_graver_is_told_once_more_and_what_swings_is_not() {
    let mut kept = Kept::default();
    let (warning, critical) = (storage(Severity::Warning), storage(Severity::Critical));
    assert_eq!(kept.take(&warning, at(0), &POLICY), [Event::Opened]);
    assert_eq!(kept.take(&critical, at(1), &POLICY), [Event::Worsened]);
    for hour in 2..10 {
        let swung = if hour % 2 == 0 { &warning } else { &critical };
        assert!(kept.take(swung, at(hour), &POLICY).is_empty());
    }
    // Less than what is heard of, and yet not over.
    assert!(
        kept.take(&storage(Severity::Notice), at(20), &POLICY)
            .is_empty()
    );
    assert_eq!(
        kept.take(&Look::default(), at(30), &POLICY),
        [Event::Resolved]
    );
}

#[test]
fn what_comes_back_soon_joins_its_incident() {
    let mut kept = Kept::default();
    let policy = NoticePolicy {
        flap: HOUR * 3,
        ..POLICY
    };
    let warning = storage(Severity::Warning);
    kept.take(&warning, at(0), &policy);
    for hour in 1..20 {
        let flapping = if hour % 2 == 0 {
            &warning
        } else {
            &Look::default()
        };
        assert!(kept.take(flapping, at(hour), &policy).is_empty());
    }
    assert!(kept.take(&Look::default(), at(20), &policy).is_empty());
    assert_eq!(
        kept.take(&Look::default(), at(21), &policy),
        [Event::Resolved]
    );
}

#[test]
fn what_could_not_be_looked_at_is_not_over() {
    let mut kept = Kept::default();
    kept.take(&storage(Severity::Critical), at(0), &POLICY);
    let mut blind = Look::default();
    blind.blind.to_subject("storage local");
    for hour in 1..50 {
        assert!(kept.take(&blind, at(hour), &POLICY).is_empty());
    }
    assert_eq!(kept.open.len(), 1);
    assert_eq!(
        kept.take(&Look::default(), at(50), &POLICY),
        [Event::Resolved]
    );
}

#[test]
fn what_somebody_accepted_ends_silently_and_is_heard_of_again_afterwards() {
    let mut kept = Kept::default();
    kept.take(&storage(Severity::Critical), at(0), &POLICY);
    let mut silenced = storage(Severity::Critical);
    silenced.silenced = vec![Silence {
        code: "storage-fills".into(),
        subject: None,
    }];
    assert!(kept.take(&silenced, at(1), &POLICY).is_empty());
    assert!(kept.open.is_empty());
    assert_eq!(
        kept.take(&storage(Severity::Critical), at(2), &POLICY),
        [Event::Opened]
    );
}

#[test]
fn only_what_is_critical_is_told_again_after_a_while() {
    let policy = NoticePolicy {
        remind_after: Some(DAY),
        ..POLICY
    };
    for (severity, expected) in [(Severity::Critical, 3), (Severity::Warning, 0)] {
        let mut kept = Kept::default();
        kept.take(&storage(severity), at(0), &policy);
        let reminders = (1..=80).flat_map(|hour| kept.take(&storage(severity), at(hour), &policy));
        assert_eq!(
            reminders.filter(|event| *event == Event::Reminder).count(),
            expected
        );
    }
}

#[test]
fn a_posture_is_told_by_its_reason_where_there_is_one() {
    let mut conditions = vec![
        condition("posture", "guest 101", Severity::Warning),
        condition("backup-failed", "guest 101", Severity::Critical),
        condition("posture", "guest 102", Severity::Critical),
        condition("proof-overdue", "guest 102", Severity::Warning),
        condition("posture", "guest 103", Severity::Warning),
        condition("backup-failed", "guest 10", Severity::Critical),
    ];
    mark_explained(&mut conditions);
    let explained: Vec<bool> = conditions.iter().map(|c| c.explained).collect();
    assert_eq!(explained, [true, false, false, false, false, false]);

    // It is the guest that counts, whatever the subject.
    let of_copies = |guest: u32| Condition {
        guest: felhom_ids::Vmid::new(guest).ok(),
        ..condition(
            "backup-verify-failed",
            "backups ct/101 on pbs",
            Severity::Critical,
        )
    };
    for (guest, expected) in [(101, true), (102, false)] {
        let posture = condition("posture", "guest 101", Severity::Warning);
        let mut copies = vec![posture, of_copies(guest)];
        mark_explained(&mut copies);
        assert_eq!(copies[0].explained, expected);
    }

    let mut kept = Kept::default();
    let both = look(conditions[..2].to_vec());
    assert_eq!(kept.take(&both, at(0), &POLICY), [Event::Opened]);
    // The reason is gone and the posture is not: that is news of its own.
    let left = look(vec![condition("posture", "guest 101", Severity::Warning)]);
    assert_eq!(
        kept.take(&left, at(2), &POLICY),
        [Event::Opened, Event::Resolved]
    );
    // A posture that was told stays open while another condition tells it.
    assert_eq!(kept.take(&both, at(4), &POLICY), [Event::Opened]);
    assert_eq!(kept.open.len(), 2);
}

#[test]
fn a_clock_that_was_ahead_keeps_nothing_open_for_ever() {
    let mut kept = Kept::default();
    kept.take(&storage(Severity::Critical), at(24 * 365), &POLICY);
    assert!(kept.take(&Look::default(), at(0), &POLICY).is_empty());
    assert_eq!(
        kept.take(&Look::default(), at(1), &POLICY),
        [Event::Resolved]
    );
}

const KEYS: [(&str, &str); 5] = [
    ("storage-fills", "storage local"),
    ("posture", "guest 101"),
    ("backup-failed", "guest 101"),
    ("posture", "guest 102"),
    ("clock-off", "node"),
];

/// One moment: how long after the last one, what is wrong, what is not seen, what is accepted, whether the program dies
/// before the journal has it.
#[derive(Debug, Clone)]
struct Moment {
    minutes: i64,
    wrong: [Option<Severity>; 5],
    blind: [bool; 5],
    silenced: [bool; 5],
    dies: bool,
}

fn moment() -> impl Strategy<Value = Moment> {
    let severity = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Severity::Notice)),
        2 => Just(Some(Severity::Warning)),
        2 => Just(Some(Severity::Critical)),
    ];
    let rarely = || proptest::array::uniform5(prop::bool::weighted(0.15));
    (
        -30_i64..600,
        proptest::array::uniform5(severity),
        rarely(),
        rarely(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(minutes, wrong, blind, silenced, dies)| Moment {
            minutes,
            wrong,
            blind,
            silenced,
            dies,
        })
}

impl Moment {
    fn look(&self) -> Look {
        let mut look = Look::default();
        for (index, (code, subject)) in KEYS.into_iter().enumerate() {
            // What cannot be seen is not there to be told.
            if self.blind[index] {
                look.blind.to_key(code, subject);
            } else if let Some(severity) = self.wrong[index] {
                look.conditions.push(condition(code, subject, severity));
            }
            if self.silenced[index] {
                look.silenced.push(Silence {
                    code: code.to_owned(),
                    subject: Some(subject.to_owned()),
                });
            }
        }
        mark_explained(&mut look.conditions);
        look
    }
}

/// What was told of one key, held against what may be.
#[derive(Default)]
struct Told {
    open: Option<(u64, Severity)>,
}

impl Told {
    fn hear(&mut self, notice: &Notice, present: bool) {
        let Incident {
            number, severity, ..
        } = notice.incident;
        match (notice.event, self.open) {
            (Event::Opened, None) => {
                assert!(present, "opened what is not there");
                self.open = Some((number, severity));
            }
            (Event::Worsened, Some((same, before))) => {
                assert!(present && same == number && severity > before);
                self.open = Some((number, severity));
            }
            (Event::Resolved, Some((same, _))) => {
                assert!(!present, "resolved what is there");
                assert_eq!(same, number);
                self.open = None;
            }
            (Event::Reminder, Some((same, Severity::Critical))) => {
                assert!(present && same == number);
            }
            (event, open) => panic!("{event:?} while {open:?}"),
        }
    }
}

fn judge(moments: &[Moment], policy: &NoticePolicy) {
    let (mut open, mut last, mut now) = (Vec::new(), 0, at(0));
    let mut told: BTreeMap<(String, String), Told> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for moment in moments {
        now = Timestamp::from_millis(now.millis() + moment.minutes * 60_000);
        let look = moment.look();
        let after = reconcile(Vec::clone(&open), last, &look, now, policy);
        if moment.dies {
            continue;
        }
        let key = |incident: &Incident| (incident.code.clone(), incident.subject.clone());
        for notice in &after.notices {
            let (code, subject) = key(&notice.incident);
            assert!(
                !look.blind.covers(&code, &subject),
                "told what was not seen"
            );
            assert!(
                !look.silenced.iter().any(|s| s.covers(&code, &subject)),
                "told what is accepted"
            );
            let mut here = look.conditions.iter();
            let present = here.any(|c| c.code == code && c.subject == subject);
            told.entry((code, subject))
                .or_default()
                .hear(notice, present);
            assert!(
                ids.insert((notice.incident.number, notice.incident.notices)),
                "a name given twice"
            );
            last = last.max(notice.incident.number);
        }
        for incident in &after.closed {
            told.entry(key(incident)).or_default().open = None;
        }
        for condition in &look.conditions {
            let (code, subject) = (&condition.code, &condition.subject);
            let heard = condition.severity >= policy.at_least && !condition.explained;
            let accepted = look.silenced.iter().any(|s| s.covers(code, subject));
            let is_open = after
                .open
                .iter()
                .any(|i| i.code == *code && i.subject == *subject);
            assert!(
                !heard || accepted || is_open,
                "{code} of {subject} is not open"
            );
        }
        let keys: BTreeSet<_> = after.open.iter().map(key).collect();
        assert_eq!(keys.len(), after.open.len(), "one incident a key");
        open = after.open;
    }
    // Everything heals, and is seen to: nothing stays open, and what was told as open is told as over.
    for _ in 0..2 {
        now = now.plus(policy.flap + HOUR);
        let after = reconcile(Vec::clone(&open), last, &Look::default(), now, policy);
        for notice in &after.notices {
            assert_eq!(notice.event, Event::Resolved);
            let key = (
                notice.incident.code.clone(),
                notice.incident.subject.clone(),
            );
            told.entry(key).or_default().hear(notice, false);
        }
        open = after.open;
    }
    assert!(open.is_empty());
    assert!(told.values().all(|told| told.open.is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_incident_is_told_exactly_once_under_any_history(
        moments in prop::collection::vec(moment(), 0..40),
        flap in 0_u64..8,
        remind in prop::option::of(1_u64..48),
    ) {
        let policy = NoticePolicy {
            flap: HOUR * u32::try_from(flap).unwrap(),
            remind_after: remind.map(|hours| HOUR * u32::try_from(hours).unwrap()),
            ..POLICY
        };
        judge(&moments, &policy);
    }
}
