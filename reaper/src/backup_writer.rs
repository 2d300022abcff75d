//! Saving the candidates of a batch before they are deleted: values are read and written durably to the backup target.
//! Only saved keys are deleted, and only if they are unchanged (`guard.lua`).
//!
//! Keys that only receive a TTL are not saved, because no data is lost.

use std::sync::Arc;
use std::time::Duration;

use keysweep_backup::limits::BACKUP_FILE_BYTES;
use keysweep_backup::{
    BackupEntry, BackupError, BackupTarget, FileKind, FileName, Header, Recorded, Saved, encode_outcomes,
};
use keysweep_model::limits::VERIFY_VALUE_BYTES_MAX;
use keysweep_model::messages::{BackupPolicy, Fingerprint, ReapBatch, Receipt, RunSpec, Verify};
use keysweep_model::time::now_ms;
use keysweep_redis::guard::ExpectedContent;
use keysweep_redis::values::{ValueContent, ValueReader};
use keysweep_redis::{RedisError, expect_values};
use keysweep_runtime::context::Context;
use keysweep_runtime::heartbeat::Heartbeat;
use keysweep_runtime::worker::Failure;
use keysweep_storage::records::{RecordError, Records};
use keysweep_telemetry::RequestKind;
use tokio::time::{Instant, sleep};

use crate::attempt::{BatchContext, Interruption};
use crate::fingerprints::{BackupStats, Fingerprints};
use crate::limits::{BACKUP_RETRY_DELAY, BACKUP_TRIES};
use crate::node_attempt::NodeAttempt;
use crate::throttle::BatchThrottle;
use crate::work::Place;

/// How long to wait for the driver to cancel the run. It takes some milliseconds, unless the run has no driver.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// The backup writer of one attempt at a batch.
pub(crate) struct BackupWriter<'a> {
    of: BatchContext<'a>,
    policy: &'a BackupPolicy,
    target: BackupTarget,
    header: Header,
    attempt: u32,
    parts: u32,
    heartbeat: Heartbeat,
    /// Whether a key may be deleted only if its value is the one that the scanner saw.
    verifies: bool,
}

impl<'a> BackupWriter<'a> {
    /// Returns `None` if nothing must be saved.
    ///
    /// # Errors
    /// When the batch must be saved and this worker has no backup target.
    pub(crate) fn wanted(of: BatchContext<'a>) -> Result<Option<Self>, Failure> {
        let BatchContext { context, spec, batch, mode, .. } = of;
        let Some(policy) = &spec.backup else { return Ok(None) };
        if !batch.groups.iter().any(|group| mode.deletes(group.reason)) {
            return Ok(None);
        }
        let Some(target) = context.backups.of(&spec.job, policy) else {
            return Err(BackupError::NoTarget(spec.job.clone()).into());
        };
        expect_values(policy.value_bytes_max);
        let (header, attempt) = (header(spec, batch), fastrand::u32(..));
        let heartbeat = Heartbeat::new(context);
        Ok(Some(Self {
            of,
            policy,
            target,
            header,
            attempt,
            parts: 0,
            heartbeat,
            verifies: spec.rules.verify == Verify::Value,
        }))
    }

    /// Saves the candidates that the attempt `there` will delete.
    pub(crate) async fn save(
        &mut self,
        there: &mut NodeAttempt<'_, '_>,
    ) -> Result<Fingerprints, Interruption> {
        let candidates = there.to_delete();
        let NodeAttempt { node, now_ms, guard, throttle, .. } = there;
        let conn = &guard.session.conn;
        (self.header.node, self.header.at_ms) = ((*node).clone(), *now_ms);
        let keys = candidates.iter().map(Place::key).collect();
        let mut reader = ValueReader::new(conn, keys, self.policy.value_bytes_max);
        let mut fingerprints = Fingerprints::with_call_bytes(reader.bytes_at_once());
        let mut file = Saved::new(self.header.clone());
        loop {
            let most = throttle.window_keys().unwrap_or(u64::MAX);
            let keys = reader.keys_next(conn, most);
            if keys == 0 {
                break;
            }
            let step = reader.step(conn, most);
            let (read, lookups) = self.paced_request(throttle, keys, step).await?;
            fingerprints.stats.lookups += lookups;
            for (at, content) in read {
                file = self.add_value(file, candidates[at], content, &mut fingerprints).await?;
            }
        }
        if file.entries() > 0 {
            self.put(file).await?;
        }
        Ok(fingerprints)
    }

    /// Sends a request to the node when the pace allows it.
    async fn paced_request<T>(
        &mut self,
        throttle: &mut BatchThrottle<'_>,
        keys: usize,
        request: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Interruption> {
        let permit = throttle.acquire().await?;
        if let Some(delivery) = self.of.delivery
            && !self.heartbeat.tick(self.of.records, delivery).await
        {
            return Err(Interruption::Cancelled);
        }
        let began = Instant::now();
        let answer = request.await?;
        self.of.context.telemetry.request(&self.of.batch.alias, RequestKind::Values, began.elapsed());
        if let Some(permit) = permit {
            permit.done(keys as u64);
        }
        Ok(answer)
    }

    /// Adds the value of a candidate to `file`, and writes the file to the target when it is full.
    async fn add_value(
        &mut self,
        mut file: Saved,
        place: Place<'_>,
        content: ValueContent,
        fingerprints: &mut Fingerprints,
    ) -> Result<Saved, Failure> {
        let seen = place.of.fingerprints.get(place.index).filter(|_| self.verifies);
        if seen == Some(&Fingerprint::TooLarge) {
            fingerprints.add_unverified(place.id());
            return Ok(file);
        }
        let (held, bytes) = match content {
            ValueContent::Held(held, bytes)
                if seen.is_none_or(|seen| ExpectedContent::of_scan(seen) == held.fingerprint) =>
            {
                (held, bytes)
            }
            // The key is gone, or its value has changed since the scan.
            ValueContent::Held(..) | ValueContent::Gone => {
                fingerprints.add(place.id(), ExpectedContent::Absent, 0);
                return Ok(file);
            }
            ValueContent::TooLarge(bytes) => {
                fingerprints.add(place.id(), ExpectedContent::Unsaved, bytes);
                return Ok(file);
            }
        };
        fingerprints.add(place.id(), held.fingerprint.clone(), bytes);
        // The script deletes a key only with exactly this expiry: none, or the one seen at the scan.
        let expires_at_ms = place.of.expires_at_ms.get(place.index).copied();
        let (key, value) = (place.key().clone(), held.packed());
        let [group, index] = [place.group, place.index].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        file.add(&BackupEntry { group, index, reason: place.of.reason, expires_at_ms, key, value });
        if file.content_bytes() >= BACKUP_FILE_BYTES {
            let full = std::mem::replace(&mut file, Saved::new(self.header.clone()));
            self.put(full).await?;
        }
        Ok(file)
    }

    /// Writes a file durably, with retries.
    async fn put(&mut self, file: Saved) -> Result<(), BackupError> {
        let name = FileName {
            at_ms: self.header.at_ms,
            run: self.header.run,
            batch: self.header.batch,
            attempt: self.attempt,
            kind: FileKind::Save(self.parts),
        };
        let bytes: Arc<[u8]> = file.finish().into();
        self.parts += 1;
        let mut pause = BACKUP_RETRY_DELAY;
        for _ in 1..BACKUP_TRIES {
            match self.target.put(name, Arc::clone(&bytes), true).await {
                Ok(()) => return Ok(()),
                Err(e) => tracing::warn!(error = %e, "failed to write a backup file; retrying"),
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.target.put(name, bytes, true).await
    }
}

fn header(spec: &RunSpec, batch: &ReapBatch) -> Header {
    Header {
        run: spec.run,
        job: spec.job.clone(),
        alias: spec.alias.clone(),
        db: spec.db,
        node: batch.node.clone(),
        batch: batch.batch,
        at_ms: now_ms(),
    }
}

/// Writes the outcomes of `batch` next to its backup, so that a restore does not write keys that were not deleted. If
/// this fails, the outcomes are unknown, and the restore says so.
pub(crate) async fn note(context: &Context, spec: &RunSpec, batch: &ReapBatch, receipt: &Receipt) {
    let Some(policy) = &spec.backup else { return };
    let Some(target) = context.backups.of(&spec.job, policy) else { return };
    let recorded: Vec<Recorded> = (0..)
        .zip(&receipt.groups)
        .map(|(group, of)| Recorded { group, outcomes: of.outcomes.clone() })
        .collect();
    let header = header(spec, batch);
    let name = FileName {
        at_ms: header.at_ms,
        run: spec.run,
        batch: batch.batch,
        attempt: fastrand::u32(..),
        kind: FileKind::Done,
    };
    let bytes = encode_outcomes(header, &recorded).into();
    if let Err(e) = target.put(name, bytes, false).await {
        tracing::warn!(error = %e, batch = %batch.batch, "failed to write the outcomes next to the backup");
    }
}

/// Why keys of a batch were not deleted that are too large to be saved or compared, if there are any.
pub(crate) fn too_large(spec: &RunSpec, saved: Option<&BackupStats>) -> Option<String> {
    let saved = saved?;
    let mut causes = Vec::new();
    if let Some(BackupPolicy { value_bytes_max: most, .. }) =
        spec.backup.as_ref().filter(|_| saved.too_large > 0)
    {
        causes.push(format!(
            "keys larger than {most} bytes are not saved and therefore not deleted (`--backup-value-max` sets the \
             limit), and neither are keys that the server does not send (`client-output-buffer-limit`; see the log)"
        ));
    }
    if saved.unverified > 0 {
        causes.push(format!(
            "keys larger than {VERIFY_VALUE_BYTES_MAX} bytes, and keys that the server does not send, have no \
             fingerprint and are therefore not deleted; `--verify ttl` deletes keys without comparing their values"
        ));
    }
    (!causes.is_empty()).then(|| causes.join("; "))
}

/// Requests the cancellation of the run if `failure` means that nothing can be saved or recorded: later batches would
/// fail, too.
pub(crate) async fn stop_if_impossible(failure: &Failure, records: &Records) -> Result<(), RecordError> {
    let cause = match failure {
        Failure::Backup(e) => format!("no key is deleted without a backup, and none can be written: {e}"),
        Failure::Unrecorded(e) => format!("no key is deleted that cannot be recorded: {e}"),
        _ => return Ok(()),
    };
    records.create_unsaved(&cause).await?;
    // If the batch were finalized now, its candidates would count as failed, not as unreached.
    let until = Instant::now() + STOP_WAIT;
    while records.cancel().await?.is_none() && Instant::now() < until {
        sleep(STOP_WAIT / 250).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_of_a_backup_file_end_within_the_ack_deadline() {
        let pauses: Duration = (0..BACKUP_TRIES - 1).map(|n| BACKUP_RETRY_DELAY * 2_u32.pow(n)).sum();
        assert!(pauses < keysweep_storage::limits::ACK_WAIT / 2, "{pauses:?}");
    }
}
