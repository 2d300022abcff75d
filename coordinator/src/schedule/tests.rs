//! Due times, mainly where clocks and calendars are irregular.

use jiff::tz::TimeZoneDatabase;

use super::*;

const BERLIN: &str = "Europe/Berlin";

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// The times of `cron` in `timezone` after `from` and until `to`, as clocks there show them.
#[track_caller]
fn check(cron: &str, timezone: &str, (from, to): (&str, &str), expected: &[&str]) {
    let schedule = Schedule::parse(cron, timezone).unwrap();
    let times = schedule.next_times(at(from), 200).into_iter().take_while(|time| *time <= at(to));
    let shown =
        times.map(|time| time.to_zoned(schedule.zone.clone()).strftime("%a %d %H:%M %:z").to_string());
    assert_eq!(shown.collect::<Vec<_>>(), expected, "{cron}");
}

#[test]
fn the_default_schedule_in_utc() {
    let day = ("2026-11-24T06:00:00Z", "2026-11-25T06:00:00Z");
    let expected =
        ["Tue 24 12:00 +00:00", "Tue 24 18:00 +00:00", "Wed 25 00:00 +00:00", "Wed 25 06:00 +00:00"];
    check("0 */6 * * *", "UTC", day, &expected);
    check(" 0 0,6,12,18 * * * ", "UTC", day, &expected);
    check("0 */6 * * *", "UTC", ("2026-11-24T11:59:59.9Z", "2026-11-24T12:00:00Z"), &expected[..1]);
}

#[test]
fn names_and_nicknames() {
    let week = ("2026-11-22T12:00:00Z", "2026-11-30T00:00:00Z");
    check("0 7 * nov mon-Tue", "utc", week, &["Mon 23 07:00 +00:00", "Tue 24 07:00 +00:00"]);
    check("@WEEKLY", "UTC", week, &["Sun 29 00:00 +00:00"]);
    check("0 0 L * *", "UTC", week, &["Mon 30 00:00 +00:00"]);
    check("@midnight", BERLIN, (week.0, "2026-11-23T12:00:00Z"), &["Mon 23 00:00 +01:00"]);
}

/// At 02:00, clocks in Berlin jump to 03:00.
const SPRING: (&str, &str) = ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");

#[test]
fn a_skipped_time_is_due_when_the_clock_jumps_over_it() {
    let jump = "Sun 29 03:00 +02:00";
    check("30 2 * * *", BERLIN, SPRING, &[jump]);
    check("0 3 * * *", BERLIN, SPRING, &[jump]);
    check(
        "*/15 2,3 * * *",
        BERLIN,
        SPRING,
        &[jump, "Sun 29 03:15 +02:00", "Sun 29 03:30 +02:00", "Sun 29 03:45 +02:00"],
    );
    check("0 2,14 * * *", BERLIN, SPRING, &[jump, "Sun 29 14:00 +02:00"]);
    check("0 1 * * *", BERLIN, SPRING, &["Sun 29 01:00 +01:00"]);
    let every_six =
        ["Sun 29 06:00 +02:00", "Sun 29 12:00 +02:00", "Sun 29 18:00 +02:00", "Mon 30 00:00 +02:00"];
    check("0 */6 * * *", BERLIN, SPRING, &every_six);
    let hours = ["Sun 29 00:30 +01:00", "Sun 29 01:30 +01:00", "Sun 29 03:30 +02:00"];
    check("30 * * * *", BERLIN, (SPRING.0, "2026-03-29T02:00:00Z"), &hours);
}

/// At 03:00, clocks in Berlin go back to 02:00.
const AUTUMN: (&str, &str) = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");

#[test]
fn a_time_that_exists_twice_is_due_once() {
    check("30 2 * * *", BERLIN, AUTUMN, &["Sun 25 02:30 +02:00"]);
    check("0 3 * * *", BERLIN, AUTUMN, &["Sun 25 03:00 +01:00"]);
    check("*/30 2 * * *", BERLIN, AUTUMN, &["Sun 25 02:00 +02:00", "Sun 25 02:30 +02:00"]);
    check("0 2,14 * * *", BERLIN, AUTUMN, &["Sun 25 02:00 +02:00", "Sun 25 14:00 +01:00"]);
    let every_six =
        ["Sun 25 06:00 +01:00", "Sun 25 12:00 +01:00", "Sun 25 18:00 +01:00", "Mon 26 00:00 +01:00"];
    check("0 */6 * * *", BERLIN, AUTUMN, &every_six);
    // From the middle of either hour.
    check("30 2 * * *", BERLIN, ("2026-10-25T00:20:00Z", AUTUMN.1), &["Sun 25 02:30 +02:00"]);
    check("30 2 * * *", BERLIN, ("2026-10-25T01:20:00Z", AUTUMN.1), &[]);
    let hours = ["Sun 25 01:30 +02:00", "Sun 25 02:30 +02:00", "Sun 25 02:30 +01:00", "Sun 25 03:30 +01:00"];
    check("30 * * * *", BERLIN, ("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z"), &hours);
}

#[test]
fn a_leap_day_is_due_in_leap_years() {
    let schedule = Schedule::parse("0 0 29 2 *", "UTC").unwrap();
    let years = ["2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"].map(at);
    assert_eq!(schedule.next_times(at("2092-02-29T00:00:00Z"), 2), years);
}

#[test]
fn missed_times() {
    let check = |cron: &str, (last, now): (&str, &str), expected: Option<(u64, &str, &str)>| {
        let missed = Schedule::parse(cron, BERLIN).unwrap().missed(at(last), at(now));
        let expected =
            expected.map(|(count, first, last)| MissedTimes { count, first: at(first), last: at(last) });
        assert_eq!(missed, expected, "{cron} from {last} to {now}");
    };
    let day = ("2026-11-24T05:00:00Z", "2026-11-25T05:00:00Z");
    check("0 */6 * * *", day, Some((4, "2026-11-24T11:00:00Z", day.1)));
    check("0 7 * * *", ("2026-11-24T06:00:00Z", day.1), None);
    check("0 6 * * *", day, Some((1, day.1, day.1)));
    check("0 6 * * *", (day.1, day.0), None);
    let year = ("2025-11-24T05:00:00Z", "2026-11-24T05:00:30.5Z");
    check("* * * * *", year, Some((MISSED_TIMES_MAX, "2025-11-24T05:01:00Z", "2026-11-24T05:00:00Z")));
    check("* * * 1 *", year, Some((MISSED_TIMES_MAX, "2025-12-31T23:00:00Z", "2026-01-31T22:59:00Z")));
    // Late in the second of two hours with the same name, the last time was in the first.
    let autumn = ("2026-08-24T05:00:00Z", "2026-10-25T01:10:00Z");
    check("*/5 1,2 * * *", autumn, Some((MISSED_TIMES_MAX, "2026-08-24T23:00:00Z", "2026-10-25T00:55:00Z")));
}

#[test]
fn errors_name_the_field_and_its_values() {
    let check = |cron: &str, timezone: &str, expected: &str| {
        let message = Schedule::parse(cron, timezone).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
        assert!(message.contains("`0 */6 * * *`") || message.contains('@') || message.contains(BERLIN));
    };
    check("", "UTC", "schedule `` has 0 fields instead of five");
    check("0 0 */6 * * *", "UTC", "schedule `0 0 */6 * * *` has 6 fields instead of five");
    check("60 * * * *", "UTC", "schedule `60 * * * *`: `60` is no minute; it takes 0 to 59,");
    check("0 x * * *", "UTC", "schedule `0 x * * *`: `x` is no hour;");
    check("0 0 32 * *", "UTC", "schedule `0 0 32 * *`: `32` is no day of month;");
    check("0 0 * MON *", "UTC", "schedule `0 0 * MON *`: `MON` is no month;");
    check("0 0 * * JAN", "UTC", "schedule `0 0 * * JAN`: `JAN` is no day of week;");
    check("0/6 * * * *", "UTC", "schedule `0/6 * * * *`: `0/6` is no minute;");
    check("@fortnightly", "UTC", "schedule `@fortnightly` is not a cron nickname; use one of `@hourly`,");
    check("0 0 30 2 *", "UTC", "schedule `0 0 30 2 *` is never due");
    check("0 0 31 4,6,9,11 *", "UTC", "schedule `0 0 31 4,6,9,11 *` is never due");
    check("@daily", "Europe/Berln", "`Europe/Berln` is not a time zone; use an IANA name such as");
    check("@daily", "", "`` is not a time zone;");
}

#[test]
fn schedules_in_words() {
    let check = |cron: &str, expected: &str| {
        assert_eq!(Schedule::parse(cron, BERLIN).unwrap().describe(), expected);
    };
    check("30 2 * * *", "At 02:30, in Europe/Berlin");
    check("0 */6 * * *", "At minute 0, of every 6 hours, in Europe/Berlin");
    check("@monthly", "At 00:00, on day 1, in Europe/Berlin");
}

#[test]
fn time_zones_are_known_without_the_system() {
    let berlin = TimeZoneDatabase::bundled().get(BERLIN).unwrap();
    assert_eq!(berlin.to_offset(at("2026-07-01T00:00:00Z")).seconds(), 7_200);
}

#[test]
fn pauses_between_attempts() {
    let check = |base: u64, failures, expected| {
        assert_eq!(backoff(Duration::from_secs(base), failures), Duration::from_secs(expected));
    };
    check(30, 0, 0);
    check(30, 1, 30);
    check(30, 2, 60);
    check(30, 7, 1_920);
    check(30, 8, 3_600);
    check(30, u32::MAX, 3_600);
    check(7_200, 1, 3_600);
    check(0, 33, 0);
}
