//! What pacing did and saw at one node while a task or a batch was at work there. Mergeable, and of bounded size.

use serde::{Deserialize, Serialize};

use crate::sketch::Quantiles;

/// See the module. What a process did at a node is told once, by the task or the batch that ends next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodePacing {
    /// Times that the share of the node's time was halved.
    pub slowed_down: u64,
    /// Milliseconds in which the node was left alone, so that others are served.
    pub latency_wait_ms: u64,
    /// Milliseconds that tasks waited for the rate limit.
    pub rate_wait_ms: u64,
    /// The lowest share of the node's time, above 0 and up to 1; `None` without a latency budget.
    pub share_min: Option<f64>,
    /// What a probe took before the first work there, in microseconds: the lowest, if several processes measured.
    pub before_us: Option<u64>,
    /// What probes took since, in microseconds.
    pub probes_us: Quantiles,
    /// Probes that took longer than before and the budget.
    pub late: u64,
}

impl NodePacing {
    /// Takes that of another task in.
    pub fn merge(&mut self, other: &Self) {
        self.slowed_down = self.slowed_down.saturating_add(other.slowed_down);
        self.latency_wait_ms = self.latency_wait_ms.saturating_add(other.latency_wait_ms);
        self.rate_wait_ms = self.rate_wait_ms.saturating_add(other.rate_wait_ms);
        self.share_min = lower(self.share_min, other.share_min, f64::min);
        self.before_us = lower(self.before_us, other.before_us, u64::min);
        self.probes_us.merge(&other.probes_us);
        self.late = self.late.saturating_add(other.late);
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn lower<T: Copy>(one: Option<T>, other: Option<T>, min: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(min(one, other)),
        (one, other) => one.or(other),
    }
}
