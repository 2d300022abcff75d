//! The errors that end a command, and their exit codes.

use std::io;

use coordinator::embedded::RunError;
use coordinator::exit;
use coordinator::leader::LeaderError;
use coordinator::options::OptionsError;
use coordinator::restore::RestoreError;
use coordinator::schedule::BadSchedule;
use coordinator::serve::ServeError;
use coordinator::submit::SubmitError;
use coordinator::ttl_advice::TtlAdviceError;
use coordinator::ttl_experiment::ExperimentError;
use keysweep_backup::BackupError;
use keysweep_config::ConfigError;
use keysweep_http::{WebError, WebErrorKind};
use keysweep_model::ids::RunId;
use keysweep_nats::NatsError;
use keysweep_servers::ServersError;
use keysweep_state::StateError;
use keysweep_storage::queue::QueueError;
use keysweep_storage::records::RecordError;
use keysweep_storage::store::StoreError;
use thiserror::Error;

use super::run_ref::RefError;
use super::signals::Interrupted;

/// The errors that end a command.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The run has no result.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run was not started on workers.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The plan was not confirmed.
    #[error("{0}")]
    Consent(&'static str),
    /// A signal arrived before anything was changed.
    #[error("stopped by {1}; nothing was changed")]
    Stopped(u8, &'static str),
    /// The process ended before the run reached a safe point.
    #[error("stopped before a safe point; ledgers and lock expire automatically")]
    Left(u8),
    /// The backup target cannot be written.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A restoration ended before a safe point.
    #[error("stopped before a safe point; restored keys stay, and the same command continues")]
    LeftRestoring(u8),
    /// Nothing could be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A signal detached from a run that continues.
    #[error(
        "Detached. Run {1} continues.\n`keysweep runs attach {1}` follows it.\n`keysweep runs cancel {1}` stops it."
    )]
    Detached(u8, RunId),
    /// Signals detached from a run that was cancelled.
    #[error("Detached. Run {1} {0}.\n`keysweep runs attach {1}` shows how it ends.")]
    DetachedStopping(Interrupted, RunId),
    /// Signals, the terminal or output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The settings do not fit the command.
    #[error("{0}")]
    Usage(String),
    /// The settings are invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A health check without the good answer.
    #[error("{0}")]
    Unhealthy(String),
    /// An experiment has no answer.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// No address of NATS is set.
    #[error(
        "`keysweep {0}` works over NATS: say where it is with `--nats URL`, `NATS_URL`, or `[nats]` in the job file"
    )]
    NoNats(String),
    /// A cache could not be looked at.
    #[error(transparent)]
    TtlAdvice(#[from] TtlAdviceError),
    /// The servers of the demo could not be started or filled.
    #[error(transparent)]
    Servers(#[from] ServersError),
    /// The schedule cannot be used.
    #[error(transparent)]
    Schedule(#[from] BadSchedule),
    /// NATS cannot be used.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
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
    /// The service ended unexpectedly.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The reporter failed.
    #[error(transparent)]
    Reporter(#[from] reporter::ReporterError),
    /// The reference matches no run, or several.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The run does not exist.
    #[error("there is no run `{0}`; `keysweep runs list` shows those that are remembered")]
    NoRun(RunId),
    /// The run has no result to show.
    #[error("run `{0}` has no result: `keysweep runs attach {0}` follows it if it goes on")]
    NoReport(RunId),
    /// A run that was followed has ended without a result.
    #[error("run `{run}` has no result: {cause}")]
    NoResult {
        /// The run.
        run: RunId,
        /// Why.
        cause: String,
    },
    /// A service cannot be asked.
    #[error(transparent)]
    Web(#[from] WebError),
    /// A service answered with an error.
    #[error("the service at `{address}` answers {status}: {why}")]
    Service {
        /// Its URL, as far as it may be shown.
        address: String,
        /// The status of its answer.
        status: u16,
        /// Its reason.
        why: String,
    },
    /// Work was in progress when the shutdown deadline passed.
    #[error(
        "work in progress was not finished within {0} s: with NATS it is redelivered to other workers, without NATS the \
         run is closed as interrupted"
    )]
    NotDrained(u64),
}

impl CommandError {
    /// Whether a signal requested this end, so that it is no failure.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        matches!(self, Self::Detached(..) | Self::DetachedStopping(..))
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Run(e) | Self::Submit(SubmitError::Run(e)) => exit::of_error(e),
            Self::Restore(e) => exit::of_restore(e),
            Self::TtlAdvice(e) => exit::of_ttl_advice(e),
            Self::Experiment(e) => exit::of_experiment_error(e),
            Self::Backup(e) => exit::of_backup(e),
            Self::LeftRestoring(code) => *code,
            Self::Consent(_) | Self::Submit(SubmitError::Left(_)) => exit::REFUSED,
            Self::Stopped(code, _) | Self::Left(code) | Self::Detached(code, _) => *code,
            Self::DetachedStopping(left, _) => left.code,
            // A closed pipe (`| head`) is no failure.
            Self::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => exit::DONE,
            Self::Usage(_)
            | Self::Config(_)
            | Self::Options(_)
            | Self::NoNats(_)
            | Self::Schedule(_)
            | Self::Ref(_)
            | Self::NoRun(_)
            | Self::NoReport(_) => exit::USAGE,
            Self::Nats(NatsError::Unreachable { .. }) => exit::UNREACHABLE,
            Self::Web(e) => match e.kind {
                WebErrorKind::Unreachable(_) | WebErrorKind::Timeout(_) => exit::UNREACHABLE,
                WebErrorKind::Address => exit::USAGE,
                _ => exit::FAILED,
            },
            Self::Service { status: 409, .. } => exit::REFUSED,
            Self::Service { status: 400..=499, .. } => exit::USAGE,
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
            Self::State(e) if e.is_setting() => exit::USAGE,
            Self::State(_)
            | Self::Io(_)
            | Self::Unhealthy(_)
            | Self::Servers(_)
            | Self::Nats(_)
            | Self::Records(_)
            | Self::Submit(_)
            | Self::Conduct(_)
            | Self::Serve(_)
            | Self::Reporter(_)
            | Self::NoResult { .. }
            | Self::Service { .. }
            | Self::NotDrained(_) => exit::FAILED,
        }
    }
}
