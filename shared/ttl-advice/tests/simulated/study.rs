//! Runs an application with many seeds, and compares advice with the truth.

use std::thread;

use keysweep_ttl_advice::limits::TTLS;
use keysweep_ttl_advice::{CurvePoint, Refusal, advise};

use crate::application::{Application, Truth};

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
    /// and the true number of keys.
    pub keys_covered: f64,
    seeds: f64,
}

/// What was found with many seeds.
#[derive(Debug, Default)]
pub struct Study {
    pub rows: Vec<Row>,
    pub refused: Vec<Refusal>,
}

/// Seeds `1..=seeds` of an application, of which `sample` keys are looked at, with or without later looks.
pub fn study(application: &Application, sample: usize, panel: bool, seeds: u64) -> Study {
    let run = |seed: u64| {
        let seen = application.run(sample, seed);
        let seen = if panel { seen } else { seen.without_panel() };
        (advise(&seen.observation(), None, seed).curve, seen)
    };
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
            Ok(curve) => study.add(&curve.points, &seen.truth, application.ttl_ms),
            Err(refusal) => study.refused.push(refusal),
        }
    }
    for row in &mut study.rows {
        for sum in
            [&mut row.truth, &mut row.estimate, &mut row.width, &mut row.covered, &mut row.keys_covered]
        {
            *sum *= 100.0 / row.seeds;
        }
        row.worst *= 100.0;
    }
    study
}

impl Study {
    fn add(&mut self, points: &[CurvePoint], truth: &[Truth], ttl_ms: u64) {
        self.rows.resize(points.len(), Row::default());
        let today = &truth[2];
        let first = TTLS.iter().position(|ttl| points[0].ttl_ms as f64 == ttl * ttl_ms as f64).unwrap();
        for ((row, point), truth) in self.rows.iter_mut().zip(points).zip(&truth[first..]) {
            let (hit_rate, found) = (truth.hit_rate(), point.hit_rate);
            let keys = truth.lived / today.lived;
            row.ttl = point.ttl_ms as f64 / ttl_ms as f64;
            row.truth += hit_rate;
            row.estimate += found.estimate;
            row.width += found.high - found.low;
            row.worst = row.worst.max((found.estimate - hit_rate).abs());
            row.covered += f64::from(u8::from((found.low..=found.high).contains(&hit_rate)));
            // Keys are compared with those of today, which are known exactly at today's TTL only.
            let is_covered = (point.keys.low - 1e-9..=point.keys.high + 1e-9).contains(&keys);
            row.keys_covered += f64::from(u8::from(is_covered));
            row.seeds += 1.0;
        }
    }

    /// The part of a Markdown table.
    pub fn print(&self, name: &str, seeds: u64) {
        for row in &self.rows {
            println!(
                "| {name} | {} | {:.1} | {:.1} | {:+.2} | {:.1} | ±{:.1} | {:.1} | {:.1} | {} of {seeds} |",
                row.ttl,
                row.truth,
                row.estimate,
                row.estimate - row.truth,
                row.worst,
                row.width / 2.0,
                row.covered,
                row.keys_covered,
                self.refused.len()
            );
        }
        if self.rows.is_empty() {
            println!("| {name} | – | | | | | | | | {} of {seeds} |", self.refused.len());
        }
        if let Some(refusal) = self.refused.first() {
            println!("    {refusal}");
        }
    }
}
