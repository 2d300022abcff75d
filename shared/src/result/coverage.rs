//! What of a deployment a run has read, and what it has not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How much of something was read. What was read before its server was replaced, or could not be asked any more, does not
/// count where it had to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it.
    All,
    /// Some of it.
    Part,
    /// Nothing; of a cluster, no slot to its end.
    Nothing,
}

impl Extent {
    /// That of a whole of which `all` was read, or else `some`.
    #[must_use]
    pub fn of(all: bool, some: bool) -> Self {
        match (all, some) {
            (true, _) => Self::All,
            (false, true) => Self::Part,
            (false, false) => Self::Nothing,
        }
    }
}

/// What was read, and what was not. Figures of the result that are counted are those of what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Whether everything was read.
    pub complete: bool,
    /// How much was read; null in results of earlier versions.
    #[serde(default)]
    pub extent: Option<Extent>,
    /// Slots read; null on a standalone server.
    pub slots_covered: Option<u64>,
    /// What was not read: slot ranges such as `0-5460`, `database 0`, or `part of database 0`; null if everything was.
    pub missing: Option<String>,
    /// Why, with the number of tasks.
    pub causes: BTreeMap<String, u64>,
    /// Slots that were read, and of whose candidates some failed, were not reached or are unconfirmed; null on a
    /// standalone server, or if there are none.
    #[serde(default)]
    pub unresolved: Option<String>,
}
