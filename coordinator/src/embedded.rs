//! A run with all stages in this process: the default for a single user. The same loops as on many workers, over the
//! in-memory queue and store.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use keysweep_backup::{BackupError, BackupTarget, BackupTargets};
use keysweep_config::BackupPlace;
use keysweep_http::Integrations;
use keysweep_model::ids::RunId;
use keysweep_model::result::CleanupResult;
use keysweep_model::time::now_ms;
use keysweep_redis::RedisError;
use keysweep_runtime::context::Context;
use keysweep_runtime::failpoint::FailPoints;
use keysweep_state::StateError;
use keysweep_storage::records::RecordError;
use keysweep_storage::store::MemoryStore;
use keysweep_tasks::supervision::{Exit, TaskGroup, caught};
use reaper::Reaper;
use reporter::ReporterError;
use scanner::Scanner;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::drive::{DriveError, Progress, RunDisplay, drive};
use crate::job_lock::{self, JobLock, LockError};
use crate::ledgers;
use crate::limits::{EMBEDDED_REAPS, EMBEDDED_SCANS};
use crate::options::Options;
use crate::preflight::{Preflight, PreflightError, preflight};
use crate::report;
use crate::shared_run;
use crate::state;

/// Why a run has no result.
#[derive(Debug, Error)]
pub enum RunError {
    /// The run could not start.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Another run holds the lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The guard on deletions refused.
    #[error(
        "{about}{candidates} of {matching} matching keys ({percent:.1} %) would be deleted, more than the limit of \
         {limit} %; check them with `--dry-run`, and allow it with `--max-delete-percent {allow}`"
    )]
    TooMany {
        /// `about `, if they are estimated.
        about: &'static str,
        /// Keys that would be deleted.
        candidates: u64,
        /// Matching keys.
        matching: u64,
        /// Percentage of matching keys.
        percent: f64,
        /// The limit in percent.
        limit: u8,
        /// The limit that would allow it.
        allow: u8,
    },
    /// A rule would delete too large a share of its keys.
    #[error(
        "rule {rule}: {about}{deletions} of its {keys} keys ({percent:.1} %) would be deleted, more than the limit of \
         {limit} %; check them with `--dry-run`, and allow it with `max_delete_percent = {allow}` in the rule"
    )]
    TooManyOfRule {
        /// The rule, counted from 1.
        rule: usize,
        /// `about `, if they are estimated.
        about: &'static str,
        /// Keys that would be deleted.
        deletions: u64,
        /// Keys of the rule.
        keys: u64,
        /// Percentage of its keys.
        percent: f64,
        /// The limit in percent.
        limit: u8,
        /// The limit that would allow it.
        allow: u8,
    },
    /// The backup target cannot be written.
    #[error("{0}; nothing was deleted, because `--backup` requires a save")]
    Backup(#[from] BackupError),
    /// The state file cannot be used.
    #[error("{0}; nothing was deleted, because what is deleted is recorded there")]
    State(#[from] StateError),
    /// The run could not be recorded before it began.
    #[error("{0}; nothing was deleted, because the run could not be recorded")]
    Unrecorded(RecordError),
    /// The run could not be driven.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The reporter failed.
    #[error(transparent)]
    Reporter(#[from] ReporterError),
    /// A stage ended before the run did: a bug.
    #[error("stage `{0}` {1}; this is a bug, please report it")]
    Stage(String, Exit),
}

impl RunError {
    /// Whether the time limit was exceeded before the run began.
    #[must_use]
    pub fn out_of_time(&self) -> bool {
        matches!(self, Self::Preflight(PreflightError::OutOfTime(_)))
    }
}

/// Runs one cleanup in this process, from preflight to result.
///
/// # Errors
/// When it cannot start, or produces no result. A run with a gap has a result.
pub async fn run_cleanup_now(options: &Options) -> Result<CleanupResult, RunError> {
    let mut plan = preflight(options, RunId::new(), now_ms()).await?;
    plan.try_out(options).await?;
    let context = state::context(options).await?;
    let (progress, _) = watch::channel(Progress::start(keys(&plan)));
    let result = run(&context, options, &plan, progress).await?;
    report::write(&result, options).await;
    Ok(result)
}

/// The context of an embedded run that keeps nothing; [`crate::state::context`] keeps what outlives it.
#[must_use]
pub fn context(options: &Options) -> Context {
    let access = BTreeMap::from([(options.alias.clone(), options.access.clone())]);
    let outside = Integrations::new([(options.job.clone(), options.integrations.clone())]);
    let backups =
        Arc::new(BackupTargets::new(backup_place(options).map(|place| (options.job.clone(), place)), None));
    Context {
        integrations: Arc::new(outside),
        backups,
        ..Context::in_process(access, keysweep_runtime::context::Timing::default())
    }
}

/// Where a run in this process saves the keys that it deletes.
fn backup_place(options: &Options) -> Option<BackupTarget> {
    match &options.backup.as_ref()?.0 {
        BackupPlace::Directory(path) => Some(BackupTarget::directory(path)),
        // Buckets need NATS.
        BackupPlace::Bucket(_) => None,
    }
}

/// Keys that a run of `plan` lists.
#[must_use]
pub fn keys(plan: &Preflight) -> u64 {
    plan.nodes.iter().map(|node| node.keys).sum()
}

/// Refuses a run that would delete more than its limit, in all or by one of its rules.
///
/// # Errors
/// [`RunError::TooMany`], [`RunError::TooManyOfRule`].
pub fn check_deletions(options: &Options, plan: &Preflight) -> Result<(), RunError> {
    let estimate = &plan.estimate;
    let candidates = estimate.deletions(options.rules.action);
    let (limit, percent) = (options.max_delete_percent, estimate.percent_of(candidates));
    let about = if estimate.exact { "" } else { "about " };
    if percent > f64::from(limit) {
        let matching = estimate.matching_keys;
        return Err(RunError::TooMany { about, candidates, matching, percent, limit, allow: allow(percent) });
    }
    for (at, rule) in plan.rules.iter().enumerate() {
        let (deletions, keys, percent) = (rule.deletions, rule.matching_keys, rule.percent());
        let (rule, limit) = (at + 1, options.rule_limit(at));
        if percent > f64::from(limit) {
            let allow = allow(percent);
            return Err(RunError::TooManyOfRule { rule, about, deletions, keys, percent, limit, allow });
        }
    }
    Ok(())
}

/// The limit in whole percent that allows `percent`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 0 to 100")]
fn allow(percent: f64) -> u8 {
    percent.ceil().min(100.0) as u8
}

/// Runs `plan` in this process, after it was confirmed and its permissions were checked ([`Preflight::try_out`]). A
/// cancel record in `context`, or in its state file, stops the run.
///
/// # Errors
/// See [`run_cleanup_now`].
pub async fn run(
    context: &Context,
    options: &Options,
    plan: &Preflight,
    progress: watch::Sender<Progress>,
) -> Result<CleanupResult, RunError> {
    let claim = claim(context, options, plan).await?;
    carry_out(context, options, plan, claim, progress).await
}

/// What a run holds until its end: its job's lock, if it changes keys.
pub(crate) struct Claim {
    keeper: TaskGroup,
    unlock: CancellationToken,
}

impl Claim {
    async fn free(self) {
        self.unlock.cancel();
        for (name, exit) in self.keeper.join().await {
            tracing::warn!(name, %exit, "the lock remains until its lease ends");
        }
    }
}

/// The checks before a run; its job's lock; and its line in the history, so that other processes see it.
///
/// # Errors
/// When the run must not begin.
pub(crate) async fn claim(context: &Context, options: &Options, plan: &Preflight) -> Result<Claim, RunError> {
    plan.time.check("the run began").map_err(PreflightError::from)?;
    check_deletions(options, plan)?;
    if let Some(order) = &plan.spec.backup {
        let no_place = || BackupError::NoTarget(options.job.clone());
        context.backups.of(&options.job, order).ok_or_else(no_place)?.check().await?;
    }
    let records = context.records(plan.spec.run);
    let mut claim = Claim { keeper: TaskGroup::default(), unlock: CancellationToken::new() };
    if options.rules.writes() {
        let lock = job_lock::take_for(plan, options, records.clone()).await?;
        let unlock = claim.unlock.clone();
        claim.keeper.start("lock", async move {
            if let Some(why) = JobLock::renew_until(lock, unlock).await? {
                job_lock::stop(&records, why).await;
            }
            Ok::<(), RedisError>(())
        });
    }
    if context.is_kept()
        && let Err(e) = state::begin(context, plan).await
    {
        if options.rules.writes() {
            claim.free().await;
            return Err(RunError::Unrecorded(e));
        }
        tracing::warn!("the run is not recorded: {e}");
    }
    Ok(claim)
}

/// Carries out a run that has its claim.
///
/// # Errors
/// When it has no result.
pub(crate) async fn carry_out(
    context: &Context,
    options: &Options,
    plan: &Preflight,
    claim: Claim,
    progress: watch::Sender<Progress>,
) -> Result<CleanupResult, RunError> {
    let (records, kept) = (context.records(plan.spec.run), context.is_kept());
    let display = RunDisplay::from(progress);
    let shared = kept.then(|| shared_run::start(context, plan.spec.run, display.view()));
    // A panic must not leave the run open, and its job locked.
    let result = match caught(Box::pin(stages(context, options, plan, display))).await {
        Ok(result) => result,
        Err(exit) => Err(RunError::Stage("driver".to_owned(), exit)),
    };
    drop(shared);
    if kept {
        if let Err(e) = state::settle(context, plan.spec.run, &result).await {
            tracing::error!(run = %plan.spec.run, error = %e, "the end of the run is not recorded");
        }
        state::remove_old(context, options).await;
    }
    // Without a result, the records have no end to read up to.
    if result.is_ok()
        && options.rules.writes()
        && let Err(e) = ledgers::drop_of_run(options, &records).await
    {
        tracing::warn!(error = %e, "ledger keys remain; they expire automatically");
    }
    claim.free().await;
    result
}

/// Starts the stages, drives the run, and joins them all.
async fn stages(
    context: &Context,
    options: &Options,
    plan: &Preflight,
    display: RunDisplay,
) -> Result<CleanupResult, RunError> {
    let shutdown = CancellationToken::new();
    let mut tasks = TaskGroup::default();
    let scanner = Arc::new(Scanner::new(context.clone(), shutdown.clone()));
    for n in 0..EMBEDDED_SCANS {
        let (scanner, crash) = (Arc::clone(&scanner), Arc::clone(&context.failpoints));
        tasks.start(format!("scanner {n}"), restarted(crash, async move || scanner.run(1).await));
    }
    let reaper = Arc::new(Reaper::new(context.clone(), shutdown.clone()));
    for n in 0..EMBEDDED_REAPS {
        let (reaper, crash) = (Arc::clone(&reaper), Arc::clone(&context.failpoints));
        tasks.start(format!("reaper {n}"), restarted(crash, async move || reaper.run(1).await));
    }
    let (own, run) = (context.clone(), plan.spec.run);
    let report = async move || reported(&own, run).await;
    tasks.start("reporter", restarted(Arc::clone(&context.failpoints), report));
    plan.note(context).await;
    plan.store(&context.records(run)).await.map_err(DriveError::from)?;
    let mut driving = Box::pin(drive(context, run, &options.started_by, display));
    let result = loop {
        tokio::select! {
            result = &mut driving => break result?,
            Some((name, exit)) = tasks.next() => {
                // The reporter ends when the result is stored; no other stage ends by itself.
                if name != "reporter" || exit != Exit::Done {
                    return Err(RunError::Stage(name, exit));
                }
            }
        }
    };
    shutdown.cancel();
    match tasks.join().await.pop() {
        Some((name, exit)) => Err(RunError::Stage(name, exit)),
        None => Ok(result),
    }
}

/// Reports the run; without what the state file has, if that has become unusable: the run has its result all the same.
async fn reported(context: &Context, run: RunId) -> Result<(), ReporterError> {
    match reporter::report(context, run, now_ms).await {
        Err(ReporterError::Store(e)) if context.is_kept() => {
            tracing::error!("the result of the run is not compared with earlier ones, and not kept: {e}");
            let without =
                Context { history_store: Arc::new(MemoryStore::default()), audit: None, ..context.clone() };
            reporter::report(&without, run, now_ms).await.map(drop)
        }
        reported => reported.map(drop),
    }
}

/// A worker that is dropped at the planned failpoint and restarted, as a supervisor would do.
async fn restarted<E: Display>(
    crash: Arc<FailPoints>,
    start: impl AsyncFn() -> Result<(), E>,
) -> Result<(), E> {
    loop {
        tokio::select! {
            exit = start() => return exit,
            () = crash.fired() => tracing::warn!("worker cut off, as planned"),
        }
    }
}
