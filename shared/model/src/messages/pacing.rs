//! What pacing did and measured at one node during a task or a batch. Mergeable, and of bounded size.

use serde::{Deserialize, Serialize};

use crate::sketch::Quantiles;

/// Pacing statistics of one node. What a process did at a node is reported once, by the next task or batch that ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodePacing {
    /// Times that the duty cycle at the node was halved.
    pub slowdowns: u64,
    /// Milliseconds in which the node was left idle for other clients.
    pub latency_wait_ms: u64,
    /// Milliseconds that tasks waited for the rate limit.
    pub rate_wait_ms: u64,
    /// The lowest duty cycle at the node, above 0 and up to 1; `None` without a latency budget.
    pub duty_cycle_min: Option<f64>,
    /// The probe latency before the first work there, in microseconds: the lowest, if several processes measured.
    pub before_us: Option<u64>,
    /// The probe latencies since, in microseconds.
    pub probes_us: Quantiles,
    /// Probes that exceeded the latency before plus the budget.
    pub late: u64,
}

impl NodePacing {
    /// Merges the statistics of another task.
    pub fn merge(&mut self, other: &Self) {
        self.slowdowns = self.slowdowns.saturating_add(other.slowdowns);
        self.latency_wait_ms = self.latency_wait_ms.saturating_add(other.latency_wait_ms);
        self.rate_wait_ms = self.rate_wait_ms.saturating_add(other.rate_wait_ms);
        self.duty_cycle_min = lower(self.duty_cycle_min, other.duty_cycle_min, f64::min);
        self.before_us = lower(self.before_us, other.before_us, u64::min);
        self.probes_us.merge(&other.probes_us);
        self.late = self.late.saturating_add(other.late);
    }

    /// Whether there is nothing to report.
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
