//! Experiments without an effect rarely stop, however often they are looked at, and intervals contain the effect at all
//! looks.

use keysweep_ttl_experiment::{Decision, Guard};

use crate::traffic::{Traffic, design};
use crate::trials::{experiment, seeds, share};

/// An application, and the experiment with it.
struct Case {
    name: &'static str,
    traffic: Traffic,
    periods: u64,
    planned_variance: f64,
}

const fn case(name: &'static str, traffic: Traffic, planned_variance: f64) -> Case {
    Case { name, traffic, periods: 60, planned_variance }
}

fn cases() -> Vec<Case> {
    let usual = Traffic::default();
    let half = Traffic { users: 1_000, buckets: 200, fills: 10_000.0, ..usual };
    let whole = case("the same with 400 buckets and 2,000 users", usual, 1e-3);
    let few = Traffic { users: 60, buckets: 20, fills: 2_000.0, ..usual };
    vec![
        case("users differ much", half, 1e-3),
        case("planned for far more fills", half, 1e-6),
        case("planned for far fewer fills", half, 1e-1),
        case("20 buckets, 60 users", few, 3e-3),
        case("20 buckets, 60 users, planned for far fewer fills", few, 1e-1),
        case(
            "6 fills per bucket and period",
            Traffic { users: 400, buckets: 100, fills: 600.0, ..usual },
            1e-2,
        ),
        case("few users have nearly all fills", Traffic { spread: 3.0, ..half }, 1e-3),
        case("users come for long or not", Traffic { comes: 0.3, stays: 0.95, ..half }, 1e-3),
        case("days differ fivefold", Traffic { days: 0.8, ..half }, 1e-3),
        whole,
    ]
}

/// Intervals with an effect; where users react differently, what is estimated is the mean over buckets.
fn cases_with_effect() -> Vec<Case> {
    let half = Traffic { users: 1_000, buckets: 200, fills: 10_000.0, ..Traffic::default() };
    vec![
        case("5 % fewer", Traffic { misses: 0.95, ..half }, 1e-3),
        case("30 % fewer", Traffic { misses: 0.7, ..half }, 1e-3),
        case("15 % more", Traffic { misses: 1.15, ..half }, 1e-3),
        case("users react differently", Traffic { misses: 0.9, differs: 0.3, ..half }, 1e-3),
        case(
            "20 % fewer, 20 buckets",
            Traffic { misses: 0.8, users: 100, buckets: 20, fills: 4_000.0, ..half },
            1e-3,
        ),
    ]
}

fn check(case: &Case, count: u64) {
    let Case { name, traffic, periods, planned_variance } = *case;
    let ended = seeds(count, |seed| {
        experiment(traffic, design(traffic.buckets, periods, 0.05, planned_variance), 1, true, seed)
    });
    let missed = share(&ended, |one| one.missed);
    let stopped = share(&ended, |one| one.decision != Decision::Undecided);
    println!("| {name} | {} | {:.2} | {:.2} |", periods / 2, stopped * 100.0, missed * 100.0);
    assert!(missed <= 0.05, "{name}: {missed} intervals missed the truth");
    let is_none = traffic.misses == 1.0;
    assert!(!is_none || stopped <= 0.05, "{name}: {stopped} stopped");
}

#[test]
fn experiments_without_an_effect_stop_at_most_as_often_as_stated() {
    check(&cases()[0], 2_000);
    cases()[1..].iter().for_each(|case| check(case, 100));
}

#[test]
fn intervals_contain_the_effect_at_all_looks() {
    cases_with_effect().iter().for_each(|case| check(case, 100));
}

#[test]
#[ignore = "2,000 experiments of each kind take minutes"]
fn soak_stops_and_intervals() {
    cases().iter().chain(&cases_with_effect()).for_each(|case| check(case, 2_000));
}

/// The shares of experiments that the guard of misses stops within 14 periods, and within 2.
fn guarded(misses: f64, count: u64) -> [f64; 2] {
    let traffic = Traffic { users: 1_000, buckets: 200, fills: 6_000.0, misses, ..Traffic::default() };
    // So small a level of the verdict that only the guard stops.
    let design = design(200, 14, 1e-12, 1e-3);
    let ended = seeds(count, |seed| experiment(traffic, design.clone(), 6, false, seed));
    let is_stopped = |decision: &Decision| matches!(decision, Decision::Stopped(Guard::Misses { .. }));
    let all = share(&ended, |one| is_stopped(&one.decision));
    let early = share(&ended, |one| is_stopped(&one.decision) && one.periods <= 2);
    println!("| {misses} | {:.2} | {:.2} |", all * 100.0, early * 100.0);
    [all, early]
}

#[test]
fn the_guard_of_misses_stops_rarely_at_its_limit_and_soon_far_above() {
    assert!(guarded(1.2, 500)[0] <= 0.01);
    assert!(guarded(2.0, 100)[1] >= 0.9);
}

#[test]
#[ignore = "2,000 experiments of each kind take minutes"]
fn soak_guard_of_misses() {
    assert!(guarded(1.2, 2_000)[0] <= 0.01);
    for misses in [1.3, 1.5, 2.0] {
        guarded(misses, 500);
    }
}
