//! Limits of the preflight of a cluster, which may announce thousands of nodes that do not answer.

use std::time::Duration;

/// Nodes that are queried concurrently.
pub const NODES_AT_ONCE: usize = 32;

/// Time limit for checking all primaries of a cluster before a run, and again after it. A thousand that take a second
/// each are checked in half of it. One that never answers takes fifteen seconds.
pub const PREFLIGHT_TIMEOUT: Duration = Duration::from_secs(60);

/// Unreachable primaries that are listed; further ones are only counted.
pub const UNREACHABLE_NAMED_MAX: usize = 100;

/// How long primaries are queried for the topology, one after the other, when the seeds do not answer: fifteen silent
/// ones.
pub const ASK_ALL_TIMEOUT: Duration = Duration::from_secs(30);
