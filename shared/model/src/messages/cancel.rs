//! The record that cancels a run.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

/// Why a run is cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The kind of cause. It decides the exit code.
    pub kind: CancelKind,
    /// The cause, for people.
    pub cause: String,
}

/// What cancels a run. Its name as text is that of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum CancelKind {
    /// A user or a client requested it.
    Asked,
    /// A guard stopped the run.
    Guard,
    /// The run exceeded its maximum runtime.
    Runtime,
    /// The lock in Redis was lost.
    LockLost,
    /// Keys could not be backed up.
    Backup,
}
