//! Exit codes: a contract with scripts.

use keysweep_backup::BackupError;
use keysweep_model::messages::CancelKind;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_redis::{RedisError, RedisErrorKind};

use crate::embedded::RunError;
use crate::job_lock::LockError;
use crate::preflight::PreflightError;
use crate::restore::RestoreError;

/// Everything was done.
pub const DONE: u8 = 0;
/// It failed.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// Something was not covered, not reached or not confirmed.
pub const PARTIAL: u8 = 3;
/// A guard or a held lock refused.
pub const REFUSED: u8 = 4;
/// Redis or NATS cannot be reached.
pub const UNREACHABLE: u8 = 5;
/// Ended by SIGINT.
pub const INTERRUPTED: u8 = 130;
/// Ended by SIGTERM.
pub const TERMINATED: u8 = 143;

/// The code for a run that has a result; `cancel` says why it was stopped, if it was.
#[must_use]
pub fn of_result(result: &CleanupResult, cancel: Option<CancelKind>) -> u8 {
    match (result.status, cancel) {
        (Status::Completed, _) => DONE,
        (_, Some(CancelKind::Guard)) => REFUSED,
        (_, Some(CancelKind::LockLost)) => FAILED,
        (Status::Partial | Status::Cancelled, _) => PARTIAL,
        (Status::Failed, _) => FAILED,
    }
}

/// The code for a run that has none.
#[must_use]
pub fn of_error(error: &RunError) -> u8 {
    match error {
        RunError::Survey(PreflightError::Redis(fault)) | RunError::Lock(LockError::Redis(fault)) => {
            of_fault(fault)
        }
        RunError::Backup(e) => of_backup(e),
        // As a run that was stopped by it.
        RunError::Survey(PreflightError::OutOfTime(_)) => PARTIAL,
        RunError::Survey(PreflightError::OneDatabase { .. } | PreflightError::NoDatabase { .. }) => USAGE,
        RunError::Survey(PreflightError::Rights { .. } | PreflightError::Commands { .. })
        | RunError::TooMany { .. } => REFUSED,
        RunError::Lock(LockError::Held { .. } | LockError::Foreign { .. }) => REFUSED,
        RunError::Survey(
            PreflightError::Replica { .. } | PreflightError::TooOld { .. } | PreflightError::NoSlots,
        )
        | RunError::Drive(_)
        | RunError::Reporter(_)
        | RunError::Stage(..) => FAILED,
    }
}

/// The code where nothing can be saved, or what was saved cannot be read.
#[must_use]
pub fn of_backup(error: &BackupError) -> u8 {
    if error.is_setting() { USAGE } else { FAILED }
}

/// The code for a restoration that put nothing back.
#[must_use]
pub fn of_restore(error: &RestoreError) -> u8 {
    match error {
        RestoreError::Backup(e) => of_backup(e),
        RestoreError::Empty { .. } => USAGE,
        RestoreError::Redis(fault) => of_fault(fault),
    }
}

fn of_fault(fault: &RedisError) -> u8 {
    match fault.kind {
        RedisErrorKind::Unreachable
        | RedisErrorKind::ConnectionLost
        | RedisErrorKind::ReplyCutOff
        | RedisErrorKind::Protocol
        | RedisErrorKind::Unavailable
        | RedisErrorKind::TooManyClients => UNREACHABLE,
        RedisErrorKind::Authentication | RedisErrorKind::Tls | RedisErrorKind::Misconfigured => USAGE,
        RedisErrorKind::PermissionDenied => REFUSED,
        RedisErrorKind::CommandError if fault.is_unknown_command() => REFUSED,
        RedisErrorKind::Moved
        | RedisErrorKind::ReplyTooLarge
        | RedisErrorKind::NotWritable
        | RedisErrorKind::NoScript
        | RedisErrorKind::WrongDeployment
        | RedisErrorKind::CommandError => FAILED,
    }
}
