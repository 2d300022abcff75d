//! The state file of this machine, as runs in one process use it: what outlives a run is kept there, and other processes
//! read it while the run goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keysweep_config::{Origin, RedisUrl, Settings};
use keysweep_model::ids::{Alias, RunId};
use keysweep_model::outcome::Outcome;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::{now_ms, rfc3339};
use keysweep_runtime::context::Context;
use keysweep_state::{FILE_NAME, StateError, StateFile};
use keysweep_storage::audit::AuditTrail;
use keysweep_storage::events::{Event, EventKind, FailedAttemptData};
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::records::{RecordError, Records};
use keysweep_storage::store::Store;
use reporter::{ReporterError, counted};
use serde_json::json;

use crate::embedded::{self, RunError};
use crate::options::Options;
use crate::preflight::Preflight;
use crate::shared_run::is_silent;

/// What runs without NATS keep, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePlace {
    /// The folder of the state file; `None` if nothing is kept.
    pub dir: Option<PathBuf>,
    /// Distinguishes runs that share a file: empty if the job file names the deployment, and otherwise its alias and
    /// address. A job file names its deployments once for all; without one, every server is `main`.
    pub scope: String,
    /// How earlier versions called the history file of this deployment.
    pub old_name: String,
    /// How long the names of deleted keys are kept.
    pub audit_kept: Duration,
}

impl Default for StatePlace {
    /// Nothing is kept.
    fn default() -> Self {
        let (scope, old_name) = Default::default();
        Self { dir: None, scope, old_name, audit_kept: Duration::from_secs(7 * 86_400) }
    }
}

impl StatePlace {
    /// As the settings of a job say.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let urls = &settings.redis.urls;
        let address = urls.value.first().map(RedisUrl::expose).unwrap_or_default();
        let deployment = deployment(&settings.alias.value, address);
        let named = matches!(urls.origin, Origin::File { .. });
        Self {
            dir: settings.state_dir.value.clone(),
            scope: if named { String::new() } else { deployment.clone() },
            old_name: format!("{deployment}.jsonl"),
            audit_kept: settings.audit_retention.value,
        }
    }

    /// The history file of earlier versions, if it is there.
    #[must_use]
    pub fn old_history(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(&self.old_name)).filter(|old| old.is_file())
    }
}

/// The alias and the address of a deployment, as part of a file name: without login and options.
fn deployment(alias: &Alias, url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split('?').next().unwrap_or_default().trim_matches('/');
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' };
    format!("{alias}@{host}").chars().map(plain).take(150).collect()
}

/// Opens the state file of `options`; `None` if they have no folder for one. Takes over the history of earlier versions.
///
/// # Errors
/// When it cannot be used.
pub async fn open(options: &Options) -> Result<Option<StateFile>, StateError> {
    let Some(path) = options.state.dir.as_ref().map(|dir| dir.join(FILE_NAME)) else { return Ok(None) };
    let file = StateFile::opened(path).await?;
    if let Some(old) = options.state.old_history() {
        file.import(&old, &options.state.scope).await?;
    }
    Ok(Some(file))
}

/// The context of an embedded run that keeps what outlives it in the state file, if the options have a folder for one.
///
/// # Errors
/// When the file cannot be used.
pub async fn context(options: &Options) -> Result<Context, StateError> {
    let context = embedded::context(options);
    Ok(match open(options).await? {
        Some(file) => attached(context, &file, &options.state.scope),
        None => context,
    })
}

/// The same for what changes no key: without a usable file, nothing is kept, and the log says why.
pub async fn context_to_read(options: &Options) -> Context {
    context(options).await.unwrap_or_else(|e| {
        tracing::warn!("the history of runs is not kept: {e}");
        embedded::context(options)
    })
}

/// `context` with what outlives a run in `scope` of `file`.
#[must_use]
pub fn attached(context: Context, file: &StateFile, scope: &str) -> Context {
    let audit: Arc<dyn AuditTrail> = Arc::new(file.clone());
    Context { history_store: Arc::new(file.store(scope)), audit: Some(audit), ..context }
}

/// The context of commands that read the runs of all scopes of `file`. Nothing can be written through it.
#[must_use]
pub fn reading(file: &StateFile, context: Context) -> Context {
    let all: Arc<dyn Store> = Arc::new(file.all());
    Context { store: Arc::clone(&all), history_store: all, audit: Some(Arc::new(file.clone())), ..context }
}

/// Makes a run visible to other processes, before it changes the first key. Earlier runs of its job that have no end and
/// whose processes are gone are closed.
///
/// # Errors
/// When the file cannot be written.
pub(crate) async fn begin(context: &Context, plan: &Preflight) -> Result<(), RecordError> {
    let spec = &plan.spec;
    for line in unfinished(context, &spec.job, &spec.alias).await? {
        // A run that writes has the job's lock. Now we have it.
        let is_gone = if line.writes && spec.rules.writes() {
            line.run_id != spec.run
        } else {
            !line.writes && is_silent(context, &line, now_ms()).await?
        };
        if is_gone {
            close(context, line, GONE).await?;
        }
    }
    kept_records(context, spec.run).create_spec(spec).await?;
    Ok(history::begin(&*context.history_store, spec).await?)
}

/// The runs of a job that have no end.
///
/// # Errors
/// When the store fails.
pub(crate) async fn unfinished(
    context: &Context,
    job: &str,
    redis: &Alias,
) -> Result<Vec<RunLine>, RecordError> {
    let mut lines = history::read(&*context.history_store).await?;
    lines.retain(|line| line.status.is_none() && line.job == job && line.redis == *redis);
    Ok(lines)
}

/// Why a run without a result is closed by another process.
pub(crate) const GONE: &str = "interrupted: its process ended without a result";

/// Ends the line of a run that has no result because of `cause`, with what the audit trail confirms.
///
/// # Errors
/// When the file cannot be used.
pub(crate) async fn close(context: &Context, line: RunLine, cause: &str) -> Result<(), RecordError> {
    let (mut deleted, mut doubtful, mut revision) = (0_u64, 0_u64, 0);
    while let Some(audit) = &context.audit
        && let Some(next) = audit.next(Some(line.run_id), revision).await?
    {
        revision = next.revision;
        for (_, outcome) in next.entry.groups.iter().flat_map(|group| &group.keys) {
            match outcome {
                Outcome::Deleted => deleted += 1,
                Outcome::Unconfirmed => doubtful += 1,
                _ => {}
            }
        }
    }
    let more = match doubtful {
        0 => String::new(),
        keys => {
            let keys = counted(keys, "key", "keys");
            format!(", and {keys} may have been: `keysweep runs audit {} --all` names them", line.run_id)
        }
    };
    let cause = format!("{cause}; {} deleted{more}", counted(deleted, "key was", "keys were"));
    tracing::warn!(run = %line.run_id, "closed a run without a result: {cause}");
    let line = RunLine {
        status: Some(Status::Failed),
        finished_at: Some(rfc3339(now_ms())),
        cleaned_keys: deleted,
        cause: Some(cause),
        ..line
    };
    history::write(&*context.history_store, &line).await?;
    let (issues, attempt) = ([line.cause.as_deref().unwrap_or(GONE)], line.attempt);
    let data = json!(FailedAttemptData { status: Status::Failed, issues, attempt });
    context.emit_event(&Event::once(&line.job, line.run_id, EventKind::Failed, now_ms(), data)).await;
    Ok(())
}

/// Records how the run `run` of this process ended, unless it is recorded.
///
/// # Errors
/// When the file cannot be used.
pub(crate) async fn settle(
    context: &Context,
    run: RunId,
    ended: &Result<CleanupResult, RunError>,
) -> Result<(), ReporterError> {
    let open = history::of(&*context.history_store, run).await?.filter(|line| line.status.is_none());
    match (ended, open) {
        (Ok(result), open) => {
            let (own, kept) = (context.records(run), kept_records(context, run));
            // It decides the exit code of commands that follow the run.
            if let Some(cancel) = own.cancel().await? {
                kept.create_cancel(&cancel).await?;
            }
            kept.create_result(result).await?;
            // The reporter has done this, unless the file had a fault.
            if let (Some(_), Some(spec)) = (open, kept.spec().await?) {
                reporter::record_end(context, &spec, result).await?;
            }
        }
        (Err(e), Some(line)) => close(context, line, &e.to_string()).await?,
        (Err(_), None) => {}
    }
    Ok(())
}

/// Removes what is too old to be kept of the job of `options`. A failure is logged.
pub(crate) async fn remove_old(context: &Context, options: &Options) {
    let Some(audit) = &context.audit else { return };
    if let Err(e) = audit.remove_old(&options.job, options.state.audit_kept, now_ms()).await {
        tracing::warn!("old entries were not removed: {e}");
    }
}

/// The records of a run that other processes see: its spec, its result, and a request to stop it.
pub(crate) fn kept_records(context: &Context, run: RunId) -> Records {
    Records::new(Arc::clone(&context.history_store), run)
}
