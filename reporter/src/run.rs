//! The reporter's loop: reads the records of a run until nothing is missing, and stores the result once.

use shared::cluster::Deployment;
use shared::crash::CrashPoint;
use shared::env::Env;
use shared::ids::RunId;
use shared::messages::RunSpec;
use shared::records::RecordError;
use shared::result::CleanupResult;
use thiserror::Error;

use crate::finish::{Traffic, finish};
use crate::fold::Fold;

/// Why a run has no result.
#[derive(Debug, Error)]
pub enum ReporterError {
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The records are complete, but lack the run's spec.
    #[error("run {0} has no spec")]
    NoSpec(RunId),
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
    let spec = fold.spec.as_ref().ok_or(ReporterError::NoSpec(run))?;
    let traffic = traffic(env, spec).await;
    let result = finish(&fold, &traffic, now_ms()).ok_or(ReporterError::NoSpec(run))?;
    env.crash.pass(CrashPoint::ResultPending).await;
    let first = records.create_result(&result).await?;
    env.crash.pass(CrashPoint::ResultStored).await;
    match records.result().await? {
        Some(stored) if !first => Ok(stored),
        _ => Ok(result),
    }
}

/// The nodes' counters. A node that cannot be asked is left out: the result then says less, and nothing wrong.
async fn traffic(env: &Env, spec: &RunSpec) -> Traffic {
    let mut traffic = Traffic::new();
    let Some(access) = env.access.get(&spec.alias) else { return traffic };
    let deployment = match Deployment::discover(access.clone(), "keysweep-reporter").await {
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
