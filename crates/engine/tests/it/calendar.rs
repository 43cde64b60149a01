//! Calendar events, by the examples of Proxmox's own tests and guide, through the changes of clocks, and drawn at random.

use std::time::Duration;

use felhom_engine::{CalendarEvent, TimeWindow, Timestamp};
use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

const DAY: i64 = 86_400;

fn event(text: &str) -> CalendarEvent {
    text.parse().unwrap()
}

fn zone() -> TimeZone {
    // The rule of Vienna, without the time zone data of whatever machine this runs on.
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn at(zone: &TimeZone, year: i16, month: i8, day: i8, hour: i8, minute: i8) -> Timestamp {
    let civil = date(year, month, day).at(hour, minute, 0, 0);
    Timestamp::from_secs(zone.to_timestamp(civil).unwrap().as_second())
}

/// `test/calendar_event_test.pl` of pve-common: seconds since 1970 and the next event, in UTC.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn the_examples_of_proxmox_own_test_come_out_the_same() {
    let table: &[(&str, &[(i64, i64)])] = &[
        ("*", &[(0, 60), (30, 60), (59, 60), (60, 120)]),
        ("*/10", &[(0, 600), (599, 600), (600, 1200), (3000, 3600)]),
        ("*/12:0", &[(10, 43_200), (13 * 3600, DAY)]),
        (
            "1/12:0/15",
            &[
                (0, 3600),
                (3600, 4500),
                (3600 + 960, 3600 + 1800),
                (3600 + 2700, 13 * 3600),
                (13 * 3600 + 1, 13 * 3600 + 900),
                (13 * 3600 + 2700, 25 * 3600),
            ],
        ),
        ("1,4,6", &[(0, 60), (60, 240), (300, 360), (360, 3660)]),
        (
            "Mon",
            &[(0, 4 * DAY), (4 * DAY, 11 * DAY), (11 * DAY, 18 * DAY)],
        ),
        (
            "sat..sun",
            &[(0, 2 * DAY), (2 * DAY, 3 * DAY), (3 * DAY, 9 * DAY)],
        ),
        ("22/1:0", &[(0, 79_200), (79_200, 82_800), (82_740, 82_800)]),
        ("*/2:*", &[(0, 60), (3600, 7200), (7200, 7260)]),
        (
            "20..22:*/30",
            &[(0, 72_000), (72_000, 73_800), (81_000, 158_400)],
        ),
        ("0,1,3..5", &[(0, 60), (60, 180), (300, 3600)]),
        ("2,4:0,1,3..5", &[(0, 7200), (7260, 7380), (7500, 14_400)]),
        ("0..3", &[]),
        ("23..23:0..3", &[]),
        ("sun..sat", &[(0, DAY)]),
        ("wed,mon..tue,fri", &[(0, DAY)]),
        ("mon */15", &[(0, 4 * DAY), (4 * DAY, 4 * DAY + 900)]),
        ("mon..fri UTC", &[(0, DAY)]),
    ];
    for (text, steps) in table {
        let event = event(text);
        for (last, next) in *steps {
            let found = event.next_after(Timestamp::from_secs(*last), &TimeZone::UTC);
            assert_eq!(
                found.map(Timestamp::secs),
                Some(*next),
                "`{text}` after {last}"
            );
        }
    }
    for wrong in [
        "Fri..Mon",
        "61",
        "*/61",
        "0..80",
        " mon 0 0 0",
        "",
        " mon 0 0",
    ] {
        assert!(wrong.parse::<CalendarEvent>().is_err(), "`{wrong}`");
    }
}

/// The table "Schedule Examples" of the administration guide, and what it says of each.
#[test]
fn the_examples_of_proxmox_guide_mean_what_it_says() {
    let same = [
        ("mon,tue,wed,thu,fri", "mon..fri"),
        ("*/5", "0/5"),
        ("mon..wed 30/10", "mon,tue,wed 30,40,50"),
        ("fri 12..13:5/20", "fri 12,13:5,25,45"),
        ("12,14,16,18,20,22:5", "12/2:5"),
        ("*", "*/1"),
        ("*-05", "*-*-5 00:00"),
        ("daily", "0:0"),
        ("hourly", "*:0"),
        ("weekly", "mon"),
        ("monthly", "*-*-01"),
        ("yearly", "*-01-01"),
        ("2..6:0", "2,3,4,5,6:0"),
        // Ours: the hyphen of older systemd between days.
        ("mon-wed,sat", "mon..wed,sat"),
    ];
    for (one, other) in same {
        let (one, other) = (event(one), event(other));
        let (mut left, mut right) = (Timestamp::from_secs(0), Timestamp::from_secs(0));
        for _ in 0..40 {
            left = one.next_after(left, &TimeZone::UTC).unwrap();
            right = other.next_after(right, &TimeZone::UTC).unwrap();
            assert_eq!(left, right, "{one} and {other}");
        }
    }
    let utc = TimeZone::UTC;
    let first_saturday = event("Sat *-1..7 15:00");
    let from = at(&utc, 2026, 11, 23, 0, 0);
    let next = first_saturday.next_after(from, &utc);
    assert_eq!(next, Some(at(&utc, 2026, 12, 5, 15, 0)));
    assert_eq!(event("2015-10-21").next_after(from, &utc), None);
    assert_eq!(event("*-02-30").next_after(from, &utc), None);
    let leap = event("*-02-29").next_after(from, &utc);
    assert_eq!(leap, Some(at(&utc, 2028, 2, 29, 0, 0)));
}

#[test]
fn what_a_person_mistypes_is_refused_with_the_reason() {
    for (text, why) in [
        ("caturday 02:30", "no day of the week"),
        ("25:00", "not between 0 and 23"),
        ("*/0", "not between 1 and 59"),
        ("9..3:0", "ends before it begins"),
        ("daily 02:00", "nothing can stand after"),
        ("12:", "no number"),
        ("1-2-3-4", "no date"),
        ("1:2:3:4", "no time"),
        ("*-13-1", "not between 1 and 12"),
        ("mon 3:00 4:00", "left over"),
        ("+5", "no number"),
    ] {
        let error = text.parse::<CalendarEvent>().unwrap_err().to_string();
        assert!(error.contains(why), "`{text}`: {error}");
    }
}

#[test]
fn a_time_that_does_not_exist_is_the_first_instant_after_the_gap_and_one_that_exists_twice_happens_once()
 {
    let zone = zone();
    let half_past_two = event("02:30");
    // 2027-03-28: 02:00 is 03:00.
    let before = at(&zone, 2027, 3, 28, 0, 0);
    let gap = half_past_two.next_after(before, &zone).unwrap();
    assert_eq!(gap, at(&zone, 2027, 3, 28, 3, 0));
    let after = half_past_two.next_after(gap, &zone).unwrap();
    assert_eq!(after, at(&zone, 2027, 3, 29, 2, 30));
    // 2027-10-31: 03:00 is 02:00 again.
    let before = at(&zone, 2027, 10, 31, 0, 0);
    let first = half_past_two.next_after(before, &zone).unwrap();
    assert_eq!(first.secs(), before.secs() + 9000);
    let second = half_past_two.next_after(first, &zone).unwrap();
    assert_eq!(second, at(&zone, 2027, 11, 1, 2, 30));
    // Asked from within the hour that is repeated.
    let within = Timestamp::from_secs(first.secs() + 3000);
    assert_eq!(half_past_two.next_after(within, &zone), Some(second));
}

#[test]
fn a_window_is_open_from_its_event_for_as_long_as_it_lasts() {
    let zone = zone();
    let window = TimeWindow {
        opens: vec![event("sat 02:30"), event("tue 23:00")],
        lasts: Duration::from_hours(8),
    };
    let opening = at(&zone, 2026, 11, 28, 2, 30);
    assert!(
        window
            .at(Timestamp::from_millis(opening.millis() - 1), &zone)
            .is_none()
    );
    let open = window.at(opening, &zone).unwrap();
    assert_eq!(
        (open.since, open.left(opening)),
        (opening, Duration::from_hours(8))
    );
    let last = Timestamp::from_millis(open.until.millis() - 1);
    assert_eq!(window.at(last, &zone), Some(open));
    assert!(window.at(open.until, &zone).is_none());
    let next = window.next(opening, &zone);
    assert_eq!(next, Some(at(&zone, 2026, 12, 1, 23, 0)));
    // On the night when an hour is missing it opens after the gap.
    let sunday = TimeWindow {
        opens: vec![event("sun 02:30")],
        lasts: Duration::from_hours(1),
    };
    assert!(sunday.at(at(&zone, 2027, 3, 28, 3, 59), &zone).is_some());
    assert!(sunday.at(at(&zone, 2027, 3, 28, 4, 0), &zone).is_none());
}

fn list(low: u16, high: u16) -> impl Strategy<Value = String> {
    let one = (low..=high, low..=high, 1..=high.max(2) / 2).prop_flat_map(move |(a, b, step)| {
        let (a, b) = (a.min(b), a.max(b));
        prop_oneof![
            Just(a.to_string()),
            Just(format!("{a}..{b}")),
            Just(format!("{a}/{step}")),
            Just(format!("{a}..{b}/{step}")),
            Just(format!("*/{step}")),
        ]
    });
    prop_oneof![
        1 => Just("*".to_owned()),
        3 => prop::collection::vec(one, 1..4).prop_map(|items| items.join(",")),
    ]
}

fn drawn() -> impl Strategy<Value = String> {
    let days = prop_oneof![
        Just(String::new()),
        Just("mon..thu ".into()),
        Just("sat,tue ".into())
    ];
    let date = prop_oneof![
        2 => Just(String::new()),
        1 => (list(1, 12), list(1, 28)).prop_map(|(month, day)| format!("{month}-{day} ")),
    ];
    (days, date, list(0, 23), list(0, 59))
        .prop_map(|(days, date, hours, minutes)| format!("{days}{date}{hours}:{minutes}"))
}

proptest! {
    #[test]
    fn every_event_prints_as_what_is_read_again_and_only_ever_goes_on(text in drawn(), from in 0_i64..4_000_000_000) {
        let event: CalendarEvent = text.parse().unwrap();
        prop_assert_eq!(&event, &event.to_string().parse::<CalendarEvent>().unwrap());
        let zone = zone();
        let from = Timestamp::from_secs(from);
        let Some(next) = event.next_after(from, &zone) else { return Ok(()) };
        prop_assert!(next > from);
        // Nothing lies between: from any instant between both the answer is the same.
        let between = Timestamp::from_secs(i64::midpoint(from.secs(), next.secs() - 1));
        prop_assert_eq!(event.next_after(between, &zone), Some(next));
        let window = TimeWindow { opens: vec![event], lasts: Duration::from_mins(10) };
        prop_assert!(window.at(next, &zone).is_some());
    }
}
