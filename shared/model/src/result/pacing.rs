//! What pacing did, in a result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// How pacing limited a run, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pacing {
    /// `latency-budget` or `max-speed`; a rate limit may apply in addition.
    pub mode: String,
    /// The permitted increase of the p99 latency of other clients, in milliseconds.
    pub latency_budget_ms: Option<u64>,
    /// The maximum number of keys read per second.
    pub rate_limit: Option<u64>,
    /// Times that the duty cycle of a node was halved.
    pub slowdowns: u64,
    /// Waiting time in milliseconds, summed over nodes and tasks.
    pub waited_ms: Waited,
    /// One row per node that was probed.
    pub nodes: Vec<PacedNode>,
    /// A summary as a sentence.
    pub summary: String,
}

/// Waiting time in milliseconds by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waited {
    /// Pauses for other clients' requests.
    pub latency: u64,
    /// Waits for the rate limit.
    pub rate_limit: u64,
}

/// The probe statistics of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PacedNode {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// Times that its duty cycle was halved.
    pub slowdowns: u64,
    /// Its lowest duty cycle, above 0 and up to 1.
    pub lowest_duty_cycle: f64,
    /// The median of the probes before the first work there, in milliseconds; null if none was answered.
    pub probe_ms_before: Option<f64>,
    /// The p99 of the probes while the run worked there, in milliseconds.
    pub probe_ms_p99: Option<f64>,
    /// The number of these probes.
    pub probes: u64,
    /// Those of them that exceeded the latency before plus the budget.
    pub late_probes: u64,
}
