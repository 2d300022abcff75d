//! The reporter's loop: reads the records of a run until they are complete, stores the result once, and then publishes
//! events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_model::messages::{Lookups, RunSpec};
use keysweep_model::metrics::{Finding, FindingKind, HitRates, RedisHealth, Severity};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::now_ms;
use keysweep_redis::RedisClient;
use keysweep_redis::health::{self, HealthCheck};
use keysweep_runtime::collect::{self, SnapshotMeta};
use keysweep_runtime::context::Context;
use keysweep_runtime::failpoint::FailPoint;
use keysweep_storage::counter_snapshot::{self, CounterSnapshot, SnapshotPhase};
use keysweep_storage::dead_letter;
use keysweep_storage::events::{self, Event, EventKind, IssueData};
use keysweep_storage::history::{self, HISTORY, RunLine};
use keysweep_storage::records::RecordError;
use keysweep_storage::store::StoreError;
use keysweep_storage::ttl_advice;
use keysweep_tasks::supervision::TaskGroup;
use serde_json::json;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::alerting;
use crate::alerts::RulesFound;
use crate::findings::{self, RulesBefore};
use crate::finish::{ResultContext, finish};
use crate::fold::Fold;
use crate::hit_rate::CounterSnapshots;

/// The delay before a failed report is retried.
const RETRY: Duration = Duration::from_secs(2);

/// How long the reporter that stored a result may take to publish its events. It takes some milliseconds.
const OTHER_REPORTER_WAIT: Duration = Duration::from_secs(2);

/// Why a run has no result.
#[derive(Debug, Error)]
pub enum ReporterError {
    /// Reading or writing records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records are complete, but contain no spec.
    #[error("run {0} has no spec")]
    NoSpec(RunId),
}

/// Reports all existing and future runs until `shutdown`. Several reporters may do this concurrently.
///
/// # Errors
/// When the store fails permanently.
pub async fn run(context: &Context, shutdown: CancellationToken) -> Result<(), ReporterError> {
    let mut watch = context.history_store.watch(HISTORY).await?;
    let (mut tasks, mut in_progress) = (TaskGroup::default(), BTreeSet::new());
    let (notices, until) = (context.clone(), shutdown.clone());
    tasks.start("alerts", async move { alerting::deliver_pending(&notices, &[], &until).await });
    loop {
        let entry = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            entry = watch.next() => entry?,
            // A report task that ended; `None` if there is none.
            Some((name, _)) = tasks.next() => {
                in_progress.remove(&name);
                continue;
            }
        };
        let Some(line) = RunLine::read(&entry) else { continue };
        if line.status.is_none() && in_progress.insert(line.run_id.to_string()) {
            let env = context.clone();
            tasks.start(line.run_id.to_string(), async move { with_retries(&env, line).await });
        }
    }
}

/// Reports one run, with retries until it succeeds.
async fn with_retries(context: &Context, line: RunLine) -> Result<(), ReporterError> {
    loop {
        let reported = tokio::select! {
            reported = report(context, line.run_id, now_ms) => reported,
            () = context.failpoints.fired() => {
                tracing::warn!("reporter interrupted by a failpoint");
                continue;
            }
        };
        match reported {
            Ok(_) => return Ok(()),
            Err(e) => {
                tracing::warn!(run = %line.run_id, error = %e, "failed to report a run; retrying");
                sleep(RETRY).await;
            }
        }
    }
}

/// Follows `run` to its end and returns its result: this reporter's, or that of a faster one.
///
/// # Errors
/// When the records fail permanently.
pub async fn report(
    context: &Context,
    run: RunId,
    now_ms: impl Fn() -> u64,
) -> Result<CleanupResult, ReporterError> {
    let records = context.records(run);
    let mut watch = records.watch().await?;
    let mut fold = Fold::default();
    while !fold.complete() {
        fold.apply(&watch.next().await?);
    }
    let spec = fold.spec().ok_or(ReporterError::NoSpec(run))?;
    let concluded = Box::pin(conclude(context, spec, &fold, now_ms())).await?;
    let result = concluded.ok_or(ReporterError::NoSpec(run))?;
    context.failpoints.hit(FailPoint::ResultPending).await;
    let first = records.create_result(&result).await?;
    if first {
        context.telemetry.ended(&spec.alias, &result);
    }
    context.failpoints.hit(FailPoint::ResultStored).await;
    let result = match records.result().await? {
        Some(stored) if !first => stored,
        _ => result,
    };
    // The reporter that stored the result publishes the events and ends with the run's line in the history. If that
    // line does not appear, this reporter does both.
    if !first && context.distributed && has_ended(context, run).await? {
        return Ok(result);
    }
    record_end(context, spec, &result).await?;
    Ok(result)
}

/// Publishes the events of a run's end, and then writes its line in the history: if a reporter crashes before, the next one
/// does the rest.
///
/// # Errors
/// When the store fails.
pub async fn record_end(
    context: &Context,
    spec: &RunSpec,
    result: &CleanupResult,
) -> Result<(), ReporterError> {
    if context.is_kept() {
        emit_events(context, spec, result).await?;
    }
    history::write(&*context.history_store, &RunLine::begin(spec).end(result)).await?;
    Ok(())
}

/// Whether the run's line has an end state, now or within a short wait.
async fn has_ended(context: &Context, run: RunId) -> Result<bool, StoreError> {
    let until = Instant::now() + OTHER_REPORTER_WAIT;
    loop {
        let line = history::of(&*context.history_store, run).await?;
        if line.is_some_and(|line| line.status.is_some()) {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        sleep(OTHER_REPORTER_WAIT / 20).await;
    }
}

/// Publishes the events of a run's end. Events are deduplicated, so this is idempotent.
async fn emit_events(context: &Context, spec: &RunSpec, result: &CleanupResult) -> Result<(), ReporterError> {
    let event = |kind, data| Event::once(&spec.job, spec.run, kind, now_ms(), data);
    let issues = result.findings.iter().filter(|finding| finding.kind == FindingKind::Issue);
    for (n, Finding { message: issue, policy_rule, .. }) in issues.enumerate() {
        let data = IssueData { issue, policy_rule: policy_rule.as_ref() };
        let issue = event(EventKind::Issue, json!(data)).one_of(n.to_string());
        events::emit(&*context.history_store, &issue).await?;
    }
    let kind = match result.status {
        Status::Completed => EventKind::Completed,
        Status::Partial => EventKind::Partial,
        Status::Failed => EventKind::Failed,
        Status::Cancelled => EventKind::Cancelled,
    };
    // Events contain no keys.
    events::emit(&*context.history_store, &event(kind, json!(result.clone().without_keys()))).await?;
    Ok(())
}

/// Why messages could not be decoded during the run, and how many. Messages of a known run are in that run's records.
async fn dead_letters(context: &Context, spec: &RunSpec) -> Result<BTreeMap<String, u64>, RecordError> {
    let (mut reasons, mut revision) = (BTreeMap::new(), 0);
    while let Some((at, letter)) = dead_letter::next(&*context.store, revision).await? {
        revision = at;
        if letter.run.is_none() && letter.at_ms >= spec.started_at_ms {
            *reasons.entry(letter.reason).or_default() += 1;
        }
    }
    Ok(reasons)
}

/// What the last run of the same keys found of its rules, if it had any and is still remembered.
async fn rules_before(context: &Context, spec: &RunSpec, runs: &[RunLine]) -> Option<RulesBefore> {
    let selection = spec.rules.policy.as_ref().map(|_| spec.selection());
    let is_comparable =
        |line: &&RunLine| line.status == Some(Status::Completed) && line.selection == selection;
    let line = runs.iter().rev().filter(|_| selection.is_some()).find(is_comparable)?;
    let records = context.records_left(line.run_id);
    let read = async { Ok::<_, RecordError>((records.spec().await?, records.result().await?)) };
    match read.await {
        Ok((spec, result)) => RulesBefore::of(spec?, result?),
        Err(e) => {
            tracing::warn!(run = %line.run_id, error = %e, "failed to read what an earlier run found of its rules");
            None
        }
    }
}

/// The result of a run whose records are complete: it combines the records, the counters of servers and application,
/// and the resulting alerts.
async fn conclude(
    context: &Context,
    spec: &RunSpec,
    fold: &Fold,
    now_ms: u64,
) -> Result<Option<CleanupResult>, ReporterError> {
    let (sample, health, problem) = sample(context, spec, fold, now_ms).await;
    counter_snapshot::create(&*context.history_store, sample).await?;
    let samples = counter_snapshot::of(&*context.history_store, &spec.alias).await?;
    let source = &spec.application.hit_rate;
    let hit_rates = CounterSnapshots::new(&samples, &spec.job, source).hit_rates();
    let mut runs = alerting::runs_of(context, &spec.job).await?;
    runs.retain(|line| line.run_id != spec.run);
    let extra = ResultContext {
        hit_rates: HitRates { problem, ..hit_rates },
        health,
        rules_before: rules_before(context, spec, &runs).await,
        runs,
        ttl_advice: ttl_advice::of(&*context.history_store, &spec.job).await?,
        dead_letters: dead_letters(context, spec).await?,
        now_ms,
    };
    let Some(mut result) = finish(fold, &extra) else { return Ok(None) };
    let mut runs = extra.runs;
    runs.push(RunLine::begin(spec).end(&result));
    // A look at all keys is no run of the job.
    if spec.namespaces {
        return Ok(Some(result));
    }
    let (window, rules) = (result.metrics.hit_rates.current(), RulesFound::of(fold, &result));
    let evaluation =
        alerting::evaluate_alerts(context, &spec.job, &runs, (&samples, source), Some(window), Some(&rules))
            .await?;
    result.alerts = evaluation.active;
    let undelivered = evaluation.problems.into_iter().map(not_delivered);
    let found = std::mem::take(&mut result.findings).into_iter().chain(undelivered).collect();
    findings::set(&mut result, found);
    Ok(Some(result))
}

/// The finding about a failed alert notification.
fn not_delivered(message: String) -> Finding {
    findings::issue("alert-not-delivered", Severity::Warning, message, [])
}

/// The sample at the end of a run, and the health of the servers. Unreachable sources are omitted: the result then
/// contains less, but nothing wrong.
async fn sample(
    context: &Context,
    spec: &RunSpec,
    fold: &Fold,
    now_ms: u64,
) -> (CounterSnapshot, RedisHealth, Option<String>) {
    let client = match context.access(&spec.alias, spec.db) {
        Some(access) => RedisClient::discover(access).await.map_err(|e| e.to_string()),
        None => Err(format!("this process has no connection settings for Redis deployment `{}`", spec.alias)),
    };
    let (checked, application) = match &client {
        Ok(deployment) => {
            let checked = health::check_health(deployment).await;
            (
                checked,
                collect::application_counters(
                    deployment,
                    &spec.application.hit_rate,
                    (&context.integrations, &spec.job),
                )
                .await,
            )
        }
        Err(why) => (HealthCheck::failed(why), Ok(None)),
    };
    let (application, problem) = match application {
        Ok(counters) => (counters, None),
        Err(problem) => (None, Some(problem)),
    };
    let meta = SnapshotMeta {
        job: spec.job.clone(),
        redis: spec.alias.clone(),
        run: Some(spec.run),
        phase: SnapshotPhase::End,
    };
    context.telemetry.checked(&spec.alias, &checked.health);
    let mut sample = meta.snapshot(&checked, application, now_ms);
    // Read after the counters: a renewal of the lock records its lookup before it makes it.
    let lock = context.records(spec.run).lock_lookups().await.ok().flatten();
    for reading in &mut sample.nodes {
        reading.own_before = fold.own_lookups(&reading.node);
        if let Some(lock) = lock.as_ref().filter(|lock| lock.node == reading.node) {
            reading.own_before += lock.lookups;
            // Its release, after the result.
            reading.own_after = Lookups::reads(1, 0);
        }
    }
    (sample, checked.health, problem)
}
