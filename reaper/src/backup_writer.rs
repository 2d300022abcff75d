//! Saving what a batch will delete, before it does: read, written to the place of backups, and durable there. Only what
//! was saved is deleted then, and only as long as it is still the same (`guard.lua`).
//!
//! A key that is given a TTL is not saved: nothing is lost by that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::backup::{
    BackupEntry, BackupError, BackupTarget, FileKind, FileName, Header, Recorded, Saved, encode_outcomes,
};
use shared::cluster::guard::{Act, ExpectedContent, GuardMode, GuardReply, Part};
use shared::cluster::values::{ValueContent, ValueReader};
use shared::cluster::{Conn, RedisError, expect_values};
use shared::context::Context;
use shared::heartbeat::Heartbeat;
use shared::ids::NodeId;
use shared::key::Key;
use shared::limits::{BACKUP_FILE_BYTES, BACKUP_RETRY_DELAY, BACKUP_TRIES, VERIFY_VALUE_BYTES_MAX};
use shared::messages::{BackupPolicy, Fingerprint, Group, ReapBatch, Receipt, RunSpec, Verify};
use shared::queue::Delivery;
use shared::records::{RecordError, Records};
use shared::telemetry::RequestKind;
use shared::time::now_ms;
use shared::worker::Failure;
use tokio::time::{Instant, sleep};

use crate::chunks::Chunk;
use crate::fingerprints::{BackupStats, Fingerprints, merged};
use crate::node_session::NodeSession;
use crate::throttle::BatchThrottle;

/// How long whoever drives a run may take to stop it. It takes some milliseconds, unless nobody drives it.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What one attempt at a batch saves with.
pub(crate) struct BackupWriter<'a> {
    context: &'a Context,
    batch: &'a ReapBatch,
    order: &'a BackupPolicy,
    act: Act,
    place: BackupTarget,
    header: Header,
    attempt: u32,
    parts: u32,
    heartbeat: Heartbeat,
    /// Whether only what the scanner saw may be deleted.
    verifies: bool,
}

/// A candidate: its group by number, and its place there.
type Candidate<'a> = (usize, &'a Group, usize);

/// Whether `mode` deletes the candidates of `group`.
pub(crate) fn deletes(mode: GuardMode, group: &Group) -> bool {
    match mode {
        GuardMode::Act(act) => group.reason.is_deleted(act.stale),
        GuardMode::Finalize(_) => false,
    }
}

impl<'a> BackupWriter<'a> {
    /// `None` if nothing is to be saved.
    ///
    /// # Errors
    /// When this worker has no place for what is.
    pub(crate) fn wanted(
        context: &'a Context,
        spec: &'a RunSpec,
        batch: &'a ReapBatch,
        mode: GuardMode,
    ) -> Result<Option<Self>, Failure> {
        let (Some(order), GuardMode::Act(act)) = (&spec.backup, mode) else { return Ok(None) };
        if !batch.groups.iter().any(|group| deletes(mode, group)) {
            return Ok(None);
        }
        let Some(place) = context.backups.of(&spec.job, order) else {
            return Err(BackupError::NoPlace(spec.job.clone()).into());
        };
        expect_values(order.value_bytes_max);
        let (header, attempt) = (header(spec, batch), fastrand::u32(..));
        let pulse = Heartbeat::new(context);
        Ok(Some(Self {
            context,
            batch,
            order,
            act,
            place,
            header,
            attempt,
            parts: 0,
            heartbeat: pulse,
            verifies: spec.rules.verify == Verify::Value,
        }))
    }

    /// Saves the candidates of `chunks` that are to be deleted, at `node`, whose clock shows `now_ms`. `None`: the run
    /// is to stop.
    pub(crate) async fn save(
        &mut self,
        conn: &Conn,
        (node, now_ms): (&NodeId, u64),
        chunks: &[Chunk<'_>],
        mut paced: Option<&mut BatchThrottle<'_>>,
        heard: (&Records, Option<&Delivery>),
    ) -> Result<Option<Fingerprints>, Failure> {
        let mode = GuardMode::Act(self.act);
        let groups = chunks.iter().flatten().filter(|(_, group)| deletes(mode, group));
        let candidates: Vec<Candidate<'_>> = groups
            .flat_map(|(number, group)| (0..group.keys.len()).map(|index| (*number, *group, index)))
            .collect();
        (self.header.node, self.header.at_ms) = (node.clone(), now_ms);
        let keys = candidates.iter().map(key).collect();
        let mut reader = ValueReader::new(conn, keys, self.order.value_bytes_max);
        let mut seals = Fingerprints::in_rounds_of(reader.bytes_at_once());
        let mut file = Saved::new(self.header.clone());
        loop {
            let most = paced.as_deref().and_then(BatchThrottle::window_keys).unwrap_or(u64::MAX);
            let keys = reader.keys_next(conn, most);
            if keys == 0 {
                break;
            }
            let step = reader.step(conn, most);
            let Some((read, lookups)) = self.probe_values(paced.as_deref_mut(), heard, keys, step).await?
            else {
                return Ok(None);
            };
            seals.stats.lookups += lookups;
            for (at, content) in read {
                file = self.add_values(file, candidates[at], content, &mut seals).await?;
            }
        }
        if file.entries() > 0 {
            self.put(file).await?;
        }
        Ok(Some(seals))
    }

    /// Asks the node when it is our turn. `None`: the run is to stop.
    async fn probe_values<T>(
        &mut self,
        paced: Option<&mut BatchThrottle<'_>>,
        (records, delivery): (&Records, Option<&Delivery>),
        keys: usize,
        question: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<Option<T>, Failure> {
        let turn = match paced {
            Some(paced) => match paced.acquire().await {
                Some(turn) => Some(turn),
                None => return Ok(None),
            },
            None => None,
        };
        if let Some(delivery) = delivery
            && !self.heartbeat.tick(records, delivery).await
        {
            return Ok(None);
        }
        let began = Instant::now();
        let answer = question.await?;
        self.context.telemetry.request(&self.batch.alias, RequestKind::Values, began.elapsed());
        if let Some(turn) = turn {
            turn.done(keys as u64);
        }
        Ok(Some(answer))
    }

    /// Puts what was read of a candidate into `file`, and that into its place when it is full.
    async fn add_values(
        &mut self,
        mut file: Saved,
        (number, group, index): Candidate<'_>,
        content: ValueContent,
        seals: &mut Fingerprints,
    ) -> Result<Saved, Failure> {
        let seen = group.fingerprints.get(index).filter(|_| self.verifies);
        if seen == Some(&Fingerprint::TooLarge) {
            seals.add_unverified(number);
            return Ok(file);
        }
        let (held, weighs) = match content {
            ValueContent::Held(held, weighs)
                if seen.is_none_or(|seen| ExpectedContent::of_scan(seen) == held.seal) =>
            {
                (held, weighs)
            }
            // It is gone, or does not hold any more what it held at the scan.
            ValueContent::Held(..) | ValueContent::Gone => {
                seals.add(number, ExpectedContent::Absent, 0);
                return Ok(file);
            }
            ValueContent::TooLarge(weighs) => {
                seals.add(number, ExpectedContent::Unsaved, weighs);
                return Ok(file);
            }
        };
        seals.add(number, held.seal.clone(), weighs);
        // What the script deletes has exactly this expiry then: none, or that which was seen at the scan.
        let expires_at_ms = group.expires_at_ms.get(index).copied();
        let (key, value) = (group.keys[index].clone(), held.packed());
        let [number, index] = [number, index].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        file.add(&BackupEntry { group: number, index, reason: group.reason, expires_at_ms, key, value });
        if file.content_bytes() >= BACKUP_FILE_BYTES {
            let full = std::mem::replace(&mut file, Saved::new(self.header.clone()));
            self.put(full).await?;
        }
        Ok(file)
    }

    /// Stores a file, durably; tries again for a while if that fails.
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
            match self.place.put(name, Arc::clone(&bytes), true).await {
                Ok(()) => return Ok(()),
                Err(e) => tracing::warn!(error = %e, "what is to be deleted is not saved yet; tried again"),
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.place.put(name, bytes, true).await
    }
}

fn key<'a>((_, group, index): &Candidate<'a>) -> &'a Key {
    &group.keys[*index]
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

/// Acts on `groups`, whose candidates were saved. Groups of which nothing is saved are acted on as ever.
pub(crate) async fn call(
    seals: &Fingerprints,
    ready: &NodeSession,
    (batch, act): (&ReapBatch, Act),
    groups: &[(usize, &Group)],
) -> Result<Vec<Result<GuardReply, RedisError>>, RedisError> {
    let (sealed, plain): (Vec<_>, Vec<_>) =
        groups.iter().copied().partition(|(number, _)| seals.stats.groups.contains_key(number));
    let at = (batch.window(), GuardMode::Act(act));
    let mut answers: BTreeMap<usize, Result<GuardReply, RedisError>> = BTreeMap::new();
    if !plain.is_empty() {
        let parts: Vec<Part<'_>> = plain.iter().map(Part::from).collect();
        let answered = ready.means.call(&ready.conn, at, &parts, false).await?;
        answers.extend(plain.iter().map(|(number, _)| *number).zip(answered));
    }
    for round in 0..seals.rounds(&sealed) {
        let due = seals.round(&sealed, round);
        let part = |(of, seals)| Part { expected: Some(seals), ..Part::from(of) };
        let parts: Vec<Part<'_>> = due.iter().map(|(of, seals)| part((of, seals.as_slice()))).collect();
        let answered = ready.means.call(&ready.conn, at, &parts, round > 0).await?;
        for (((number, _), _), answer) in due.iter().zip(answered) {
            let mut answer = match answer {
                Ok(answer) => answer,
                // It stays that of its group, whatever comes after it.
                Err(fault) => {
                    answers.insert(*number, Err(fault));
                    continue;
                }
            };
            if matches!(answers.get(number), Some(Err(_))) {
                continue;
            }
            if let Some(Ok(before)) = answers.get(number) {
                answer.extra_lookups += before.extra_lookups;
                answer.verdict = merged(&before.verdict, answer.verdict);
            }
            answers.insert(*number, Ok(answer));
        }
    }
    Ok(answers.into_values().collect())
}

/// Notes beside what was saved of `batch` what became of it, so that nothing is put back that we did not delete. If
/// that fails, it is not known, and said so when it is put back.
pub(crate) async fn note(context: &Context, spec: &RunSpec, batch: &ReapBatch, receipt: &Receipt) {
    let Some(order) = &spec.backup else { return };
    let Some(place) = context.backups.of(&spec.job, order) else { return };
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
    if let Err(e) = place.put(name, bytes, false).await {
        tracing::warn!(error = %e, batch = %batch.batch, "failed to note what was deleted of what is saved");
    }
}

/// Why keys of a batch were not deleted that are too large to be saved or compared, if some are.
pub(crate) fn too_large(spec: &RunSpec, saved: Option<&BackupStats>) -> Option<String> {
    let saved = saved?;
    let mut causes = Vec::new();
    if let Some(BackupPolicy { value_bytes_max: most, .. }) =
        spec.backup.as_ref().filter(|_| saved.too_large > 0)
    {
        causes.push(format!(
            "keys that take more than {most} bytes are not saved, and so not deleted (`--backup-value-max` sets the \
             limit), nor those that the server does not send (`client-output-buffer-limit`; the log says so)"
        ));
    }
    if saved.unverified > 0 {
        causes.push(format!(
            "keys that take more than {VERIFY_VALUE_BYTES_MAX} bytes, and those that the server does not send, have no \
             fingerprint, and so are not deleted; `--verify ttl` deletes keys without comparing their values"
        ));
    }
    (!causes.is_empty()).then(|| causes.join("; "))
}

/// Has the run stopped if `failure` says that nothing can be saved: whatever else is to be deleted could not be, either.
pub(crate) async fn stop_if_impossible(failure: &Failure, records: &Records) -> Result<(), RecordError> {
    let Failure::Backup(e) = failure else { return Ok(()) };
    let cause = format!("nothing is deleted that is not saved: {e}");
    records.create_unsaved(&cause).await?;
    // What is sealed now would count as failed, and not as left alone because the run was stopped.
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
    fn a_message_stays_ours_while_a_file_is_tried_to_be_stored() {
        let patience: Duration = (0..BACKUP_TRIES - 1).map(|n| BACKUP_RETRY_DELAY * 2_u32.pow(n)).sum();
        assert!(patience < shared::limits::ACK_WAIT / 2, "{patience:?}");
    }
}
