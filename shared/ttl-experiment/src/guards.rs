//! What stops an experiment at once, before it has a verdict.

use std::fmt;

use crate::limits::{GUARD_ERRORS, GUARD_ERRORS_MIN, GUARD_MEMORY, GUARD_MISSES};

/// The servers' figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// `used_memory` as a share of `maxmemory`, of the node where it is largest; none without a `maxmemory`.
    pub memory: Option<f64>,
    /// Keys that were evicted since the experiment began.
    pub evicted: u64,
    /// Errors that servers replied since the look before, redirections aside.
    pub errors: u64,
    /// Reads that found their key since then.
    pub hits: u64,
}

/// Why an experiment was stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Guard {
    /// The treated arm has more misses.
    Misses {
        /// The lower bound of its misses, relative to the control.
        at_least: f64,
    },
    /// Memory is nearly full.
    Memory {
        /// The share of `maxmemory`.
        used: f64,
    },
    /// Keys were evicted.
    Evictions {
        /// Since the beginning.
        keys: u64,
    },
    /// Servers reply with errors.
    Errors {
        /// Errors,
        errors: u64,
        /// and hits of the same time.
        hits: u64,
    },
}

/// The guard that stops the experiment, if one does. `misses_at_least` is the lower bound of the treated arm's misses,
/// relative to the control.
#[must_use]
pub fn tripped(health: &Health, misses_at_least: Option<f64>) -> Option<Guard> {
    if let Some(at_least) = misses_at_least.filter(|low| *low > GUARD_MISSES) {
        return Some(Guard::Misses { at_least });
    }
    if health.evicted > 0 {
        return Some(Guard::Evictions { keys: health.evicted });
    }
    if let Some(used) = health.memory.filter(|used| *used > GUARD_MEMORY) {
        return Some(Guard::Memory { used });
    }
    let Health { errors, hits, .. } = *health;
    let is_high = errors >= GUARD_ERRORS_MIN && errors as f64 > GUARD_ERRORS * hits as f64;
    is_high.then_some(Guard::Errors { errors, hits })
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Misses { at_least } => write!(
                f,
                "the users of the other TTL have at least {:.0} % more misses; {:.0} % are allowed",
                (at_least - 1.0) * 100.0,
                (GUARD_MISSES - 1.0) * 100.0
            ),
            Self::Memory { used } => write!(
                f,
                "{:.0} % of `maxmemory` are used; {:.0} % are allowed",
                used * 100.0,
                GUARD_MEMORY * 100.0
            ),
            Self::Evictions { keys } => write!(f, "{keys} keys were evicted since the experiment began"),
            Self::Errors { errors, hits } => write!(
                f,
                "the servers replied {errors} errors to {hits} hits; {:.0} % are allowed",
                GUARD_ERRORS * 100.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_guard_has_its_limit() {
        let good = Health { memory: Some(0.85), evicted: 0, errors: 100, hits: 10_000 };
        let check = |health: Health, misses: Option<f64>, expected: Option<Guard>| {
            assert_eq!(tripped(&health, misses), expected);
        };
        check(good, None, None);
        check(good, Some(1.2), None);
        check(good, Some(1.21), Some(Guard::Misses { at_least: 1.21 }));
        check(Health { memory: Some(0.86), ..good }, None, Some(Guard::Memory { used: 0.86 }));
        check(Health { memory: None, ..good }, None, None);
        check(Health { evicted: 1, ..good }, None, Some(Guard::Evictions { keys: 1 }));
        check(Health { errors: 101, ..good }, None, Some(Guard::Errors { errors: 101, hits: 10_000 }));
        check(Health { errors: 99, hits: 0, ..good }, None, None);
    }
}
