//! The reporter's loop: reads the records of a run until nothing is missing, stores the result once, and then
//! tells those who wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use shared::cluster::Deployment;
use shared::crash::CrashPoint;
use shared::dead;
use shared::env::Env;
use shared::events::{self, Event, Kind};
use shared::history::{self, HISTORY, RunLine};
use shared::ids::RunId;
use shared::messages::RunSpec;
use shared::records::RecordError;
use shared::result::{CleanupResult, Status};
use shared::store::StoreError;
use shared::supervise::Crew;
use shared::time::now_ms;
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::finish::{Around, Traffic, finish};
use crate::fold::Fold;

/// The pause before a run is reported once more that could not be.
const RETRY: Duration = Duration::from_secs(2);

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
    let mut watch = env.store.watch(HISTORY).await?;
    let (mut crew, mut at_work) = (Crew::default(), BTreeSet::new());
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
    let around =
        Around { traffic: traffic(env, spec).await, dead: dead_letters(env, spec).await?, now_ms: now_ms() };
    let result = finish(&fold, &around).ok_or(ReporterError::NoSpec(run))?;
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
    if env.kept {
        tell(env, spec, &result).await?;
    }
    Ok(result)
}

/// Tells subscribers how a run ended, and closes its line in the history. Both happen once, whoever does it; the
/// line comes last, so that a reporter which dies in between is followed by one that tells the rest.
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
    events::tell(&*env.store, &event(kind, json!(result))).await?;
    history::write(&*env.store, &RunLine::begin(spec).end(result)).await?;
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

/// The nodes' counters. A node that cannot be asked is left out: the result then says less, and nothing wrong.
async fn traffic(env: &Env, spec: &RunSpec) -> Traffic {
    let mut traffic = Traffic::new();
    let Some(access) = env.access(&spec.alias, spec.db) else { return traffic };
    let deployment = match Deployment::discover(access, "keysweep-reporter").await {
        Ok(deployment) => deployment,
        Err(fault) => {
            tracing::warn!(error = %fault, "no hit rate");
            return traffic;
        }
    };
    for planned in &spec.nodes {
        match deployment.status(&planned.node).await {
            Ok(status) if status.process == planned.process => {
                traffic.insert(planned.node.clone(), status.lookups);
            }
            Ok(_) => {
                tracing::warn!(node = %planned.node, "restarted during the run, left out of the hit rate");
            }
            Err(fault) => tracing::warn!(error = %fault, "left out of the hit rate"),
        }
    }
    traffic
}
