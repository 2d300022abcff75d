//! Decisions on made-up pasts: each law, each bound, each reason to hold.

mod memory;
mod properties;
mod quiet;
mod series;

use jiff::SignedDuration;

use super::interval::Limit;
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn noon() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn hours(number: f64) -> Timestamp {
    noon() + SignedDuration::from_secs_f64(number * 3_600.0)
}

fn bounds() -> Bounds {
    Bounds {
        min_interval: Duration::from_secs(900),
        max_interval: 24 * HOUR,
        max_stale: Some(1_500),
        run_cost: None,
        quiet: QuietWindows::none(),
    }
}

/// A count of keys `at` hours after noon.
fn sample(at: f64, without_ttl: u64) -> KeyCount {
    KeyCount { at: hours(at), keys: 1_000_000, without_ttl, servers: 1 }
}

/// A run `at` hours after noon that found all of `found` keys, as the counts of keys show, and left 100 of others.
fn run(at: f64, found: u64) -> PastRun {
    PastRun {
        started: hours(at),
        ended: hours(at),
        lesson: Lesson::Found(found),
        before: Some(sample(at, 100 + found)),
        after: Some(sample(at, 100)),
        usage_after: Some(60.0),
    }
}

/// Four runs, two hours apart, the last one at noon, that found `found` each.
fn runs(found: u64) -> Vec<PastRun> {
    [-6.0, -4.0, -2.0, 0.0].map(|at| run(at, found)).to_vec()
}

fn situation<'a>(now: f64, latest: KeyCount, runs: &'a [PastRun]) -> Situation<'a> {
    Situation {
        now: hours(now),
        job: "nightly",
        latest: Some(latest),
        runs,
        previous: Some(2 * HOUR),
        memory: None,
        next_look: Duration::from_secs(60),
    }
}

fn minutes(decision: &Decision) -> i64 {
    decision.at.duration_since(noon()).as_mins()
}

#[test]
fn a_job_without_runs_is_due_at_once() {
    let decision = next(&situation(1.2, sample(0.5, 100), &[]), &bounds());
    assert_eq!((decision.law, minutes(&decision)), (Law::First, 60), "as all services see it");
    let unknown = Situation { latest: None, ..situation(1.1, sample(0.0, 0), &[]) };
    assert_eq!(next(&unknown, &bounds()).at, decision.at);
    assert!(explain::sentence(&decision, hours(1.2)).starts_with("run now: there is no run to learn from"));
}

#[test]
fn a_surplus_at_the_threshold_is_due() {
    let runs = runs(1_200);
    let check = |now: f64, without_ttl: u64, expected: (Law, i64)| {
        let decision = next(&situation(now, sample(now, without_ttl), &runs), &bounds());
        assert_eq!((decision.law, minutes(&decision)), expected, "{now}, {without_ttl}");
    };
    // Two hours, less the jitter of this job.
    check(1.0, 1_599, (Law::Growth, 116));
    check(1.0, 1_600, (Law::Surplus, 60));
    check(1.0, 90_000, (Law::Surplus, 60));
    // Not before the shortest interval.
    check(0.1, 90_000, (Law::Surplus, 15));
    let decision = next(&situation(1.0, sample(1.0, 1_820), &runs), &bounds());
    let said = explain::sentence(&decision, hours(1.0));
    assert!(
        said.starts_with("run now: 1,720 stale by the keys without TTL (threshold 1,500); growth 10.0/min"),
        "{said}"
    );
}

#[test]
fn the_surplus_is_not_used_where_it_may_be_wrong() {
    let check = |runs: &[PastRun], latest: KeyCount, hold: Hold| {
        let decision = next(&situation(1.0, latest, runs), &bounds());
        assert_eq!((decision.surplus, decision.law), (Err(hold), Law::Growth), "{latest:?}");
    };
    let known = runs(1_200);
    check(&known, KeyCount { servers: 2, ..sample(1.0, 9_000) }, Hold::OtherServers);
    check(&known, sample(1.0, 99), Hold::Negative);
    check(&known, sample(-0.5, 9_000), Hold::NoSample);
    let mut jumped = runs(1_200);
    jumped[3].after = Some(sample(0.0, 1_601));
    check(&jumped, sample(1.0, 9_000), Hold::BaselineJumped);
    jumped[3].after = Some(sample(0.0, 1_600));
    assert_eq!(next(&situation(1.0, sample(1.0, 9_000), &jumped), &bounds()).surplus, Ok(7_400));
    let mut unknown = runs(1_200);
    unknown[3].after = None;
    check(&unknown, sample(1.0, 9_000), Hold::NoBaseline);
    // Its runs found a third less than the surplus was.
    let mut others = runs(1_200);
    others.iter_mut().for_each(|run| run.before = Some(sample(-1.0, 1_900)));
    check(&others, sample(1.0, 9_000), Hold::NotOfTheJob);
    others.iter_mut().for_each(|run| run.before = Some(sample(-1.0, 1_700)));
    assert!(next(&situation(1.0, sample(1.0, 9_000), &others), &bounds()).surplus.is_ok());
    let in_progress = PastRun { lesson: Lesson::InProgress, ..run(0.5, 0) };
    check(&[runs(1_200), vec![in_progress]].concat(), sample(1.0, 9_000), Hold::InProgress);
}

#[test]
fn the_growth_decides_on_the_interval() {
    let check = |found: u64, previous: f64, expected: (f64, Option<Limit>)| {
        let runs = runs(found);
        let situation =
            Situation { previous: Some(HOUR.mul_f64(previous)), ..situation(0.5, sample(0.5, 100), &runs) };
        let interval = next(&situation, &bounds()).interval;
        let hours = (interval.time.as_secs_f64() / 36.0).round() / 100.0;
        assert_eq!((hours, interval.limit), expected, "{found} after {previous} h");
    };
    // 1,500 at 10 a minute are 2.5 h, and 2.2 h at the upper bound.
    check(1_200, 1.5, (2.16, None));
    check(1_200, 2.0, (2.0, Some(Limit::DeadBand)));
    check(1_200, 1.0, (2.0, Some(Limit::Step)));
    check(1_200, 8.0, (4.0, Some(Limit::Step)));
    check(120_000, 0.3, (0.25, Some(Limit::Min)));
    check(12, 20.0, (24.0, Some(Limit::Max)));
    check(0, 4.0, (8.0, Some(Limit::Step)));
}

#[test]
fn an_interval_doubles_after_two_runs_without_a_stale_key() {
    let check = |found: [u64; 4], expected: Option<Limit>| {
        let runs: Vec<PastRun> =
            found.into_iter().zip([-6.0, -4.0, -2.0, 0.0]).map(|(found, at)| run(at, found)).collect();
        let interval = next(&situation(0.5, sample(0.5, 100), &runs), &bounds()).interval;
        assert_eq!(interval.limit, expected, "{found:?}");
        assert_eq!(interval.time == 4 * HOUR, expected == Some(Limit::Useless), "{found:?}");
    };
    check([9_000, 9_000, 0, 0], Some(Limit::Useless));
    check([9_000, 9_000, 0, 1], Some(Limit::Step));
}

#[test]
fn four_times_the_growth_halves_a_balanced_interval() {
    let interval = |found: u64| {
        let runs = runs(found);
        let situation =
            Situation { previous: Some(HOUR.mul_f64(1.5)), ..situation(0.5, sample(0.5, 100), &runs) };
        let bounds = Bounds { run_cost: Some(300), max_stale: Some(1_000_000), ..bounds() };
        let decision = next(&situation, &bounds);
        assert_eq!((decision.law, decision.interval.limit), (Law::Balance, None), "{found}");
        decision.interval.time.as_secs_f64()
    };
    let ratio = interval(1_200) / interval(300);
    assert!((ratio - 0.5).abs() < 0.02, "{ratio}");
    // √(2 · 300 / 600) hours, and a little less by the upper bound.
    assert!((0.9..1.0).contains(&(interval(1_200) / 3_600.0)), "{}", interval(1_200));
}

#[test]
fn only_complete_runs_teach() {
    let known = runs(1_200);
    let decision = next(&situation(0.5, sample(0.5, 100), &known), &bounds());
    for lesson in [Lesson::Failed, Lesson::Nothing] {
        let other = PastRun { lesson, ..run(0.2, 0) };
        let more = [known.clone(), vec![other]].concat();
        let after = next(&situation(0.5, sample(0.5, 100), &more), &bounds());
        assert_eq!((after.growth, after.interval), (decision.growth, decision.interval), "{lesson:?}");
        assert_eq!(after.last_run, Some(hours(0.2)), "the interval counts from any run");
    }
}

#[test]
fn failed_runs_are_not_repeated_at_the_shortest_interval() {
    let check = |failures: usize, expected: i64| {
        let failed = (1..=failures).map(|number| {
            let at = number as f64 / 1_000.0;
            PastRun { lesson: Lesson::Failed, after: None, ..run(at, 0) }
        });
        let runs = [runs(1_200), failed.collect()].concat();
        let decision = next(&situation(1.0, sample(1.0, 9_000), &runs), &bounds());
        assert_eq!(
            (minutes(&decision), decision.moved_by),
            (expected, (failures > 1).then_some(Moved::Failures))
        );
    };
    check(1, 60);
    check(2, 60);
    check(3, 120);
    check(4, 240);
    check(50, 1_443);
}

#[test]
fn expected_keys_count_from_the_surplus() {
    let runs = runs(1_200);
    let decision = next(&situation(1.0, sample(1.0, 700), &runs), &bounds());
    let until = decision.at.duration_since(hours(1.0)).as_secs_f64() / 60.0;
    assert_eq!(decision.expected, Some(600 + (until * 10.0).round() as u64));
    let said = explain::sentence(&decision, hours(1.0));
    let start =
        "next run in 57 min: 1,169 stale expected by then (threshold 1,500); growth 10.0/min, between ";
    assert!(said.starts_with(start), "{said}");
}

#[test]
fn a_threshold_follows_the_keys() {
    let check = |keys: u64, expected: u64| {
        let at = KeyCount { keys, ..sample(0.0, 0) };
        let runs = [PastRun { after: Some(at), ..run(0.0, 0) }];
        let bounds = Bounds { max_stale: None, ..bounds() };
        assert_eq!(next(&situation(0.5, sample(0.5, 0), &runs), &bounds).threshold, expected, "{keys}");
    };
    check(0, 10);
    check(1_000_000, 1_010);
    check(u64::MAX, 1_000_000);
}

#[test]
fn jitter_is_fixed_per_job_and_small() {
    let of = |job: &str| jittered(24 * HOUR, job, &bounds());
    assert_eq!(of("nightly"), of("nightly"));
    let all: Vec<Duration> = (0..200).map(|number| of(&format!("job-{number}"))).collect();
    assert!(all.iter().all(|time| *time <= 24 * HOUR && *time >= HOUR.mul_f64(22.8)), "{all:?}");
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert!(different.len() > 150, "{}", different.len());
}

#[test]
fn bursts_widen_the_interval_of_the_growth() {
    let even = growth::growth(&runs(1_200)).unwrap();
    let found = [0, 4_800, 0, 0, 0, 4_800, 0, 0];
    let bursts: Vec<PastRun> =
        found.iter().zip(-8..).map(|(found, at)| run(2.0 * f64::from(at), *found)).collect();
    let bursty = growth::growth(&bursts).unwrap();
    let width = |of: growth::Growth| (of.high - of.low) / of.estimate;
    assert!(width(even) < 0.4 && width(bursty) > 1.2, "{even:?}, {bursty:?}");
}
