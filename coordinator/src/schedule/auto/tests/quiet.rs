//! Quiet windows, also where clocks change.

use super::*;
use crate::schedule::parse;

const BERLIN: &str = "Europe/Berlin";

fn windows(texts: &[&str], zone: &str) -> QuietWindows {
    QuietWindows::parse(&texts.join("; "), parse::zone(zone).unwrap()).unwrap()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// The last moment before the windows around a time, and their end; `None` if the time is in none.
#[track_caller]
fn check(texts: &[&str], zone: &str, time: &str, around: Option<(&str, &str)>) {
    let quiet = windows(texts, zone);
    assert_eq!(quiet.contains(at(time)), around.is_some(), "{time} in {quiet}");
    if let Some((start, end)) = around {
        let is = (quiet.start(at(time)).unwrap(), quiet.end(at(time)));
        assert_eq!(is, (at(start), at(end)), "{time} in {quiet}");
        assert!(!quiet.contains(is.0) && !quiet.contains(is.1));
    }
}

#[test]
fn days_and_hours() {
    let week = ["Mon-Fri 08:00-18:00"];
    // A Monday, in winter: an hour before UTC.
    let around = Some(("2026-11-30T06:59:59Z", "2026-11-30T17:00:00Z"));
    check(&week, BERLIN, "2026-11-30T06:59:59Z", None);
    check(&week, BERLIN, "2026-11-30T07:00:00Z", around);
    check(&week, BERLIN, "2026-11-30T16:59:59.999Z", around);
    check(&week, BERLIN, "2026-11-30T17:00:00Z", None);
    check(&week, BERLIN, "2026-11-29T12:00:00Z", None);
    let weekend = ["sat,SUN 00:00-24:00", "Fri 18:00-24:00"];
    check(&weekend, "UTC", "2026-11-28T12:00:00Z", Some(("2026-11-27T17:59:59Z", "2026-11-30T00:00:00Z")));
    // Over midnight: the days are those of the beginning.
    let night = ["Sun 22:00-06:00"];
    check(&night, "UTC", "2026-11-30T05:59:59Z", Some(("2026-11-29T21:59:59Z", "2026-11-30T06:00:00Z")));
    check(&night, "UTC", "2026-11-30T22:00:00Z", None);
    check(
        &["22:00-6:00"],
        "UTC",
        "2026-11-30T22:00:00Z",
        Some(("2026-11-30T21:59:59Z", "2026-12-01T06:00:00Z")),
    );
}

#[test]
fn windows_follow_the_clocks() {
    let hours = ["08:00-18:00"];
    check(&hours, BERLIN, "2026-10-24T12:00:00Z", Some(("2026-10-24T05:59:59Z", "2026-10-24T16:00:00Z")));
    check(&hours, BERLIN, "2026-10-25T12:00:00Z", Some(("2026-10-25T06:59:59Z", "2026-10-25T17:00:00Z")));
    // 02:30 exists twice; the window ends at both, as clocks show it again.
    let twice = ["01:00-02:30"];
    check(&twice, BERLIN, "2026-10-25T00:00:00Z", Some(("2026-10-24T22:59:59Z", "2026-10-25T00:30:00Z")));
    let quiet = windows(&twice, BERLIN);
    assert!(!quiet.contains(at("2026-10-25T00:45:00Z")) && quiet.contains(at("2026-10-25T01:15:00Z")));
    assert_eq!(quiet.end(at("2026-10-25T01:15:00Z")), at("2026-10-25T01:30:00Z"));
    // 02:30 is skipped: the window ends as the clocks jump.
    check(&twice, BERLIN, "2027-03-28T00:30:00Z", Some(("2027-03-27T23:59:59Z", "2027-03-28T01:00:00Z")));
}

#[test]
fn mistakes_are_named() {
    let check = |text: &str, said: &str| {
        let wrong = QuietWindows::parse(text, parse::zone("UTC").unwrap()).unwrap_err().to_string();
        assert!(wrong.contains(said), "{wrong}");
    };
    check("Mo 08:00-18:00", "quiet window `Mo 08:00-18:00`: `Mo` is no day; days are Mon, Tue");
    check("Mon 8-18", "`8` is no time from 00:00 to 24:00; write it like `Mon-Fri 08:00-18:00`");
    check("Mon 08:00-24:01", "`24:01` is no time");
    check("Mon 08:00-08:00", "it has no length");
    check("Mon", "`Mon` is no range of hours");
    check("", "it takes days and hours");
    check("22:00-06:00;", "it takes days and hours");
    check("on Mon 08:00-18:00", "it takes days and hours");
    check("00:00-24:00", "leave no minute of the week");
    check("Mon-Sun 00:00-12:00; 12:00-00:00", "leave no minute of the week");
    check(&["00:00-01:00"; 33].join(";"), "there are 33 quiet windows");
}

#[test]
fn a_run_comes_before_a_quiet_window_or_after_it() {
    let quiet = windows(&["14:00-20:00"], "UTC");
    let bounds = Bounds { quiet, ..bounds() };
    let runs = runs(600);
    let decided = |now: f64, without_ttl: u64| {
        let previous = Some(4 * HOUR);
        let situation = Situation { previous, ..situation(now, sample(now, without_ttl), &runs) };
        let decision = next(&situation, &bounds);
        (minutes(&decision), decision.moved_by)
    };
    // Due at about four, it comes right before two.
    assert_eq!(decided(0.5, 100), (119, Some(Moved::BeforeQuiet)));
    assert_eq!(decided(2.5, 100), (480, Some(Moved::AfterQuiet)), "before is past");
    assert_eq!(decided(2.5, 90_000), (480, Some(Moved::AfterQuiet)), "however many are stale");
    assert_eq!(decided(8.0, 100), (233, None), "overdue, and the window has ended");
}
