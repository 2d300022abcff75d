//! Fingerprints of candidates' values, for runs that delete a key only if its value is unchanged at the second check.
//! They are taken at the end of a task, right before its grace begins, and from the primary: a replica may encode the
//! same value differently.

use std::sync::Arc;

use keysweep_model::key::Key;
use keysweep_model::limits::VERIFY_VALUE_BYTES_MAX;
use keysweep_model::messages::{Fingerprint, Lookups, Verify};
use keysweep_redis::guard::ExpectedContent;
use keysweep_redis::values::{ValueContent, ValueReader};
use keysweep_redis::{RedisClient, RedisError};
use keysweep_runtime::context::Context;
use keysweep_telemetry::RequestKind;
use tokio::time::Instant;

use crate::classify::Classifier;
use crate::slot_tally::Candidate;
use crate::source::ReadSourceConn;
use crate::task_scan::{TaskContext, TaskScan};

/// Takes the fingerprints of all candidates to be deleted, if the run verifies values. Returns the lookups made at the
/// primary, or `None` if the run was cancelled.
pub(crate) async fn take(
    context: &Context,
    source: &ReadSourceConn,
    client: &Arc<RedisClient>,
    reading: &mut TaskScan,
    selector: &Classifier<'_>,
    work: &TaskContext<'_>,
) -> Result<Option<Lookups>, RedisError> {
    let (spec, task, rules) = (work.spec, work.task, &work.spec.rules);
    let mut lookups = Lookups::default();
    if rules.verify == Verify::Ttl {
        return Ok(Some(lookups));
    }
    // The task's pacer follows the node that was read; the primary needs its own if that was a replica.
    let own = match source.node() == &task.node {
        true => None,
        false => Some(context.pacers.enter_to_act(spec, client, &task.node, &context.telemetry).await),
    };
    let (pacer, conn) = (own.as_ref().unwrap_or(work.pacer), source.primary());
    let is_deleted = |of: &&mut Candidate| of.reason.is_deleted(selector.action(of.rule));
    let wanted = reading.tally.candidates().filter(is_deleted);
    let (keys, mut prints): (Vec<&Key>, Vec<&mut Option<Fingerprint>>) =
        wanted.map(|candidate| (&candidate.key, &mut candidate.fingerprint)).unzip();
    let mut reader = ValueReader::new(conn, keys, VERIFY_VALUE_BYTES_MAX);
    loop {
        let most = pacer.window_keys().unwrap_or(u64::MAX);
        if reader.keys_next(conn, most) == 0 {
            return Ok(Some(lookups));
        }
        let Some(permit) = reading.heartbeat.acquire(pacer, work.records, work.delivery).await else {
            return Ok(None);
        };
        let asked = Instant::now();
        let (contents, more) = reader.step(conn, most).await?;
        drop(permit);
        work.telemetry.request(&spec.alias, RequestKind::Values, asked.elapsed());
        lookups += more;
        for (at, content) in contents {
            *prints[at] = Some(fingerprint(&content));
        }
        if !reading.heartbeat.tick(work.records, work.delivery).await {
            return Ok(None);
        }
    }
}

fn fingerprint(content: &ValueContent) -> Fingerprint {
    let held = match content {
        ValueContent::Held(held, _) => held,
        ValueContent::TooLarge(_) => return Fingerprint::TooLarge,
        ValueContent::Gone => return Fingerprint::Gone,
    };
    match held.fingerprint {
        ExpectedContent::Text(sha1) => Fingerprint::Text { bytes: held.value.len() as u64, sha1 },
        ExpectedContent::Value { bytes, tail } => Fingerprint::Value { bytes: bytes as u64, tail },
        // A value that was read has one of the other kinds.
        ExpectedContent::Absent | ExpectedContent::Unsaved => Fingerprint::Gone,
    }
}
