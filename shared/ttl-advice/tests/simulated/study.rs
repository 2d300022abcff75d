//! Runs an application with many seeds, and compares advice with the truth.

use std::collections::BTreeMap;
use std::thread;

use keysweep_ttl_advice::limits::TTLS;
use keysweep_ttl_advice::{Curve, Refusal, advise};

use crate::application::{Application, Seen, Truth};

/// The figures of one TTL over all seeds, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    pub ttl: f64,
    pub truth: f64,
    pub estimate: f64,
    /// Mean width of the interval.
    pub width: f64,
    /// The largest error of a seed.
    pub worst: f64,
    /// The share of seeds whose interval contains the true hit rate,
    pub covered: f64,
    /// of those whose interval lies above it,
    pub above: f64,
    /// and the true number of keys.
    pub keys_covered: f64,
    /// Seeds that were not refused.
    pub seeds: f64,
}

/// What was found with many seeds.
#[derive(Debug, Default)]
pub struct Study {
    pub rows: Vec<Row>,
    pub refused: Vec<Refusal>,
    /// How many recommendations, without a target, are not longer than that of the true curve,
    pub not_longer: u32,
    /// and how many are the same.
    pub same: u32,
}

/// Seeds `1..=seeds` of an application, of which `sample` keys are looked at, with or without later looks.
pub fn study(application: &Application, sample: usize, panel: bool, seeds: u64) -> Study {
    study_of(|seed| application.run(sample, seed), panel, seeds)
}

/// The same, if the server also counts the requests for as many keys of `others`.
pub fn study_of_group(
    application: &Application,
    others: &Application,
    sample: usize,
    panel: bool,
    seeds: u64,
) -> Study {
    let run = |seed: u64| application.run(sample, seed).beside(&others.run(sample, seeds + seed), seed);
    study_of(run, panel, seeds)
}

fn study_of(run: impl Fn(u64) -> Seen + Sync, panel: bool, seeds: u64) -> Study {
    let run = |seed: u64| {
        let seen = run(seed);
        let seen = if panel { seen } else { seen.without_panel() };
        (advise(&seen.observation(), None, seed).curve, seen)
    };
    let run = &run;
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let runs = thread::scope(|scope| {
        let part =
            |first: u64| scope.spawn(move || (first..=seeds).step_by(threads as usize).map(run).collect());
        let parts: Vec<_> = (1..=threads).map(part).collect();
        parts
            .into_iter()
            .flat_map(|part| -> Vec<_> { part.join().expect("a seed failed") })
            .collect::<Vec<_>>()
    });
    let mut study = Study::default();
    for (curve, seen) in runs {
        match curve {
            Ok(curve) => study.add(&curve, &seen),
            Err(refusal) => study.refused.push(refusal),
        }
    }
    for row in &mut study.rows {
        let [truth, estimate, width] = [&mut row.truth, &mut row.estimate, &mut row.width];
        for sum in [truth, estimate, width, &mut row.covered, &mut row.above, &mut row.keys_covered] {
            *sum *= 100.0 / row.seeds;
        }
        row.worst *= 100.0;
    }
    study
}

/// Which TTL is recommended by the true curve: the shortest from which a doubling saves less than 2 % of the misses for 10 %
/// of additional keys.
fn best(truth: &[Truth]) -> usize {
    let is_worth = |pair: &[Truth]| {
        let saved = 1.0 - pair[1].misses as f64 / pair[0].misses as f64;
        saved >= 0.2 * (pair[1].lived / pair[0].lived - 1.0)
    };
    truth.windows(2).position(|pair| !is_worth(pair)).unwrap_or(truth.len() - 1)
}

impl Study {
    fn add(&mut self, curve: &Curve, seen: &Seen) {
        let (points, truth, ttl_ms) = (&curve.points, &seen.truth, seen.ttl_ms);
        self.rows.resize(points.len(), Row::default());
        let today = &truth[2];
        let first = TTLS.iter().position(|ttl| points[0].ttl_ms as f64 == ttl * ttl_ms as f64).unwrap();
        let best = best(&truth[first..first + points.len()]);
        let recommended = curve.recommended.map_or(0, |recommended| recommended.ttl_ms);
        self.not_longer += u32::from(recommended <= points[best].ttl_ms);
        self.same += u32::from(recommended == points[best].ttl_ms);
        let truths = seen.hit_rates().zip(truth).skip(first);
        for ((row, point), (hit_rate, truth)) in self.rows.iter_mut().zip(points).zip(truths) {
            let found = point.hit_rate;
            let keys = truth.lived / today.lived;
            row.ttl = point.ttl_ms as f64 / ttl_ms as f64;
            row.truth += hit_rate;
            row.estimate += found.estimate;
            row.width += found.high - found.low;
            row.worst = row.worst.max((found.estimate - hit_rate).abs());
            row.covered += f64::from(u8::from((found.low..=found.high).contains(&hit_rate)));
            row.above += f64::from(u8::from(found.low > hit_rate));
            // The true number, too, comes from a limited time.
            let is_covered = (0.99 * point.keys.low..=1.01 * point.keys.high).contains(&keys);
            row.keys_covered += f64::from(u8::from(is_covered));
            row.seeds += 1.0;
        }
    }

    /// The row of a Markdown table: for each TTL the true hit rate, the mean error, the half-width and how often the interval
    /// held; then how often an interval was too high at the worst TTL, how often the number of keys was covered at the
    /// worst TTL, how often the recommendation was not longer than that of the true curve and how often the same, and what was
    /// refused.
    pub fn print(&self, name: &str, seeds: u64) {
        let cell = |ttl: f64| {
            let row = self.rows.iter().find(|row| row.ttl == ttl);
            row.map_or_else(String::new, |row| {
                let (error, half) = (row.estimate - row.truth, row.width / 2.0);
                format!("{:.1} {error:+.2} ±{half:.1} {:.0}", row.truth, row.covered)
            })
        };
        let cells: Vec<String> = TTLS.into_iter().map(cell).collect();
        let rates = match self.rows.first() {
            Some(first) => {
                let above = self.rows.iter().map(|row| row.above).fold(0.0, f64::max);
                let keys = self.rows.iter().map(|row| row.keys_covered).fold(100.0, f64::min);
                let [not_longer, same] =
                    [self.not_longer, self.same].map(|count| 100.0 * f64::from(count) / first.seeds);
                format!("{above:.0} | {keys:.0} | {not_longer:.0}, {same:.0}")
            }
            None => " | | ".to_owned(),
        };
        println!("| {name} | {} | {rates} | {} |", cells.join(" | "), self.refusals(seeds));
    }

    /// How many seeds were refused, by reason.
    fn refusals(&self, seeds: u64) -> String {
        let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
        for refusal in &self.refused {
            let text = format!("{refusal:?}");
            let name = text.split(' ').next().unwrap_or_default();
            *reasons.entry(name.to_owned()).or_default() += 1;
        }
        let reasons: Vec<String> = reasons.iter().map(|(name, count)| format!("{count} {name}")).collect();
        match reasons.len() {
            0 => "0".to_owned(),
            1 if self.refused.len() as u64 == seeds => reasons[0].replacen(&seeds.to_string(), "all", 1),
            _ => reasons.join(", "),
        }
    }
}
