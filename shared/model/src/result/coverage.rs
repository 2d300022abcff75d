//! The coverage of a run: what of a deployment it has read, and what it has not.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much of something was read. Reads before a server was replaced or became unreachable do not count if the part
/// had to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it.
    All,
    /// Some of it.
    Part,
    /// Nothing; of a cluster, no complete slot.
    Nothing,
}

impl Extent {
    /// The extent of a whole: everything if `all`, a part if `some`.
    #[must_use]
    pub fn of(all: bool, some: bool) -> Self {
        match (all, some) {
            (true, _) => Self::All,
            (false, true) => Self::Part,
            (false, false) => Self::Nothing,
        }
    }
}

/// What was read, and what was not. The counts of the result refer to what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The causes, with the number of tasks.
    pub causes: BTreeMap<String, u64>,
    /// Slots that were read, but with candidates that failed, were unreached or are unconfirmed; null on a standalone
    /// server, or if there are none.
    #[serde(default)]
    pub unresolved: Option<String>,
}
