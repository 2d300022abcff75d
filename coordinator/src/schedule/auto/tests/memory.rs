//! The memory's forecast: what it is made from, and when it starts a run.

use super::super::memory::{Usage, trend};
use super::*;

/// Points each half an hour of a day until the given hour.
fn usage(until: f64, of: impl Fn(f64) -> f64) -> Vec<Usage> {
    (0..48)
        .rev()
        .map(|n| until - f64::from(n) / 2.0)
        .map(|at| Usage { at: hours(at), percent: of(at) })
        .collect()
}

/// The usage at the last point and the growth per hour.
#[track_caller]
fn check(points: &[Usage], expected: Option<(f64, f64)>) {
    let found = trend(points).map(|trend| (trend.percent, trend.per_second * 3_600.0));
    match (found, expected) {
        (Some(found), Some(expected)) => {
            assert!((found.0 - expected.0).abs() < 0.3 && (found.1 - expected.1).abs() < 0.05, "{found:?}");
        }
        (found, expected) => assert_eq!(found, expected),
    }
}

#[test]
fn the_trend_is_that_of_most_points() {
    check(&usage(1.0, |at| 70.0 + at), Some((71.0, 1.0)));
    check(&usage(1.0, |_| 70.0), Some((70.0, 0.0)));
    check(&usage(1.0, |at| 70.0 - 2.0 * at), Some((68.0, -2.0)));
    // Every fifth point is a peak; then the last one.
    let peak = |at: f64| 70.0 + at + if (at * 2.0) as i64 % 5 == 0 { 25.0 } else { 0.0 };
    check(&usage(1.0, peak), Some((71.0, 1.0)));
    check(&usage(2.5, peak), Some((72.5, 1.0)));
    // A day and a night: neither grows.
    let daily = usage(1.0, |at| 70.0 + 5.0 * (at * std::f64::consts::TAU / 24.0).sin());
    assert!(trend(&daily).unwrap().per_second.abs() * 3_600.0 < 0.5, "{:?}", trend(&daily));
}

#[test]
fn too_little_tells_of_no_growth() {
    let points = usage(1.0, |at| 70.0 + at);
    check(&[], None);
    check(&points[..4], None);
    check(&points[..5], Some((70.0 - 22.5 + 2.0, 1.0)));
    let often: Vec<Usage> =
        (0..60).map(|n| Usage { at: hours(f64::from(n) / 60.0), percent: 70.0 }).collect();
    check(&often, None);
    check(&vec![points[0]; 9], None);
}

/// What is decided an hour after the last of four runs with this usage now and this growth per hour.
fn decide(percent: f64, per_hour: f64, runs: &[PastRun], without_ttl: u64) -> Decision {
    let memory = trend(&usage(1.0, |at| percent + per_hour * (at - 1.0)));
    next(&Situation { memory, ..situation(1.0, sample(1.0, without_ttl), runs) }, &bounds())
}

#[test]
fn a_run_starts_before_the_memory_runs_short() {
    let runs = runs(1_200);
    let law = |percent, per_hour| decide(percent, per_hour, &runs, 700).law;
    assert_eq!(law(79.0, 1.0), Law::Growth, "there is time until the next look");
    assert_eq!(law(79.99, 1.0), Law::Memory);
    assert_eq!(law(79.0, 90.0), Law::Memory);
    assert_eq!(law(79.99, 0.0), Law::Growth, "it does not grow");
    assert_eq!(law(79.99, -1.0), Law::Growth);
    let decision = decide(79.99, 1.2, &runs, 700);
    assert_eq!(minutes(&decision), 60, "now");
    assert_eq!(
        explain::sentence(&decision, hours(1.0)).split("; growth").next().unwrap(),
        "run now: the memory of the fullest server is forecast to pass 80 % before the next look (80.0 % now, +1.2 \
         points/h); 600 stale expected"
    );
    let record = explain::record(&decision, hours(1.0));
    assert_eq!((record.law.as_str(), record.memory.unwrap().points_per_hour.round()), ("memory", 1.0));
    // The shortest interval holds.
    let memory = trend(&usage(0.1, |at| 79.99 + at - 0.1));
    let soon = next(&Situation { memory, ..situation(0.1, sample(0.1, 700), &runs) }, &bounds());
    assert_eq!((soon.law, minutes(&soon)), (Law::Memory, 15));
}

#[test]
fn a_run_that_could_not_help_does_not_start() {
    let law = |runs: &[PastRun], without_ttl| decide(79.99, 1.0, runs, without_ttl).law;
    let found = runs(1_200);
    assert_eq!(law(&found, 100), Law::Growth, "nothing is stale");
    // The last run has not brought it below: the next one would not, either.
    let mut full = found.clone();
    full.last_mut().unwrap().usage_after = Some(81.0);
    assert_eq!(law(&full, 700), Law::Growth);
    full.last_mut().unwrap().usage_after = None;
    assert_eq!(law(&full, 700), Law::Growth, "without a limit, or a count");
    // While nothing is known of stale keys, and during a run.
    assert_eq!(law(&[PastRun { after: None, ..run(0.0, 0) }], 700), Law::Growth);
    let in_progress = PastRun { lesson: Lesson::InProgress, ..run(0.5, 0) };
    assert_eq!(law(&[found, vec![in_progress]].concat(), 700), Law::Growth);
}

#[test]
fn a_leak_starts_a_run_each_time_it_fills_the_memory() {
    // Ten stale keys a minute take a point in five hours. Each run frees what they took; the usage without them is 70 %.
    let (mut runs, mut by_memory) = (runs(600), Vec::new());
    let mut points: Vec<Usage> = Vec::new();
    let bounds = Bounds { max_stale: Some(1_000_000), max_interval: 240 * HOUR, ..bounds() };
    for minute in 0..60 * 24 * 7 {
        let at = f64::from(minute) / 60.0;
        let last = runs.last().unwrap().started;
        let stale = hours(at).duration_since(last).as_secs_f64() / 6.0;
        let now = Usage { at: hours(at), percent: 70.0 + stale / 3_000.0 };
        if minute % 30 == 0 {
            points.push(now);
            points.drain(..points.len().saturating_sub(48));
        }
        let all = [points.as_slice(), &[now]].concat();
        let stale = 100 + stale as u64;
        let of = Situation {
            memory: trend(&all),
            previous: Some(240 * HOUR),
            ..situation(at, sample(at, stale), &runs)
        };
        let decision = next(&of, &bounds);
        if decision.at <= hours(at) {
            by_memory.push((decision.law, now.percent.round()));
            runs.push(PastRun { usage_after: Some(70.0), ..run(at, stale - 100) });
        }
    }
    // It takes 50 hours each time.
    assert_eq!(by_memory, [(Law::Memory, 80.0); 3]);
}
