//! Tests whether reported bounds of memory hold: populations of known sizes, each sampled with 200 seeds.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::*;
use crate::limits::{
    MEASURED_OF_PREFIX, MEASURED_ONE_IN, MEASURED_OUTRIGHT, MEASURED_WHOLE_KEYS, MEMORY_ROWS_OF_TASK,
};
use crate::wire;

const SEEDS: u64 = 200;

/// The sampling rates of a run within its budget.
const WHOLE: SampleRate =
    SampleRate { outright: MEASURED_WHOLE_KEYS, per_group: u64::MAX, one_in: MEASURED_ONE_IN };

/// The sampling rates of a larger run.
const SAMPLED: SampleRate =
    SampleRate { outright: MEASURED_OUTRIGHT, per_group: MEASURED_OF_PREFIX, one_in: MEASURED_ONE_IN };

/// Keys, each with its size and the index of its names: of its group, and of a part of it.
struct Population {
    names: Vec<(String, String)>,
    keys: Vec<(usize, u64)>,
}

impl Population {
    fn all(&self) -> u64 {
        self.keys.iter().map(|(_, size)| size).sum()
    }

    /// The true memory of each name.
    fn truth(&self) -> BTreeMap<&str, u64> {
        let mut sizes = vec![0; self.names.len()];
        self.keys.iter().for_each(|(place, size)| sizes[*place] += size);
        let mut truth: BTreeMap<&str, u64> = BTreeMap::new();
        for ((group, part), size) in self.names.iter().zip(sizes) {
            *truth.entry(group).or_default() += size;
            *truth.entry(part).or_default() += size;
        }
        truth
    }
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * rng.f64().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

fn lognormal(rng: &mut Rng, sigma: f64) -> u64 {
    estimate::whole(200.0 * (sigma * normal(rng)).exp())
}

fn pareto(rng: &mut Rng, alpha: f64) -> u64 {
    estimate::whole(80.0 / (1.0 - rng.f64()).powf(1.0 / alpha)).min(1 << 40)
}

fn one_prefix(keys: usize, rng: &mut Rng, size: impl Fn(usize, &mut Rng) -> u64) -> Population {
    let names = (0..3).map(|part| ("p:".to_owned(), format!("p:{part}:"))).collect();
    Population { names, keys: (0..keys).map(|n| (n % 3, size(n, rng))).collect() }
}

/// Forty prefixes of four parts each; the n-th has a share of about 1/n, and larger keys the smaller it is.
fn zipf(rng: &mut Rng) -> Population {
    let names = (0..160).map(|n| (format!("z{}:", n / 4), format!("z{}:{}:", n / 4, n % 4)));
    let key = |rng: &mut Rng| {
        let first = estimate::whole(40_f64.powf(rng.f64())) - 1;
        let place = 4 * first + rng.u64(..4);
        (place as usize, (first + 1) * lognormal(rng, 1.0))
    };
    Population { names: names.collect(), keys: (0..FEW).map(|_| key(rng)).collect() }
}

/// Keys of a population: few enough to draw it again for each seed.
const FEW: usize = 12_000;

type Draw = fn(&mut Rng) -> Population;

/// The named populations.
const POPULATIONS: [(&str, Draw); 10] = [
    ("constant", |rng| one_prefix(FEW, rng, |_, _| 120)),
    ("uniform", |rng| one_prefix(FEW, rng, |_, rng| rng.u64(50..5_000))),
    ("bimodal", |rng| one_prefix(FEW, rng, |_, rng| if rng.u8(..20) == 0 { 40_000 } else { 90 })),
    ("lognormal 1", |rng| one_prefix(FEW, rng, |_, rng| lognormal(rng, 1.0))),
    ("lognormal 2", |rng| one_prefix(FEW, rng, |_, rng| lognormal(rng, 2.0))),
    ("pareto 1.1", |rng| one_prefix(FEW, rng, |_, rng| pareto(rng, 1.1))),
    ("pareto 1.5", |rng| one_prefix(FEW, rng, |_, rng| pareto(rng, 1.5))),
    ("pareto 2", |rng| one_prefix(FEW, rng, |_, rng| pareto(rng, 2.0))),
    ("one giant in 10^5", |rng| one_prefix(100_000, rng, |n, _| if n == 31_415 { 100_000_000 } else { 100 })),
    ("zipf prefixes", zipf),
];

/// What four tasks of a run report of `population`, through messages.
fn report(population: &Population, rate: SampleRate) -> PrefixMemory {
    let mut run = PrefixMemory::default();
    for task in 0..4 {
        let (mut sampler, mut strata) = (Sampler::new(rate), StratifiedSample::default());
        for (place, size) in population.keys.iter().skip(task).step_by(4) {
            let (group, part) = &population.names[*place];
            if let Some(take) = sampler.take(group.as_bytes()) {
                let group = (Some(group.as_str()), sampler.last_hash());
                strata.add(group, std::iter::once(part.as_str()), take, *size);
            }
        }
        let weights = sampler.finish(strata, MEMORY_ROWS_OF_TASK);
        run.merge(&wire::decode(&wire::encode(&weights).unwrap()).unwrap());
    }
    run
}

/// How often reported intervals hold.
#[derive(Default)]
struct Score {
    rows: u64,
    held: u64,
    bytes: u64,
    finite: u64,
}

impl Score {
    fn add(&mut self, truth: u64, reported: &ByteEstimate) {
        assert!(
            reported.low <= reported.estimate && reported.high.is_none_or(|high| reported.estimate <= high),
            "{reported:?}"
        );
        self.rows += 1;
        self.held += u64::from(reported.low <= truth && reported.high.is_none_or(|high| truth <= high));
    }

    fn held(&self) -> f64 {
        100.0 * self.held as f64 / self.rows as f64
    }

    fn finite(&self) -> f64 {
        100.0 * self.finite as f64 / self.bytes as f64
    }
}

fn is_group(name: &str) -> bool {
    name.matches(':').count() == 1
}

/// Adds the result `reported` of `population` to `score`.
fn score(population: &Population, reported: &PrefixMemory, in_use: Option<u64>, score: &mut Score) {
    let truth = population.truth();
    score.add(population.all(), &reported.all(in_use));
    let rows = reported.rows(in_use);
    // A byte is in a row with an upper bound if its group has one.
    score.bytes += population.all();
    for (name, row) in &rows {
        assert!(row.samples >= 10, "{name} rests on {}", row.samples);
        score.add(truth[name.as_str()], row);
        score.finite += u64::from(is_group(name) && row.high.is_some()) * truth[name.as_str()];
        // No part above its group.
        let group = &name[..=name.find(':').unwrap()];
        let (_, group) = rows.iter().find(|(name, _)| name == group).unwrap();
        assert!(row.estimate <= group.estimate && row.low <= group.low, "{name}: {row:?} of {group:?}");
        assert!(
            row.high.zip(group.high).is_none_or(|(row, group)| row <= group),
            "{name}: {row:?} of {group:?}"
        );
    }
}

#[test]
fn reported_intervals_hold_on_every_population() {
    println!("{:<18} {:>14} {:>14} {:>14}", "held / finite, %", "whole", "sampled", "memory known");
    for (name, draw) in POPULATIONS {
        let [mut whole, mut sampled, mut known] =
            [const { Score { rows: 0, held: 0, bytes: 0, finite: 0 } }; 3];
        let mut population = draw(&mut Rng::with_seed(0));
        for seed in 0..SEEDS {
            fastrand::seed(seed);
            // The large one is the same each time, but the sample is not.
            if population.keys.len() == FEW {
                population = draw(&mut Rng::with_seed(seed));
            }
            if seed < 5 {
                score(&population, &report(&population, WHOLE), None, &mut whole);
            }
            let reported = report(&population, SAMPLED);
            score(&population, &reported, None, &mut sampled);
            score(&population, &reported, Some(population.all() / 4 * 5), &mut known);
        }
        let cell = |score: &Score| format!("{:.1} / {:.1}", score.held(), score.finite());
        println!("{name:<18} {:>14} {:>14} {:>14}", cell(&whole), cell(&sampled), cell(&known));
        assert!(whole.held() >= 100.0 && whole.finite() >= 100.0, "{name}: whole {}", cell(&whole));
        assert!(sampled.held() >= 93.0, "{name}: sampled {}", cell(&sampled));
        assert!(known.held() >= 93.0, "{name}: known {}", cell(&known));
    }
}

/// What four tasks report of each part of `population`, measured at the rates of a look at all keys.
fn sampled_groups(population: &Population, seed: u64, rate: SampleRate) -> Vec<GroupSample> {
    let mut groups = vec![GroupSample::default(); population.names.len()];
    for task in 0..4 {
        let (mut its, mut left) = (vec![GroupSample::default(); groups.len()], rate.outright);
        for (n, (place, size)) in population.keys.iter().enumerate().skip(task).step_by(4) {
            let group = &mut its[*place];
            if let Some(kind) = group.take(format!("{seed}:{n}").as_bytes(), rate, &mut left) {
                group.measured(kind, *size);
            }
        }
        for (group, its) in groups.iter_mut().zip(&its) {
            let its: GroupSample = wire::decode(&wire::encode(its).unwrap()).unwrap();
            assert!(its.is_possible());
            group.merge(&its);
        }
    }
    groups
}

/// The intervals of groups hold, and those of most bytes have an upper bound if the memory in use is known.
#[test]
fn intervals_of_groups_hold_on_every_population() {
    let rate = SampleRate { outright: 5_000, per_group: 200, one_in: 100 };
    let (mut bytes, mut finite) = (0_u64, 0_u64);
    for (name, draw) in POPULATIONS {
        let mut all = Score::default();
        let mut population = draw(&mut Rng::with_seed(0));
        for seed in 0..SEEDS {
            if population.keys.len() == FEW {
                population = draw(&mut Rng::with_seed(seed));
            }
            let mut truth = vec![0; population.names.len()];
            population.keys.iter().for_each(|(place, size)| truth[*place] += size);
            let groups = sampled_groups(&population, seed, rate);
            let measured =
                |(group, truth): (&GroupSample, &u64)| Some((group.estimate(rate.one_in)?.bounds(), *truth));
            let measured: Vec<(ByteEstimate, u64)> = groups.iter().zip(&truth).filter_map(measured).collect();
            let lows: u64 = measured.iter().map(|(one, _)| one.low).sum();
            // Servers use more than their keys.
            let used = population.all() + population.all() / 20;
            for (one, truth) in measured {
                let one = one.at_most(Some(used.saturating_sub(lows - one.low)));
                all.add(truth, &one);
                all.bytes += truth;
                all.finite += u64::from(one.high.is_some()) * truth;
            }
        }
        println!("{name:<18} {:.1} % held, {:.1} % of bytes bounded", all.held(), all.finite());
        assert!(all.held() >= 93.0, "{name}: {:.1}", all.held());
        (bytes, finite) = (bytes + all.bytes / 1_000, finite + all.finite / 1_000);
    }
    println!("of all: {:.1} % of bytes bounded", 100.0 * finite as f64 / bytes as f64);
}

/// Rows that are omitted, and parts with unknown names, widen the bounds of the others.
#[test]
fn omitted_rows_and_unknown_parts_widen_the_bounds() {
    let rate = WHOLE;
    let task = |sizes: &[(&str, u64)], rows_max| {
        let (mut sampler, mut strata) = (Sampler::new(rate), StratifiedSample::default());
        for (name, size) in sizes {
            for _ in 0..10 {
                let take = sampler.take(name.as_bytes()).unwrap();
                strata.add((Some(name), sampler.last_hash()), std::iter::empty(), take, *size);
            }
        }
        sampler.finish(strata, rows_max)
    };
    let mut run = task(&[("a:", 100), ("b:", 70), ("c:", 30)], 2);
    run.merge(&task(&[("a:", 10), ("c:", 20)], 2));
    let check = |run: &PrefixMemory, expected: &[(&str, u64, u64, Option<u64>)]| {
        let rows = run.rows(None).into_iter();
        let rows: Vec<_> = rows.map(|(name, row)| (name, row.estimate, row.low, row.high)).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, estimate, low, high)| ((*name).to_owned(), *estimate, *low, *high))
            .collect();
        assert_eq!(rows, expected);
    };
    // In the first task, omitted names take at most 300 bytes.
    check(
        &run,
        &[("a:", 1_100, 1_100, Some(1_100)), ("b:", 700, 700, Some(700)), ("c:", 200, 200, Some(500))],
    );
    assert_eq!(run.all(None).high, Some(2_300));
    run.merge(&PrefixMemory::unknown());
    check(&run, &[("a:", 1_100, 1_100, None), ("b:", 700, 700, None), ("c:", 200, 200, None)]);
    assert_eq!((run.all(None).high, run.all(Some(3_000)).high), (None, Some(3_000)));
    assert_eq!(run.all(Some(90_000)).high, None, "that is not informative");
    // Of 3,000 bytes, others take 900 at least.
    assert_eq!(run.rows(Some(3_000))[0].1.high, Some(2_100));
}

#[test]
fn impossible_figures_are_rejected() {
    let good = PrefixMemory::unknown();
    assert_eq!(wire::decode::<PrefixMemory>(&wire::encode(&good).unwrap()).unwrap(), good);
    let cells = |variance: f64| (1_u64, 2_u64, 3_u64, variance, true);
    let check = |variance: f64, name: &str, rows: usize, read: bool| {
        let rows: Vec<_> = (0..rows).map(|n| (format!("{n}{name}"), cells(variance), 0_u64, 0_u64)).collect();
        let sent = serde_json::json!({ "all": cells(1.0), "omitted": 0, "blind": 0 });
        let mut sent: BTreeMap<String, serde_json::Value> = serde_json::from_value(sent).unwrap();
        sent.insert("rows".to_owned(), serde_json::to_value(rows).unwrap());
        assert_eq!(
            wire::decode::<PrefixMemory>(&wire::encode(&sent).unwrap()).is_ok(),
            read,
            "{variance} {name}"
        );
    };
    check(1.0, "a:", 2, true);
    check(-1.0, "a:", 1, false);
    check(1.0, "a:", 513, false);
    check(1.0, &"x".repeat(600), 1, false);
}
