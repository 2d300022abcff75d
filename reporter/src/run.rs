//! The reporter's loop: reads the records of a run until nothing is missing, stores the result once, and then
//! tells those who wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use shared::cluster::RedisClient;
use shared::cluster::health::{self, HealthCheck};
use shared::collect::{self, SnapshotMeta};
use shared::context::Context;
use shared::counter_snapshot::{self, CounterSnapshot, SnapshotPhase};
use shared::dead_letter;
use shared::events::{self, Event, EventKind};
use shared::failpoint::FailPoint;
use shared::history::{self, HISTORY, RunLine};
use shared::ids::RunId;
use shared::messages::RunSpec;
use shared::metrics::{Finding, FindingKind, HitRates, RedisHealth, Severity};
use shared::records::RecordError;
use shared::result::{CleanupResult, Status};
use shared::store::StoreError;
use shared::supervision::TaskGroup;
use shared::time::now_ms;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::alerting;
use crate::findings::{keep_praise_alone, sentences};
use crate::finish::{ResultContext, finish};
use crate::fold::Fold;
use crate::hit_rate::CounterSnapshots;

/// The pause before a run is reported once more that could not be.
const RETRY: Duration = Duration::from_secs(2);

/// How long the reporter that stored a result may take to tell about it. It takes some milliseconds.
const OTHER_REPORTER_WAIT: Duration = Duration::from_secs(2);

/// Why a run has no result.
#[derive(Debug, Error)]
pub enum ReporterError {
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records are complete, but lack the run's spec.
    #[error("run {0} has no spec")]
    NoSpec(RunId),
}

/// Reports all runs that there are and that come, until `shutdown`: what a reporter among others does.
///
/// # Errors
/// When the store fails for good.
pub async fn run(context: &Context, shutdown: CancellationToken) -> Result<(), ReporterError> {
    let mut watch = context.history_store.watch(HISTORY).await?;
    let (mut crew, mut at_work) = (TaskGroup::default(), BTreeSet::new());
    let (notices, until) = (context.clone(), shutdown.clone());
    crew.start("alerts", async move { alerting::deliver_pending(&notices, &[], &until).await });
    loop {
        let entry = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            entry = watch.next() => entry?,
            // A run that has ended; `None` while there is none, which is no reason to do anything.
            Some((name, _)) = crew.next() => {
                at_work.remove(&name);
                continue;
            }
        };
        let Some(line) = RunLine::read(&entry) else { continue };
        if line.status.is_none() && at_work.insert(line.run_id.to_string()) {
            let env = context.clone();
            crew.start(line.run_id.to_string(), async move { with_retries(&env, line).await });
        }
    }
}

/// Reports one run, however often that fails.
async fn with_retries(context: &Context, line: RunLine) -> Result<(), ReporterError> {
    loop {
        let reported = tokio::select! {
            reported = report(context, line.run_id, now_ms) => reported,
            () = context.failpoints.fired() => {
                tracing::warn!("reporter cut off, as planned");
                continue;
            }
        };
        match reported {
            Ok(_) => return Ok(()),
            Err(e) => {
                tracing::warn!(run = %line.run_id, error = %e, "failed to report a run, will try again");
                sleep(RETRY).await;
            }
        }
    }
}

/// Follows `run` to its end and returns its result: ours, or that of a reporter that was faster.
///
/// # Errors
/// When the records fail for good.
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
    let result = conclude(context, spec, &fold, now_ms()).await?.ok_or(ReporterError::NoSpec(run))?;
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
    // The one who stored the result tells, and ends with the line of the run. If that does not come, we do it.
    if !first && context.distributed && is_closed(context, run).await? {
        return Ok(result);
    }
    if context.distributed {
        emit_events(context, spec, &result).await?;
    }
    // The line comes last, so that a reporter which dies before is followed by one that does the rest.
    history::write(&*context.history_store, &RunLine::begin(spec).end(&result)).await?;
    Ok(result)
}

/// Whether the line of a run says how it ended, now or in a moment.
async fn is_closed(context: &Context, run: RunId) -> Result<bool, StoreError> {
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

/// Tells subscribers how a run ended. It happens once, whoever does it.
async fn emit_events(context: &Context, spec: &RunSpec, result: &CleanupResult) -> Result<(), ReporterError> {
    let event = |kind, data| Event::once(&spec.job, spec.run, kind, now_ms(), data);
    for (n, issue) in result.issues.iter().enumerate() {
        let issue = event(EventKind::Issue, json!({ "issue": issue })).one_of(n.to_string());
        events::emit(&*context.store, &issue).await?;
    }
    let kind = match result.status {
        Status::Completed => EventKind::Completed,
        Status::Partial => EventKind::Partial,
        Status::Failed => EventKind::Failed,
        Status::Cancelled => EventKind::Cancelled,
    };
    // Events name no keys.
    events::emit(&*context.store, &event(kind, json!(result.clone().without_keys()))).await?;
    Ok(())
}

/// Why messages that came while the run went on were put aside unread, and how many. Those that are known to be
/// of a run are in its records.
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

/// The result of a run whose records are complete: what they say, what servers and application have counted, and
/// the alerts that follow from it.
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
    let around = ResultContext {
        hit_rates: HitRates { problem, ..hit_rates },
        health,
        runs,
        dead: dead_letters(context, spec).await?,
        now_ms,
    };
    let Some(mut result) = finish(fold, &around) else { return Ok(None) };
    let mut runs = around.runs;
    runs.push(RunLine::begin(spec).end(&result));
    let window = result.metrics.hit_rates.current();
    let judged =
        alerting::evaluate_alerts(context, &spec.job, &runs, (&samples, source), Some(window)).await?;
    result.alerts = judged.active;
    result.findings.extend(judged.problems.into_iter().map(not_delivered));
    keep_praise_alone(&mut result.findings);
    result.issues = sentences(&result.findings, FindingKind::Issue);
    result.recommendations = sentences(&result.findings, FindingKind::Recommendation);
    Ok(Some(result))
}

/// What there is to say of an alert that could not be delivered.
fn not_delivered(sentence: String) -> Finding {
    Finding {
        kind: FindingKind::Issue,
        rule: "alert-not-delivered".to_owned(),
        severity: Severity::Warning,
        sentence,
        evidence: BTreeMap::new(),
    }
}

/// The sample at the end of a run, and how the servers are. What cannot be asked is left out: the result then says
/// less, and nothing wrong.
async fn sample(
    context: &Context,
    spec: &RunSpec,
    fold: &Fold,
    now_ms: u64,
) -> (CounterSnapshot, RedisHealth, Option<String>) {
    let client = match context.access(&spec.alias, spec.db) {
        Some(access) => RedisClient::discover(access).await.map_err(|e| e.to_string()),
        None => Err(format!("this process knows no deployment `{}`", spec.alias)),
    };
    let (look, application) = match &client {
        Ok(deployment) => {
            let look = health::check_health(deployment).await;
            (
                look,
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
    let purpose = SnapshotMeta {
        job: spec.job.clone(),
        redis: spec.alias.clone(),
        run: Some(spec.run),
        moment: SnapshotPhase::End,
    };
    context.telemetry.memory(&spec.alias, look.health.memory_usage_percent);
    let mut sample = purpose.snapshot(&look, application, now_ms);
    for reading in &mut sample.nodes {
        reading.own_before = fold.own_lookups(&reading.node);
        reading.own_after = fold.own_lookups_after(&reading.node);
    }
    (sample, look.health, problem)
}
