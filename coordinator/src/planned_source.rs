//! Whom a run would read in place of a primary, as the plan tells it.

use keysweep_model::messages::ReadSource;
use serde::Serialize;

/// Whom the keys of a primary are read from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedSource {
    /// `host:port` of the replica; null if the primary is read all the same.
    pub replica: Option<String>,
    /// Bytes that it lacked when it was looked at.
    pub behind_bytes: u64,
    /// How long it took until it had them, in milliseconds.
    pub waited_ms: u64,
    /// Why no replica is read.
    pub why_not: Option<String>,
}

impl PlannedSource {
    pub(crate) fn of(source: &ReadSource) -> Self {
        let ReadSource { replica, behind_bytes, waited_ms, why_not, .. } = source.clone();
        Self { replica, behind_bytes, waited_ms, why_not }
    }

    /// All of it in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match (&self.replica, &self.why_not) {
            (Some(replica), _) => format!("from replica {replica}, {} bytes behind", self.behind_bytes),
            (None, why) => format!("from the primary: {}", why.as_deref().unwrap_or("nobody else is there")),
        }
    }
}
