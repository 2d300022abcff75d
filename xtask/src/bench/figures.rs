//! The final figures of each contender (pure): medians of its runs, or why there are none.

use super::contenders::Contender;
use super::contenders::fleet::WorkerRole;
use super::latency::Latency;
use super::machine::Machine;

/// One run.
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
}

impl Sample {
    /// Keys per second, from the start of the process to its end.
    pub(crate) fn keys_per_s(&self) -> f64 {
        self.keys as f64 / self.wall_s
    }

    /// CPU of all servers in µs per key.
    pub(crate) fn server_us(&self) -> f64 {
        self.server_s * 1e6 / self.keys as f64
    }

    /// CPU of the contender in µs per key.
    pub(crate) fn client_us(&self) -> f64 {
        self.client_s * 1e6 / self.keys as f64
    }
}

/// Medians over all runs of one contender.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    /// The runs in order.
    pub(crate) runs: Vec<Sample>,
    /// The number of keys.
    pub(crate) keys: u64,
    /// Seconds from the start of the process to its end.
    pub(crate) wall_s: f64,
    /// Keys per second in that time.
    pub(crate) keys_per_s: f64,
    /// CPU of all servers in µs per key.
    pub(crate) server_us: f64,
    /// CPU of the contender in µs per key.
    pub(crate) client_us: f64,
    /// The largest resident memory of a process.
    pub(crate) peak_mb: f64,
    /// The foreground client's latency during the runs, if measured.
    pub(crate) latency: Option<Latency>,
    /// Usage by role, if there are several.
    pub(crate) roles: Vec<RoleFigures>,
}

impl Figures {
    /// The median over all turns of `of` for this contender divided by `of` for `other`. Runs of the same turn see the
    /// same machine speed; runs of different turns may not.
    pub(crate) fn by(&self, other: &Self, of: fn(&Sample) -> f64) -> f64 {
        median(self.runs.iter().zip(&other.runs).map(|(ours, theirs)| of(ours) / of(theirs)))
    }
}

/// Medians of one role's processes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoleFigures {
    /// The role's name, as in `keysweep <role>`.
    pub(crate) name: &'static str,
    /// The number of its processes.
    pub(crate) count: usize,
    /// Their total CPU in µs per key.
    pub(crate) us: f64,
    /// The largest resident memory of a process.
    pub(crate) peak_mb: f64,
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
    /// The number of keys of each contender, unless it gets a sample.
    pub(crate) keys: u64,
    /// The number of runs behind the medians.
    pub(crate) repeats: usize,
    /// The machine.
    pub(crate) machine: Machine,
    /// The foreground client's latency while no contender runs.
    pub(crate) idle: Option<Latency>,
    /// In the order of the tables.
    pub(crate) rows: Vec<(Contender, Outcome)>,
}

impl Comparison {
    /// The figures of `contender`, if it was measured.
    pub(crate) fn of(&self, contender: Contender) -> Option<&Figures> {
        self.rows.iter().find_map(|(row, outcome)| match outcome {
            Outcome::Measured(figures) if *row == contender => Some(figures),
            _ => None,
        })
    }

    /// Whether a contender's run failed.
    pub(crate) fn failed(&self) -> bool {
        self.rows.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
    }
}

/// The median of each figure of `samples`; `None` if there are none.
pub(crate) fn figures(samples: Vec<Sample>, latency: Option<Latency>) -> Option<Figures> {
    let first = samples.first()?;
    let of = |field: fn(&Sample) -> f64| median(samples.iter().map(field));
    let keys = first.keys as f64;
    let role = |index: usize, of: fn(&WorkerRole) -> f64| {
        median(samples.iter().filter_map(|sample| sample.roles.get(index)).map(of))
    };
    let roles = first.roles.iter().enumerate().map(|(index, WorkerRole { name, count, .. })| RoleFigures {
        name,
        count: *count,
        us: role(index, |role| role.cpu.as_secs_f64()) * 1e6 / keys,
        peak_mb: role(index, |role| role.peak_kb as f64 / 1024.0),
    });
    let roles = roles.collect();
    Some(Figures {
        keys: first.keys,
        wall_s: of(|sample| sample.wall_s),
        keys_per_s: of(Sample::keys_per_s),
        server_us: of(Sample::server_us),
        client_us: of(Sample::client_us),
        peak_mb: of(|sample| sample.peak_mb),
        latency,
        roles,
        runs: samples,
    })
}

/// The middle value; of an even number of values, the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(values[middle - 1], *value),
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(wall_s: f64, server_s: f64, cpu_ms: u64) -> Sample {
        let role = WorkerRole { name: "reaper", count: 3, cpu: Duration::from_millis(cpu_ms), peak_kb: 2048 };
        Sample { keys: 1_000, wall_s, server_s, client_s: 0.5, peak_mb: 8.0, roles: vec![role] }
    }

    #[test]
    fn ratios_are_computed_per_turn() {
        let of =
            |walls: [f64; 3]| figures(walls.map(|wall_s| sample(wall_s, 0.001, 10)).into(), None).unwrap();
        // The machine was slow in the second turn, and half recovered in the third. The ratio of the medians would be
        // 1.5.
        let (ours, theirs) = (of([1.0, 10.0, 4.0]), of([2.0, 20.0, 6.0]));
        assert_eq!(ours.by(&theirs, Sample::keys_per_s), 2.0);
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let samples = vec![sample(4.0, 0.001, 20), sample(1.0, 0.004, 10), sample(2.0, 0.002, 30)];
        let found = figures(samples, None).unwrap();
        assert_eq!((found.wall_s, found.keys_per_s), (2.0, 500.0));
        assert!((found.server_us - 2.0).abs() < 1e-9 && (found.client_us - 500.0).abs() < 1e-9, "{found:?}");
        assert!((found.roles[0].us - 20.0).abs() < 1e-9 && found.roles[0].peak_mb == 2.0, "{found:?}");
        assert_eq!(figures(Vec::new(), None), None);
    }

    #[test]
    fn the_median_of_two_lies_between_them() {
        assert_eq!(median([3.0, 1.0].into_iter()), 2.0);
        assert!(median([].into_iter()).is_nan());
    }
}
