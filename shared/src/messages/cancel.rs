//! Telling everybody that a run is to stop.

use serde::{Deserialize, Serialize};

/// Why a run is to stop before its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The sort of cause; it decides the exit code.
    pub kind: CancelKind,
    /// The cause, for people.
    pub cause: String,
}

/// Who or what stops a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelKind {
    /// Somebody asked for it.
    Asked,
    /// A guard refused to go on.
    Guard,
    /// The time allowed is over.
    Runtime,
    /// The lock was lost.
    LockLost,
    /// What was to be deleted could not be saved.
    Backup,
}
