//! A year of passes over a model of a box, drawn at random: outages, changes of clocks, a disk that is full, targets that vanish,
//! guests that come and go. Whenever the model lets a window pass by undisturbed, what is due in it is done.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::*;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::pass::{facts, guest, schedule, volid};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// 2026-11-23, 00:00 UTC.
const BEGIN: i64 = 1_795_392_000;

/// The rule of Vienna.
fn zone() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

/// Numbers that follow from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ (mixed >> 31)) % limit).unwrap()
    }
}

/// A model of a box, and what may be asked of it.
struct Model {
    now: i64,
    guests: BTreeMap<u32, PassGuest>,
    /// When each guest was made.
    born: BTreeMap<u32, i64>,
    /// Until when the box is off.
    off_until: i64,
    /// Until when backups fail.
    away_until: i64,
    /// Until when restore tests end in errors.
    full_until: i64,
    /// Times in which something was wrong, and no promise holds.
    troubles: Vec<(i64, i64)>,
    next: u32,
    archives: i64,
    done: usize,
}

impl Model {
    fn new(guests: u32) -> Self {
        let mut model = Self {
            now: BEGIN,
            guests: BTreeMap::new(),
            born: BTreeMap::new(),
            off_until: 0,
            away_until: 0,
            full_until: 0,
            troubles: Vec::new(),
            next: 100,
            archives: 0,
            done: 0,
        };
        for _ in 0..guests {
            model.create();
        }
        model
    }

    fn create(&mut self) {
        let mut new = guest(self.next, 0, 0);
        (new.good, new.proofs, new.archive) = (vec![], vec![], None);
        self.guests.insert(self.next, new);
        self.born.insert(self.next, self.now);
        self.next += 1;
    }

    fn trouble(&mut self, hours: i64) -> i64 {
        let until = self.now + hours * HOUR;
        self.troubles.push((self.now, until));
        until
    }

    fn incident(&mut self, dice: &mut Dice) {
        match dice.below(8) {
            0 => self.off_until = self.trouble(1 + dice.below(40)),
            1 => self.away_until = self.trouble(1 + dice.below(60)),
            2 => self.full_until = self.trouble(1 + dice.below(60)),
            // More than fit into a night are a promise that nobody can keep.
            3 | 4 if self.guests.len() < 20 => self.create(),
            5 if self.guests.len() > 3 => {
                let gone = *self.guests.keys().next().unwrap();
                self.guests.remove(&gone);
            }
            _ => {}
        }
    }

    /// One pass; every job takes its time.
    fn pass(&mut self, schedule: &Schedule, zone: &TimeZone) {
        let mut begun = BTreeSet::new();
        for guest in self.guests.values_mut() {
            guest.fresh = None;
        }
        loop {
            let mut known = facts(self.now, self.guests.values().cloned().collect());
            known.begun.clone_from(&begun);
            let plan = plan_pass(schedule, &known, zone);
            self.every_guest_is_accounted_for(&plan);
            let Some(due) = plan.due.first() else { return };
            assert!(
                !begun.iter().any(|one: &Work| one.is_same(&due.work)),
                "twice: {due:?}"
            );
            begun.insert(due.work.clone());
            self.nothing_begins_outside_of_its_window(due, schedule, zone);
            self.perform(&due.work);
            self.done += 1;
        }
    }

    fn perform(&mut self, work: &Work) {
        self.now += if matches!(work, Work::Prune { .. }) {
            20
        } else {
            600
        };
        let at = Timestamp::from_secs(self.now);
        match work {
            Work::Backup { vmid } => {
                let away = self.now < self.away_until;
                self.archives += 1;
                let volid = volid(vmid.get(), self.archives);
                let guest = self.guests.get_mut(&vmid.get()).unwrap();
                if away {
                    guest.failed.push(at);
                } else {
                    guest.good.push(at);
                    guest.archive = Some(volid);
                    guest.fresh = Some("local".parse().unwrap());
                }
                keep(&mut guest.good);
                keep(&mut guest.failed);
            }
            Work::Prune { vmid, .. } => {
                let guest = self.guests.get_mut(&vmid.get()).unwrap();
                assert!(guest.fresh.take().is_some(), "pruned without a good backup");
            }
            Work::Proof { vmid, volid } => {
                let full = self.now < self.full_until;
                let guest = self.guests.get_mut(&vmid.get()).unwrap();
                if full {
                    guest.errors.push(at);
                } else {
                    guest
                        .proofs
                        .push((at, Verdict::Passed, volid.clone().unwrap()));
                }
                keep(&mut guest.errors);
                let many = guest.proofs.len().saturating_sub(20);
                guest.proofs.drain(..many);
            }
            Work::Verify { .. } => unreachable!(),
        }
    }

    fn every_guest_is_accounted_for(&self, plan: &PassPlan) {
        for vmid in self.guests.values().map(|guest| guest.vmid) {
            for work in [Work::Backup { vmid }, Work::Proof { vmid, volid: None }] {
                let due = plan
                    .due
                    .iter()
                    .filter(|due| due.work.is_same(&work))
                    .count();
                let left = plan
                    .left
                    .iter()
                    .filter(|left| left.work.is_same(&work))
                    .count();
                assert_eq!(due + left, 1, "{work:?}");
            }
        }
    }

    fn nothing_begins_outside_of_its_window(
        &self,
        due: &Due,
        schedule: &Schedule,
        zone: &TimeZone,
    ) {
        let window = match &due.work {
            Work::Backup { .. } => &schedule.backup,
            Work::Proof { .. } => &schedule.proof,
            Work::Prune { .. } | Work::Verify { .. } => return,
        };
        let open = window.at(Timestamp::from_secs(self.now), zone).is_some();
        assert!(
            open || due.reason.contains("waits for no window"),
            "{due:?}"
        );
    }

    /// The time since something was last done, or since the guest was made, without the troubles and a night after each.
    fn age(&self, vmid: u32, last: Option<Timestamp>) -> i64 {
        let since = last.map_or(self.born[&vmid], Timestamp::secs);
        let mut age = self.now - since;
        let mut counted = since;
        for (from, until) in &self.troubles {
            // A night after it the box has had its window again.
            let (from, until) = ((*from).max(counted), (*until + 30 * HOUR).min(self.now));
            if until > from {
                age -= until - from;
                counted = until;
            }
        }
        age
    }

    fn promises_hold(&self) {
        for (vmid, guest) in &self.guests {
            let backup = self.age(*vmid, guest.good.iter().max().copied());
            assert!(
                backup <= 30 * HOUR,
                "guest {vmid} at {}: {} h",
                self.now,
                backup / HOUR
            );
            let proof = guest.proofs.iter().map(|(at, ..)| *at).max();
            let proof = self.age(*vmid, proof);
            assert!(
                proof <= 8 * DAY + 6 * HOUR,
                "guest {vmid} at {}: {} h",
                self.now,
                proof / HOUR
            );
        }
    }
}

fn keep(times: &mut Vec<Timestamp>) {
    let many = times.len().saturating_sub(20);
    times.drain(..many);
}

fn year(seed: u64, guests: u32) -> usize {
    let mut dice = Dice(seed);
    let (schedule, zone) = (schedule(), zone());
    let mut model = Model::new(guests);
    while model.now < BEGIN + 366 * DAY {
        if dice.below(200) == 0 {
            model.incident(&mut dice);
        }
        if model.now >= model.off_until {
            model.pass(&schedule, &zone);
            model.promises_hold();
        }
        // The next call of the timer.
        model.now += HOUR - model.now.rem_euclid(HOUR);
    }
    model.done
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]
    #[test]
    fn a_year_keeps_its_promises_whenever_the_box_lets_it(seed in any::<u64>(), guests in 1_u32..12) {
        let done = year(seed, guests);
        prop_assert!(done > 300, "{done}");
    }
}

#[test]
fn planning_a_large_site_stays_within_its_time() {
    // Counted by `benches/plan.rs`; here only that a thousand guests are all accounted for.
    let guests = (0..1000).map(|n| guest(1000 + n, BEGIN - i64::from(n) * HOUR, BEGIN - DAY));
    let facts = facts(BEGIN + 2 * HOUR, guests.collect());
    let plan = plan_pass(&schedule(), &facts, &TimeZone::UTC);
    assert_eq!(plan.due.len() + plan.left.len(), 2000);
}
