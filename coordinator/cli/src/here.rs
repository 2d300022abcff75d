//! Commands about runs without NATS: they read the state file of this machine, also while runs go on, and ask the process
//! of a run to stop it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coordinator::drive::Progress;
use coordinator::options::Options;
use coordinator::{shared_run, state};
use keysweep_config::Settings;
use keysweep_model::ids::RunId;
use keysweep_model::time::now_ms;
use keysweep_runtime::context::{Context, Timing};
use keysweep_state::{FILE_NAME, StateFile};
use keysweep_storage::history;
use tokio::sync::watch;

use super::args::{EventsArgs, RunsCommand, ScheduleCommand};
use super::error::CommandError;
use super::followed::{FollowState, Followed, follow};
use super::run::OutputMode;
use super::{events, progress, remote, runs, schedule};

/// `keysweep runs …`.
///
/// # Errors
/// When the state file cannot be used, there is no such run, or a run that is followed has no result.
pub async fn runs(jobs: &[Settings], command: &RunsCommand, show: OutputMode) -> Result<u8, CommandError> {
    let context = context(jobs).await?;
    match command {
        RunsCommand::Cancel(args) => cancel(jobs, args.run.find(&context).await?, show).await,
        RunsCommand::Attach(args) => attach(&context, jobs, args.run.find(&context).await?, show).await,
        reads => runs::remembered(&context, jobs, reads, show).await,
    }
}

/// Asks the process of a run to stop it, through the state file.
async fn cancel(jobs: &[Settings], run: RunId, show: OutputMode) -> Result<u8, CommandError> {
    let file = StateFile::opened(folder(jobs)?.join(FILE_NAME)).await?;
    let scope = file.scope_of(&history::key(run)).await?.ok_or(CommandError::NoRun(run))?;
    let context = state::attached(Context::in_process(BTreeMap::new(), Timing::default()), &file, &scope);
    let context = Context { store: Arc::clone(&context.history_store), ..context };
    let line = history::of(&*context.history_store, run).await?;
    if let Some(line) = line.filter(|line| line.status.is_none())
        && shared_run::is_silent(&context, &line, now_ms()).await?
    {
        tracing::warn!("{}", silent());
    }
    runs::cancel(&context, run, show).await
}

fn silent() -> String {
    let seconds = shared_run::SILENT_AFTER.as_secs();
    format!(
        "the process of the run has written nothing for {seconds} s; if it is gone, the next run of its job closes it"
    )
}

/// Follows a run of another process to its result.
async fn attach(
    context: &Context,
    jobs: &[Settings],
    run: RunId,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let followed = Followed::find(context, jobs, run).await?;
    let (sender, receiver) = watch::channel(Progress::start(followed.spec.keys()));
    let following = async {
        let result = follow(run, &sender, async || look(context, run).await).await;
        drop(sender);
        result
    };
    let shown = async { tokio::join!(following, progress::show(receiver, None, show.quiet)).0 };
    let result = followed.until_signal(shown).await?;
    remote::printed(&context.records(run), &result, &followed.options, show).await
}

/// What the state file has of a run.
async fn look(context: &Context, run: RunId) -> Result<FollowState, CommandError> {
    if let Some(result) = context.records(run).result().await? {
        return Ok(FollowState::Result(Box::new(result)));
    }
    let line = history::of(&*context.history_store, run).await?.ok_or(CommandError::NoRun(run))?;
    if line.status.is_some() {
        return Ok(FollowState::Ended(line.cause));
    }
    if shared_run::is_silent(context, &line, now_ms()).await? {
        return Err(CommandError::NoResult { run, cause: silent() });
    }
    Ok(FollowState::Running(shared_run::read(context, run).await?.map(|shared| Box::new(shared.progress))))
}

/// `keysweep events`.
///
/// # Errors
/// When the state file cannot be used.
pub async fn events(jobs: &[Settings], args: &EventsArgs, show: OutputMode) -> Result<u8, CommandError> {
    events::print_events(&context(jobs).await?, args, show).await
}

/// `keysweep schedule …`.
///
/// # Errors
/// When the state file cannot be used, or the job is not known.
pub async fn schedule(
    jobs: &[Settings],
    command: &ScheduleCommand,
    show: OutputMode,
) -> Result<u8, CommandError> {
    schedule::answered(&context(jobs).await?, jobs, command, show).await
}

/// A context with all that the state file has.
async fn context(jobs: &[Settings]) -> Result<Context, CommandError> {
    let folder = folder(jobs)?;
    for job in jobs {
        import(job).await;
    }
    let file = StateFile::opened_read_only(folder.join(FILE_NAME)).await?;
    Ok(state::reading(&file, Context::in_process(BTreeMap::new(), Timing::default())))
}

/// The history of an earlier version is part of what is read. A folder that cannot be written has none to take over.
pub(super) async fn import(job: &Settings) {
    if let Ok(options) = Options::from_settings(job)
        && options.state.old_history().is_some()
        && let Err(e) = state::open(&options).await
    {
        tracing::warn!("the former history is not taken over: {e}");
    }
}

/// The folder of the state file that all jobs share.
pub(super) fn folder(jobs: &[Settings]) -> Result<&Path, CommandError> {
    let folders: BTreeSet<Option<&PathBuf>> = jobs.iter().map(|job| job.state_dir.value.as_ref()).collect();
    match folders.into_iter().collect::<Vec<_>>().as_slice() {
        [Some(folder)] => Ok(folder),
        [None] | [] => Err(CommandError::Usage(
            "no state is kept (`--state-dir none`): name the folder of a state file with `--state-dir`, or NATS with \
             `--nats URL`"
                .to_owned(),
        )),
        _ => Err(CommandError::Usage(
            "the jobs of the job file have different `state_dir`, and a service has one state file: name one folder for all \
             jobs with `state_dir` under `[serve]`, or with `--state-dir`"
                .to_owned(),
        )),
    }
}
