//! The reporter's loop: reads the records of a run until nothing is missing, stores the result once, and then
//! tells those who wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use shared::cluster::Deployment;
use shared::cluster::health::{self, Look};
use shared::crash::CrashPoint;
use shared::dead;
use shared::env::Env;
use shared::events::{self, Event, Kind};
use shared::history::{self, HISTORY, RunLine};
use shared::ids::RunId;
use shared::messages::RunSpec;
use shared::metrics::{Finding, FindingKind, HitRates, RedisHealth, Severity};
use shared::records::RecordError;
use shared::result::{CleanupResult, Status};
use shared::samples::{self, Moment, Sample};
use shared::sampling::{self, Purpose};
use shared::store::StoreError;
use shared::supervise::Crew;
use shared::time::now_ms;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::findings::{keep_praise_alone, sentences};
use crate::finish::{Around, finish};
use crate::fold::Fold;
use crate::hit_rate::Samples;
use crate::notify;

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
pub async fn run(env: &Env, shutdown: CancellationToken) -> Result<(), ReporterError> {
    let mut watch = env.past.watch(HISTORY).await?;
    let (mut crew, mut at_work) = (Crew::default(), BTreeSet::new());
    let (notices, until) = (env.clone(), shutdown.clone());
    crew.start("alerts", async move { notify::attend(&notices, &[], &until).await });
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
            let env = env.clone();
            crew.start(line.run_id.to_string(), async move { patiently(&env, line).await });
        }
    }
}

/// Reports one run, however often that fails.
async fn patiently(env: &Env, line: RunLine) -> Result<(), ReporterError> {
    loop {
        let reported = tokio::select! {
            reported = report(env, line.run_id, now_ms) => reported,
            () = env.crash.fired() => {
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
pub async fn report(env: &Env, run: RunId, now_ms: impl Fn() -> u64) -> Result<CleanupResult, ReporterError> {
    let records = env.records(run);
    let mut watch = records.watch().await?;
    let mut fold = Fold::default();
    while !fold.complete() {
        fold.apply(&watch.next().await?);
    }
    let spec = fold.spec().ok_or(ReporterError::NoSpec(run))?;
    let result = conclude(env, spec, &fold, now_ms()).await?.ok_or(ReporterError::NoSpec(run))?;
    env.crash.pass(CrashPoint::ResultPending).await;
    let first = records.create_result(&result).await?;
    if first {
        env.telemetry.ended(&spec.alias, &result);
    }
    env.crash.pass(CrashPoint::ResultStored).await;
    let result = match records.result().await? {
        Some(stored) if !first => stored,
        _ => result,
    };
    // The one who stored the result tells, and ends with the line of the run. If that does not come, we do it.
    if !first && env.kept && is_closed(env, run).await? {
        return Ok(result);
    }
    if env.kept {
        tell(env, spec, &result).await?;
    }
    // The line comes last, so that a reporter which dies before is followed by one that does the rest.
    history::write(&*env.past, &RunLine::begin(spec).end(&result)).await?;
    Ok(result)
}

/// Whether the line of a run says how it ended, now or in a moment.
async fn is_closed(env: &Env, run: RunId) -> Result<bool, StoreError> {
    let until = Instant::now() + OTHER_REPORTER_WAIT;
    loop {
        let line = history::of(&*env.past, run).await?;
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
async fn tell(env: &Env, spec: &RunSpec, result: &CleanupResult) -> Result<(), ReporterError> {
    let event = |kind, data| Event::once(&spec.job, spec.run, kind, now_ms(), data);
    for (n, issue) in result.issues.iter().enumerate() {
        let issue = event(Kind::Issue, json!({ "issue": issue })).one_of(n.to_string());
        events::tell(&*env.store, &issue).await?;
    }
    let kind = match result.status {
        Status::Completed => Kind::Completed,
        Status::Partial => Kind::Partial,
        Status::Failed => Kind::Failed,
        Status::Cancelled => Kind::Cancelled,
    };
    // Events name no keys.
    events::tell(&*env.store, &event(kind, json!(result.clone().without_keys()))).await?;
    Ok(())
}

/// Why messages that came while the run went on were put aside unread, and how many. Those that are known to be
/// of a run are in its records.
async fn dead_letters(env: &Env, spec: &RunSpec) -> Result<BTreeMap<String, u64>, RecordError> {
    let (mut reasons, mut revision) = (BTreeMap::new(), 0);
    while let Some((at, letter)) = dead::next(&*env.store, revision).await? {
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
    env: &Env,
    spec: &RunSpec,
    fold: &Fold,
    now_ms: u64,
) -> Result<Option<CleanupResult>, ReporterError> {
    let (sample, health, problem) = sample(env, spec, fold, now_ms).await;
    samples::create(&*env.past, sample).await?;
    let samples = samples::of(&*env.past, &spec.alias).await?;
    let source = &spec.application.hit_rate;
    let hit_rates = Samples::new(&samples, &spec.job, source).hit_rates();
    let mut runs = notify::runs_of(env, &spec.job).await?;
    runs.retain(|line| line.run_id != spec.run);
    let around = Around {
        hit_rates: HitRates { problem, ..hit_rates },
        health,
        runs,
        dead: dead_letters(env, spec).await?,
        now_ms,
    };
    let Some(mut result) = finish(fold, &around) else { return Ok(None) };
    let mut runs = around.runs;
    runs.push(RunLine::begin(spec).end(&result));
    let window = result.metrics.hit_rates.current();
    let judged = notify::judge_alerts(env, &spec.job, &runs, (&samples, source), Some(window)).await?;
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
    env: &Env,
    spec: &RunSpec,
    fold: &Fold,
    now_ms: u64,
) -> (Sample, RedisHealth, Option<String>) {
    let deployment = match env.access(&spec.alias, spec.db) {
        Some(access) => Deployment::discover(access).await.map_err(|e| e.to_string()),
        None => Err(format!("this process knows no deployment `{}`", spec.alias)),
    };
    let (look, application) = match &deployment {
        Ok(deployment) => {
            let look = health::look(deployment).await;
            (
                look,
                sampling::application(deployment, &spec.application.hit_rate, (&env.outside, &spec.job))
                    .await,
            )
        }
        Err(why) => (Look::failed(why), Ok(None)),
    };
    let (application, problem) = match application {
        Ok(counters) => (counters, None),
        Err(problem) => (None, Some(problem)),
    };
    let purpose = Purpose {
        job: spec.job.clone(),
        redis: spec.alias.clone(),
        run: Some(spec.run),
        moment: Moment::End,
    };
    env.telemetry.memory(&spec.alias, look.health.memory_usage_percent);
    let mut sample = purpose.sample(&look, application, now_ms);
    for reading in &mut sample.nodes {
        reading.own_before = fold.own_lookups(&reading.node);
        reading.own_after = fold.own_lookups_after(&reading.node);
    }
    (sample, look.health, problem)
}
