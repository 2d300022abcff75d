//! Many experiments with different seeds.

use std::thread;

use keysweep_ttl_experiment::{Decision, Design, Health, Observed, standing};

use crate::traffic::{Traffic, add};

/// How an experiment ended: the decision, and the periods it took.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub decision: Decision,
    pub periods: u64,
    /// Whether an interval missed the truth at some look.
    pub missed: bool,
}

/// What `run` returns for seeds from 1 to `seeds`.
pub fn seeds<T: Send>(seeds: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    thread::scope(|scope| {
        let run = &run;
        let parts: Vec<_> = (1..=threads)
            .map(|first| {
                scope.spawn(move || (first..=seeds).step_by(threads as usize).map(run).collect::<Vec<_>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("a seed failed")).collect()
    })
}

/// An experiment with looks at `parts` times in each period, until it is decided, or to its end if `to_the_end`.
pub fn experiment(traffic: Traffic, design: Design, parts: u32, to_the_end: bool, seed: u64) -> Ended {
    let mut running = traffic.start(design, seed);
    let (assignment, truth) = (running.design.assignment.clone(), running.truth());
    let (mut seen, mut first, mut missed) = (Observed::default(), None, false);
    for period in 0..assignment.periods() {
        for fills in running.period(period, parts) {
            add(&mut seen, &assignment, period, &fills, parts);
            let now = if seen.seen_until_ms >= assignment.measured(period).end {
                seen.seen_until_ms + 1
            } else {
                seen.seen_until_ms
            };
            let found = standing(&running.design, &seen, &Health::default(), now);
            missed |= found.misses.is_some_and(|misses| !(misses.low..=misses.high).contains(&truth));
            if found.decision != Decision::GoOn && first.is_none() {
                first = Some(Ended { decision: found.decision, periods: period + 1, missed });
                if !to_the_end {
                    return Ended { missed, ..first.unwrap() };
                }
            }
        }
    }
    let end = Ended { decision: Decision::Undecided, periods: assignment.periods(), missed };
    Ended { missed, ..first.unwrap_or(end) }
}

/// The share of those for which `is` holds.
pub fn share<T>(all: &[T], is: impl Fn(&T) -> bool) -> f64 {
    all.iter().filter(|one| is(one)).count() as f64 / all.len() as f64
}
