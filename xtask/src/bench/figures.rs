//! The figures of each contender (pure): its runs, their spread, or why there are none.

use super::case::Case;
use super::contenders::Contender;
use super::contenders::fleet::WorkerRole;
use super::latency::Latency;
use super::machine::Machine;
use super::spread::Spread;

/// One turn of one contender.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The number of keys.
    pub(crate) keys: u64,
    /// From the start of the process to its end.
    pub(crate) wall_s: f64,
    /// CPU of all servers.
    pub(crate) server_s: f64,
    /// CPU of all the contender's processes.
    pub(crate) client_s: f64,
    /// The largest resident memory of a process.
    pub(crate) peak_mb: f64,
    /// Usage by role, if there are several.
    pub(crate) roles: Vec<WorkerRole>,
    /// The foreground client's latency, if measured, in a separate run of the same turn.
    pub(crate) latency: Option<Latency>,
}

/// What is measured in each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Seconds from the start of the process to its end.
    WallS,
    /// Keys per second in that time.
    KeysPerS,
    /// CPU of all servers in µs per key.
    ServerUs,
    /// CPU of the contender in µs per key.
    ClientUs,
    /// The largest resident memory of a process.
    PeakMb,
    /// The foreground client's median latency.
    P50Ms,
    /// Its 99th percentile.
    P99Ms,
}

impl Sample {
    /// The value of `measure`; `None` if it was not measured.
    fn value(&self, measure: Measure) -> Option<f64> {
        let keys = self.keys as f64;
        Some(match measure {
            Measure::WallS => self.wall_s,
            Measure::KeysPerS => keys / self.wall_s,
            Measure::ServerUs => self.server_s * 1e6 / keys,
            Measure::ClientUs => self.client_s * 1e6 / keys,
            Measure::PeakMb => self.peak_mb,
            Measure::P50Ms => self.latency?.p50_ms,
            Measure::P99Ms => self.latency?.p99_ms,
        })
    }
}

/// All turns of one contender, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    /// One for each turn.
    pub(crate) runs: Vec<Sample>,
}

impl Figures {
    /// The values of `measure`, turn by turn; none if it was not measured.
    pub(crate) fn values(&self, measure: Measure) -> Vec<f64> {
        self.runs.iter().filter_map(|run| run.value(measure)).collect()
    }

    /// Their spread; `None` if there are none.
    pub(crate) fn spread(&self, measure: Measure) -> Option<Spread> {
        Spread::of(self.values(measure))
    }

    /// `measure` of this contender divided by that of `other`, turn by turn. Runs of the same turn see the same machine
    /// speed; runs of different turns may not.
    pub(crate) fn ratios(&self, other: &Self, measure: Measure) -> Vec<f64> {
        let turns = self.runs.iter().zip(&other.runs);
        turns.filter_map(|(ours, theirs)| Some(ours.value(measure)? / theirs.value(measure)?)).collect()
    }

    /// Usage by role, if there are several.
    pub(crate) fn roles(&self) -> Vec<RoleFigures> {
        let first = self.runs.first().map_or(&[] as &[_], |run| &run.roles);
        let role = |(index, WorkerRole { name, count, .. }): (usize, &WorkerRole)| {
            let turns = || self.runs.iter().filter_map(|run| Some((run.keys as f64, run.roles.get(index)?)));
            let us = Spread::of(turns().map(|(keys, role)| role.cpu.as_secs_f64() * 1e6 / keys))?;
            let peak_mb = Spread::of(turns().map(|(_, role)| role.peak_kb as f64 / 1024.0))?;
            Some(RoleFigures { name, count: *count, us, peak_mb })
        };
        first.iter().enumerate().filter_map(role).collect()
    }
}

/// One role's processes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoleFigures {
    /// The role's name, as in `keysweep <role>`.
    pub(crate) name: &'static str,
    /// The number of its processes.
    pub(crate) count: usize,
    /// Their total CPU in µs per key.
    pub(crate) us: Spread,
    /// The largest resident memory of a process.
    pub(crate) peak_mb: Spread,
}

/// The outcome of a contender.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// All runs were correct.
    Measured(Figures),
    /// It could not be run here, with the reason.
    NotRun(String),
    /// A run failed or left wrong keys.
    Failed(String),
}

/// All measurements of one session.
pub(crate) struct Comparison {
    /// The number of turns.
    pub(crate) repeats: usize,
    /// The machine.
    pub(crate) machine: Machine,
    /// The foreground client's latency while no contender runs, turn by turn; empty if not measured.
    pub(crate) idle: Vec<Latency>,
    /// In the order of the tables.
    pub(crate) rows: Vec<(Case, Outcome)>,
}

impl Comparison {
    /// The number of keys of each contender, unless it gets a sample.
    pub(crate) fn keys(&self) -> u64 {
        self.rows.iter().map(|(case, _)| case.keys).fold(0, u64::max)
    }

    /// What was measured, in the order of the tables.
    pub(crate) fn measured(&self) -> impl Iterator<Item = (&Case, &Figures)> {
        self.rows.iter().filter_map(|(case, outcome)| match outcome {
            Outcome::Measured(figures) => Some((case, figures)),
            _ => None,
        })
    }

    /// The figures of `contender` with this share of stale keys, if it was measured.
    pub(crate) fn at(&self, contender: Contender, stale_percent: u8) -> Option<&Figures> {
        let mut measured = self.measured();
        let found = measured.find(|(c, _)| c.contender == contender && c.stale_percent == stale_percent);
        found.map(|(_, figures)| figures)
    }

    /// Its values of `measure`, turn by turn; none if it was not measured.
    pub(crate) fn values(&self, contender: Contender, stale_percent: u8, measure: Measure) -> Vec<f64> {
        self.at(contender, stale_percent).map_or_else(Vec::new, |figures| figures.values(measure))
    }

    /// `measure` of the first contender divided by that of the second, turn by turn; none without both.
    pub(crate) fn ratios(&self, pair: [Contender; 2], stale_percent: u8, measure: Measure) -> Vec<f64> {
        match pair.map(|contender| self.at(contender, stale_percent)) {
            [Some(above), Some(below)] => above.ratios(below, measure),
            _ => Vec::new(),
        }
    }

    /// Whether a contender's run failed.
    pub(crate) fn failed(&self) -> bool {
        self.rows.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(samples: [(f64, u64); 3]) -> Figures {
        let run = |(wall_s, cpu_ms)| {
            let cpu = Duration::from_millis(cpu_ms);
            let role = WorkerRole { name: "reaper", count: 3, cpu, peak_kb: 2048 };
            let (server_s, client_s) = (wall_s / 1e3, 0.5);
            Sample { keys: 1_000, wall_s, server_s, client_s, peak_mb: 8.0, roles: vec![role], latency: None }
        };
        Figures { runs: samples.map(run).into() }
    }

    #[test]
    fn ratios_are_computed_per_turn() {
        // The machine was slow in the second turn, and half recovered in the third. The ratio of the medians would be
        // 1.5.
        let ours = of([(1.0, 10), (10.0, 10), (4.0, 10)]);
        let theirs = of([(2.0, 10), (20.0, 10), (6.0, 10)]);
        assert_eq!(ours.ratios(&theirs, Measure::KeysPerS), [2.0, 2.0, 1.5]);
        assert_eq!(ours.ratios(&theirs, Measure::P99Ms), [0.0; 0], "it was not measured");
    }

    #[test]
    fn each_measure_has_its_own_spread() {
        let found = of([(4.0, 20), (1.0, 10), (2.0, 30)]);
        let check = |measure, min, median, max| {
            assert_eq!(found.spread(measure), Some(Spread { min, median, max }), "{measure:?}");
        };
        check(Measure::WallS, 1.0, 2.0, 4.0);
        check(Measure::KeysPerS, 250.0, 500.0, 1_000.0);
        check(Measure::ServerUs, 1.0, 2.0, 4.0);
        check(Measure::ClientUs, 500.0, 500.0, 500.0);
        assert_eq!(found.spread(Measure::P50Ms), None);
        let reaper = &found.roles()[0];
        assert_eq!(reaper.us, Spread { min: 10.0, median: 20.0, max: 30.0 });
        assert_eq!(reaper.peak_mb.median, 2.0);
    }
}
