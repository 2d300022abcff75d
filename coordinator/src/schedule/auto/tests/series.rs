//! Thirty simulated days of stale keys of each kind: how many runs there are, and how many keys wait for one, beside the
//! longest fixed interval that keeps as few waiting.

use super::*;
use crate::schedule::auto::simulate::{Arrivals, Simulated};

const DAYS: u64 = 30;

/// Counts of keys are taken, and arrivals given, this often.
const EVERY: Duration = Duration::from_secs(900);

const STEPS: u64 = DAYS * 96;

/// `rate` is how many arrive in an hour that is so many hours after the start.
fn arrivals(rate: impl Fn(f64) -> f64) -> Arrivals {
    let mut total = 0.0;
    let points = (0..=STEPS).map(|step| {
        let at = step as f64 / 4.0;
        let point = (hours(at), whole(total));
        total += rate(at) / 4.0;
        point
    });
    Arrivals(points.collect())
}

fn count(at: Timestamp, stale: u64) -> Option<KeyCount> {
    Some(KeyCount { at, keys: 1_000_000, without_ttl: 5_000 + stale, servers: 1 })
}

/// What is decided with a threshold of 1,500, if counts of keys are used, and if they are not.
fn simulate(arrivals: &Arrivals) -> [Simulated; 2] {
    let job = BoundedJob { name: "nightly", bounds: &bounds() };
    [arrivals.simulate(job, EVERY, count), arrivals.simulate(job, EVERY, |_, _| None)]
}

/// Runs with and without counts of keys, the most stale keys of each, and the runs of the longest fixed interval with as
/// few stale keys as with counts.
fn check(name: &str, arrivals: &Arrivals, runs: [usize; 2], most_stale: [u64; 2], fixed: u64) -> usize {
    let outcomes = simulate(arrivals);
    let best = arrivals.longest_fixed(outcomes[0].most_stale).unwrap();
    let is =
        (outcomes.each_ref().map(|o| o.runs.len()), outcomes.each_ref().map(|o| o.most_stale), best.runs);
    println!("{name}: {is:?}, {} by surplus, fixed {best:?}", outcomes[0].by_surplus);
    assert_eq!(is, (runs, most_stale, fixed), "{name}");
    outcomes[0].runs.len()
}

#[test]
fn nothing_arrives() {
    check("zero", &arrivals(|_| 0.0), [35, 35], [0, 0], 31);
}

#[test]
fn keys_that_no_run_has_come_for_count() {
    let [counted, _] = simulate(&Arrivals(vec![(noon(), 0), (hours(0.2), 700)]));
    assert_eq!((counted.runs.len(), counted.most_stale), (1, 700));
}

#[test]
fn as_many_in_each_hour() {
    check("constant", &arrivals(|_| 300.0), [160, 160], [1_404, 1_404], 155);
}

#[test]
fn bursts_of_two_hours_a_week() {
    let burst = |hour: f64| if hour % 168.0 >= 100.0 && hour % 168.0 < 102.0 { 3_000.0 } else { 0.5 };
    let runs = check("burst", &arrivals(burst), [178, 44], [1_957, 6_011], 1_108);
    assert!(runs * 2 <= 1_108);
}

#[test]
fn days_and_nights() {
    let day = |hour: f64| 200.0 * (1.0 - (hour / 24.0 * std::f64::consts::TAU).cos());
    check("diurnal", &arrivals(day), [140, 134], [1_587, 2_773], 178);
}

#[test]
fn a_leak_that_begins_and_grows() {
    let leak = |hour: f64| 2.0 + 4.0 * (hour - 480.0).max(0.0);
    let runs = check("leak", &arrivals(leak), [98, 64], [1_709, 7_172], 404);
    assert!(runs * 2 <= 404);
}

/// What is decided on 100 stale keys an hour, if servers count something else from the hour 200 on.
fn with_fault(fault: impl Fn(KeyCount) -> KeyCount) -> Simulated {
    let count = |at: Timestamp, stale| {
        let counted = count(at, stale)?;
        Some(if at < hours(200.0) { counted } else { fault(counted) })
    };
    arrivals(|_| 100.0).simulate(BoundedJob { name: "nightly", bounds: &bounds() }, EVERY, count)
}

#[test]
fn restarts_failovers_and_keys_of_others_start_no_runs() {
    let usual = with_fault(|counted| counted);
    let (runs, most_stale) = (usual.runs.len(), usual.most_stale);
    assert_eq!((runs, most_stale, usual.by_surplus), (59, 1_303, 0));
    let check = |name: &str, more_runs: usize, by_surplus: usize, fault: &dyn Fn(KeyCount) -> KeyCount| {
        let faulty = with_fault(fault);
        let is = (faulty.runs.len() - runs, faulty.by_surplus, faulty.most_stale);
        assert_eq!(is, (more_runs, by_surplus, most_stale), "{name}");
    };
    check("a restart", 0, 0, &|counted| KeyCount { servers: 2, ..counted });
    // A replica that lacks the last 3,000 keys of others.
    check("a failover", 0, 0, &|counted| KeyCount {
        servers: 2,
        without_ttl: counted.without_ttl - 3_000,
        ..counted
    });
    check("keys of others are gone", 0, 0, &|counted| KeyCount {
        without_ttl: counted.without_ttl - 5_000,
        ..counted
    });
    // One run finds out that the keys are not the job's.
    check("keys of others", 0, 1, &|counted| KeyCount {
        without_ttl: counted.without_ttl + 50_000,
        ..counted
    });
}
