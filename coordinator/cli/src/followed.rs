//! A run that a command follows, while the run itself goes on elsewhere.

use std::time::Duration;

use coordinator::drive::Progress;
use coordinator::options::Options;
use keysweep_config::Settings;
use keysweep_model::ids::RunId;
use keysweep_model::messages::RunSpec;
use keysweep_model::result::CleanupResult;
use keysweep_runtime::context::Context;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::error::CommandError;
use super::signals::Signals;

/// How often a run is looked at.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// How long after its end in the history the result of a run may follow.
const RESULT_FOLLOWS_WITHIN: Duration = Duration::from_secs(10);

/// What is known of a run.
pub(super) enum FollowState {
    /// It continues.
    Running(Option<Box<Progress>>),
    /// It has ended, and its result is not there yet; why it ended, as far as it is known.
    Ended(Option<String>),
    /// It has its result.
    Result(Box<CleanupResult>),
}

/// Looks at a run until it has its result, and sends its progress.
///
/// # Errors
/// Those of `look`, and [`CommandError::NoResult`].
pub(super) async fn follow(
    run: RunId,
    progress: &watch::Sender<Progress>,
    look: impl AsyncFn() -> Result<FollowState, CommandError>,
) -> Result<CleanupResult, CommandError> {
    let mut ended: Option<Instant> = None;
    loop {
        match look().await? {
            FollowState::Result(result) => return Ok(*result),
            FollowState::Running(seen) => {
                if let Some(seen) = seen {
                    progress.send_replace(*seen);
                }
            }
            // The result follows the end in the history.
            FollowState::Ended(cause) => {
                if ended.get_or_insert_with(Instant::now).elapsed() >= RESULT_FOLLOWS_WITHIN {
                    let cause = cause.unwrap_or_else(|| "it was not kept".to_owned());
                    return Err(CommandError::NoResult { run, cause });
                }
            }
        }
        sleep(POLL_EVERY).await;
    }
}

/// A run, with what its display needs.
pub(super) struct Followed {
    pub(super) spec: RunSpec,
    /// The options that it was started with, as far as its display needs them.
    pub(super) options: Options,
}

impl Followed {
    /// The run in the records of `context`; its display is as `jobs` say.
    ///
    /// # Errors
    /// When there is no such run, or the records fail.
    pub(super) async fn find(context: &Context, jobs: &[Settings], run: RunId) -> Result<Self, CommandError> {
        let spec = context.records(run).spec().await?.ok_or(CommandError::NoRun(run))?;
        Ok(Self { options: options(jobs, &spec)?, spec })
    }

    /// The output of `following`, unless a signal comes first: it detaches from the run.
    ///
    /// # Errors
    /// Those of `following`, and [`CommandError::Detached`].
    pub(super) async fn until_signal<T>(
        &self,
        following: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        let mut signals = Signals::catch()?;
        tokio::select! {
            followed = following => followed,
            (code, _) = signals.next() => Err(CommandError::Detached(code, self.spec.run)),
        }
    }
}

/// The options that a run was started with, as far as its display needs them.
pub(super) fn options(jobs: &[Settings], spec: &RunSpec) -> Result<Options, CommandError> {
    let any = jobs.first().ok_or_else(|| CommandError::Usage("there is no job".to_owned()))?;
    Ok(Options {
        job: spec.job.clone(),
        display_name: spec.display_name.clone(),
        rules: spec.rules.clone(),
        ..Options::from_settings(any)?
    })
}
