//! Commands about runs without NATS: they read the state file of this machine, also while runs go on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use coordinator::options::Options;
use coordinator::state;
use keysweep_config::Settings;
use keysweep_runtime::context::{Context, Timing};
use keysweep_state::{FILE_NAME, StateFile};
use tokio::task::spawn_blocking;

use super::args::{EventsArgs, RunsCommand};
use super::error::CommandError;
use super::run::OutputMode;
use super::{events, runs};

/// `keysweep runs …`.
///
/// # Errors
/// When the state file cannot be used, there is no such run, or the command needs NATS.
pub async fn runs(jobs: &[Settings], command: &RunsCommand, show: OutputMode) -> Result<u8, CommandError> {
    runs::over_nats(command)?;
    runs::remembered(&context(jobs).await?, jobs, command, show).await
}

/// `keysweep events`.
///
/// # Errors
/// When the state file cannot be used.
pub async fn events(jobs: &[Settings], args: &EventsArgs, show: OutputMode) -> Result<u8, CommandError> {
    events::print_events(&context(jobs).await?, args, show).await
}

/// A context with all that the state file has.
async fn context(jobs: &[Settings]) -> Result<Context, CommandError> {
    let folder = folder(jobs)?;
    for job in jobs {
        import(job).await;
    }
    let path = folder.join(FILE_NAME);
    let opened = spawn_blocking(move || StateFile::open_read_only(&path)).await;
    let file = opened.map_err(|e| CommandError::Usage(e.to_string()))??;
    Ok(state::reading(&file, Context::in_process(BTreeMap::new(), Timing::default())))
}

/// The history of an earlier version is part of what is read. A folder that cannot be written has none to take over.
async fn import(job: &Settings) {
    if let Ok(options) = Options::from_settings(job)
        && options.state.old_history().is_some()
        && let Err(e) = state::open(&options).await
    {
        tracing::warn!("the former history is not taken over: {e}");
    }
}

/// The folder of the state file that all jobs share.
fn folder(jobs: &[Settings]) -> Result<&Path, CommandError> {
    let folders: BTreeSet<Option<&PathBuf>> = jobs.iter().map(|job| job.state_dir.value.as_ref()).collect();
    match folders.into_iter().collect::<Vec<_>>().as_slice() {
        [Some(folder)] => Ok(folder),
        [None] | [] => Err(CommandError::Usage(
            "no state is kept (`--state-dir none`): name the folder of a state file with `--state-dir`, or NATS with \
             `--nats URL`"
                .to_owned(),
        )),
        _ => Err(CommandError::Usage(
            "the jobs of the job file have different folders of state: name one with `--state-dir`".to_owned(),
        )),
    }
}
