//! The node that a run would read instead of a primary, as shown in the plan.

use keysweep_model::messages::ReadSource;
use serde::Serialize;

/// The node that the keys of a primary are read from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedSource {
    /// `host:port` of the replica; null if the primary is read.
    pub replica: Option<String>,
    /// Replication lag in bytes when it was checked.
    pub behind_bytes: u64,
    /// How long it took to catch up, in milliseconds.
    pub waited_ms: u64,
    /// Why no replica is read.
    pub primary_reason: Option<String>,
}

impl PlannedSource {
    pub(crate) fn of(source: &ReadSource) -> Self {
        let ReadSource { replica, behind_bytes, waited_ms, primary_reason, .. } = source.clone();
        Self { replica, behind_bytes, waited_ms, primary_reason }
    }

    /// The source as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match (&self.replica, &self.primary_reason) {
            (Some(replica), _) => format!("from replica {replica}, {} bytes behind", self.behind_bytes),
            (None, why) => format!("from the primary: {}", why.as_deref().unwrap_or("it has no replica")),
        }
    }
}
