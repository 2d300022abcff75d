//! Exit codes: a contract with scripts.

use keysweep_backup::BackupError;
use keysweep_model::messages::CancelKind;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_redis::{RedisError, RedisErrorKind};

use crate::embedded::RunError;
use crate::job_lock::LockError;
use crate::preflight::PreflightError;
use crate::restore::RestoreError;
use crate::ttl_advice::TtlAdviceError;
use crate::ttl_experiment::{ExperimentError, ExperimentStatus, Verdict};

/// Everything was done.
pub const DONE: u8 = 0;
/// The run or command failed.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// Part of the keys was not covered, reached or confirmed; or it is not known whether keys break rules.
pub const PARTIAL: u8 = 3;
/// A guard refused, or another run has the lock.
pub const REFUSED: u8 = 4;
/// Redis or NATS cannot be reached.
pub const UNREACHABLE: u8 = 5;
/// Keys break the rules of a job: more than are allowed.
pub const BREACHED: u8 = 6;
/// Ended by SIGINT.
pub const INTERRUPTED: u8 = 130;
/// Ended by SIGTERM.
pub const TERMINATED: u8 = 143;

/// The code for a run with a result; `cancel` is the reason for its cancellation, if any.
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

/// The code for a run without a result.
#[must_use]
pub fn of_error(error: &RunError) -> u8 {
    match error {
        RunError::Preflight(e) => of_preflight(e),
        RunError::Lock(LockError::Redis(fault)) => of_fault(fault),
        RunError::Backup(e) => of_backup(e),
        RunError::TooMany { .. }
        | RunError::TooManyOfRule { .. }
        | RunError::Lock(LockError::Held { .. } | LockError::Foreign { .. }) => REFUSED,
        RunError::State(e) if e.is_setting() => USAGE,
        RunError::State(_)
        | RunError::Unrecorded(_)
        | RunError::Drive(_)
        | RunError::Reporter(_)
        | RunError::Stage(..) => FAILED,
    }
}

fn of_preflight(error: &PreflightError) -> u8 {
    match error {
        PreflightError::Redis(fault) => of_fault(fault),
        // The same code as for a run that was cancelled at its limit.
        PreflightError::OutOfTime(_) => PARTIAL,
        PreflightError::OneDatabase { .. }
        | PreflightError::NoDatabase { .. }
        | PreflightError::Rules(_)
        | PreflightError::Rule { .. } => USAGE,
        PreflightError::Rights { .. } | PreflightError::Commands { .. } => REFUSED,
        PreflightError::Replica { .. } | PreflightError::TooOld { .. } | PreflightError::NoSlots => FAILED,
    }
}

/// The code when TTL advice has no answer.
#[must_use]
pub fn of_ttl_advice(error: &TtlAdviceError) -> u8 {
    match error {
        TtlAdviceError::Redis(fault) => of_fault(fault),
        TtlAdviceError::Preflight(e) => of_preflight(e),
        TtlAdviceError::Silent(_) => UNREACHABLE,
        TtlAdviceError::Pattern(_) => USAGE,
        TtlAdviceError::TooOld { .. } | TtlAdviceError::Application(_) | TtlAdviceError::Store(_) => FAILED,
    }
}

/// The code when a backup cannot be written or read.
#[must_use]
pub fn of_backup(error: &BackupError) -> u8 {
    if error.is_setting() { USAGE } else { FAILED }
}

/// The code for a restoration that restored nothing.
#[must_use]
pub fn of_restore(error: &RestoreError) -> u8 {
    match error {
        RestoreError::Backup(e) => of_backup(e),
        RestoreError::Empty { .. } => USAGE,
        RestoreError::Redis(fault) => of_fault(fault),
    }
}

/// The code for the state of an experiment: whether it answers, and whether a guard stopped it.
#[must_use]
pub fn of_experiment(status: &ExperimentStatus) -> u8 {
    match status.verdict {
        Verdict::GoOn | Verdict::Benefit | Verdict::Harm | Verdict::Equivalent | Verdict::Stopped => DONE,
        Verdict::Undecided | Verdict::Invalid => PARTIAL,
        Verdict::Guard => REFUSED,
    }
}

/// The code for a command about an experiment without an answer.
#[must_use]
pub fn of_experiment_error(error: &ExperimentError) -> u8 {
    match error {
        ExperimentError::Redis(fault) => of_fault(fault),
        ExperimentError::State(e) if e.is_setting() => USAGE,
        ExperimentError::State(_) | ExperimentError::Store(_) | ExperimentError::Changed => FAILED,
        ExperimentError::Plan(_) | ExperimentError::NoState | ExperimentError::NotFound { .. } => USAGE,
        ExperimentError::NothingWritten { .. } => PARTIAL,
        ExperimentError::Exists { .. }
        | ExperimentError::Foreign { .. }
        | ExperimentError::Guard(_)
        | ExperimentError::TooOld { .. } => REFUSED,
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
