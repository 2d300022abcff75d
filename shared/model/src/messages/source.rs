//! The server that a task of a run read, if the run reads replicas.

use serde::{Deserialize, Serialize};

/// The server that a task read, and its replication lag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadSource {
    /// `host:port` of the replica; `None` if the primary was read.
    pub replica: Option<String>,
    /// Bytes of replication lag when the task began.
    pub behind_bytes: u64,
    /// Seconds since its last message from the primary, when the task began.
    pub silent_s: u64,
    /// Milliseconds that the task waited until the lag was gone.
    pub waited_ms: u64,
    /// Why no replica was read, for people.
    pub primary_reason: Option<String>,
}
