//! Why a command ends without what was asked for, and the exit code that this means.

use std::io;

use shared::backup::BackupError;
use shared::ids::RunId;
use shared::nats::NatsError;
use shared::queue::QueueError;
use shared::records::RecordError;
use shared::store::StoreError;
use thiserror::Error;

use super::run_ref::RefError;
use super::signals::Interrupted;
use crate::embedded::RunError;
use crate::exit;
use crate::leader::LeaderError;
use crate::options::OptionsError;
use crate::restore::RestoreError;
use crate::schedule::ScheduleError;
use crate::serve::{ServeError, StartError};
use crate::submit::SubmitError;

/// Why a command ends without a result.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The run has none.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run was not started.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The run was not started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nobody agreed to the plan.
    #[error("{0}")]
    Consent(&'static str),
    /// A signal came before anything was changed.
    #[error("stopped by {1}; nothing was changed")]
    Stopped(u8, &'static str),
    /// The run was left before it came to a safe point.
    #[error("left before a safe point; ledgers and lock expire by themselves")]
    Left(u8),
    /// Nothing can be saved where it is to be.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A restoration was left.
    #[error("left before a safe point; what is back stays, and the same command goes on")]
    LeftRestoring(u8),
    /// Nothing could be put back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A signal ended the watching of a run that goes on without us.
    #[error(
        "Detached. Run {1} continues.\n`keysweep runs attach {1}` follows it.\n`keysweep runs cancel {1}` stops it."
    )]
    Detached(u8, RunId),
    /// Signals ended the watching of a run that is to stop.
    #[error("Detached. Run {1} {0}.\n`keysweep runs attach {1}` shows how it ends.")]
    DetachedStopping(Interrupted, RunId),
    /// Signals or output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The settings do not fit the command.
    #[error("{0}")]
    Usage(String),
    /// The settings cannot be carried out.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The schedule cannot be carried out.
    #[error("`schedule` of job `{job}`: {source}")]
    Schedule {
        /// The job.
        job: String,
        /// What is wrong.
        source: ScheduleError,
    },
    /// NATS cannot be used.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A run could not be driven.
    #[error(transparent)]
    Conduct(#[from] LeaderError),
    /// The service ended by itself.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The reporter failed.
    #[error(transparent)]
    Reporter(#[from] reporter::ReporterError),
    /// No run, or not one alone, is meant.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// There is no such run.
    #[error("there is no run `{0}`; `keysweep runs list` shows those that are remembered")]
    NoRun(RunId),
    /// The run has no result that could be shown.
    #[error("run `{0}` has no result: `keysweep runs attach {0}` follows it if it goes on")]
    NoReport(RunId),
    /// Work was still in hand when the time for it was over.
    #[error("what was in hand was not finished within {0} s; it is delivered to others")]
    NotDrained(u64),
}

impl CommandError {
    /// Whether it is no failure, but what somebody asked for by a signal.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        matches!(self, Self::Detached(..) | Self::DetachedStopping(..))
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Run(e) | Self::Submit(SubmitError::Run(e)) => exit::of_error(e),
            Self::Start(StartError::Run(e) | StartError::Submit(SubmitError::Run(e))) => exit::of_error(e),
            Self::Restore(e) => exit::of_restore(e),
            Self::Backup(e) => exit::of_backup(e),
            Self::LeftRestoring(code) => *code,
            Self::Consent(_) | Self::Submit(SubmitError::Left(_)) => exit::REFUSED,
            Self::Stopped(code, _) | Self::Left(code) | Self::Detached(code, _) => *code,
            Self::DetachedStopping(left, _) => left.code,
            Self::Usage(_)
            | Self::Options(_)
            | Self::Schedule { .. }
            | Self::Ref(_)
            | Self::NoRun(_)
            | Self::NoReport(_) => exit::USAGE,
            Self::Nats(NatsError::Unreachable { .. }) => exit::UNREACHABLE,
            Self::Nats(
                NatsError::Refused { .. }
                | NatsError::Tls { .. }
                | NatsError::NoDomain { .. }
                | NatsError::Key(_),
            ) => exit::USAGE,
            Self::Store(_) | Self::Records(RecordError::Store(_)) | Self::Queue(_) => exit::UNREACHABLE,
            Self::Submit(SubmitError::Store(_) | SubmitError::Records(RecordError::Store(_))) => {
                exit::UNREACHABLE
            }
            Self::Io(_)
            | Self::Nats(_)
            | Self::Records(_)
            | Self::Submit(_)
            | Self::Start(_)
            | Self::Conduct(_)
            | Self::Serve(_)
            | Self::Reporter(_)
            | Self::NotDrained(_) => exit::FAILED,
        }
    }
}
