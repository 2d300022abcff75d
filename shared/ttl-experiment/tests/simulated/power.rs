//! Planned effects are found within the planned time.

use keysweep_ttl_experiment::{Decision, Design, Plan, Question, overdispersion, plan};

use crate::traffic::{Traffic, design};
use crate::trials::{experiment, seeds, share};

/// The plan for an application, from two periods without an experiment.
fn planned(traffic: Traffic, margin: f64) -> (Plan, f64) {
    let pilot = Traffic { misses: 1.0, ..traffic };
    let measured: Vec<f64> = seeds(40, |seed| {
        let mut running = pilot.start(design(traffic.buckets, 2, 0.05, 1.0), 1_000_000 + seed);
        let [first, second] = [0, 1].map(|period| running.period(period, 1).remove(0));
        let rows: Vec<(f64, f64)> = first.into_iter().zip(second).collect();
        overdispersion(&rows).expect("enough fills")
    });
    let overdispersion = measured.iter().sum::<f64>() / 40.0;
    let sample = design(traffic.buckets, 2, 0.05, 1.0);
    let asked = Question {
        control_ttl_ms: sample.assignment.control_ttl_ms,
        treated_ttl_ms: sample.assignment.treated_ttl_ms,
        buckets: traffic.buckets,
        period_ms: Some(sample.assignment.period_ms),
        effect: 0.05,
        margin,
        alpha: 0.05,
        power: 0.8,
        overdispersion,
        fills_per_s: traffic.fills / (sample.assignment.measured_ms() as f64 / 1_000.0),
    };
    (plan(&asked).expect("a plan"), overdispersion)
}

fn check(name: &str, traffic: Traffic, margin: f64, count: u64) {
    let (plan, overdispersion) = planned(traffic, margin);
    let design = Design { margin, ..design(traffic.buckets, plan.periods, 0.05, plan.planned_variance) };
    let ended = seeds(count, |seed| experiment(traffic, design.clone(), 1, false, seed));
    let found = share(&ended, |one| one.decision == Decision::Benefit);
    let mut periods: Vec<u64> = ended.iter().map(|one| one.periods).collect();
    periods.sort_unstable();
    println!(
        "| {name} | {overdispersion:.1} | {:.0} | {} | {:.1} | {} |",
        plan.fills_per_arm,
        plan.periods,
        found * 100.0,
        periods[periods.len() / 2]
    );
    assert!(found >= 0.8, "{name}: found in {found}");
}

#[test]
fn an_effect_of_5_percent_is_found_in_the_planned_time() {
    let usual = Traffic { misses: 0.95, ..Traffic::default() };
    check("users differ much", usual, 0.0, 50);
    check("users come in each period", Traffic { comes: 1.0, ..usual }, 0.0, 200);
}

#[test]
#[ignore = "1,000 experiments of each kind take minutes"]
fn soak_power() {
    let count = 1_000;
    let usual = Traffic { misses: 0.95, ..Traffic::default() };
    check("users differ much", usual, 0.0, count);
    check("the same with a margin of 1 %", usual, 0.01, count);
    check("users come in each period", Traffic { comes: 1.0, ..usual }, 0.0, count);
    check("days differ fivefold", Traffic { days: 0.8, ..usual }, 0.0, count);
    check("40 buckets", Traffic { buckets: 40, users: 400, ..usual }, 0.0, count);
}
