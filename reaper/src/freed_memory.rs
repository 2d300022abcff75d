//! How much memory the deletions of a batch free. Candidates are measured just before they are deleted: all of them in
//! a small run, a sample otherwise. The sample depends only on the keys, so another attempt at the batch measures the
//! same ones; the size of those that are gone by then is unknown.

use std::collections::BTreeMap;

use keysweep_model::key::Key;
use keysweep_model::limits::MEASURED_AT_ONCE;
use keysweep_model::memory::{GroupCounts, PrefixMemory, SampleKind, StratifiedSample, group_hash, is_drawn};
use keysweep_model::messages::ReapBatch;
use keysweep_model::outcome::Outcome;
use keysweep_model::prefix::{first, name, prefixes};
use keysweep_redis::memory_usage::{KeyQuery, memory_usage};

use crate::attempt::Interruption;
use crate::limits::MEMORY_ROWS_OF_RECEIPT;
use crate::node_attempt::NodeAttempt;
use crate::work::PlaceId;

/// The measured candidates of a batch.
#[derive(Debug, Default)]
pub(crate) struct FreedMemory {
    /// One candidate in this many is measured.
    one_in: u64,
    bytes: BTreeMap<PlaceId, u64>,
    refused: bool,
}

impl FreedMemory {
    pub(crate) fn new(one_in: u64) -> Self {
        Self { one_in: one_in.max(1), ..Self::default() }
    }

    /// Measures candidates that the attempt `there` deletes.
    pub(crate) async fn measure(&mut self, there: &mut NodeAttempt<'_, '_>) -> Result<(), Interruption> {
        let places = there.to_delete().into_iter().map(|place| (place.id(), place.key()));
        let chosen: Vec<(PlaceId, &Key)> =
            places.filter(|(_, key)| is_drawn(key.as_bytes(), self.one_in)).collect();
        let mut left = chosen.as_slice();
        while !left.is_empty() && !self.refused {
            let most = there.throttle.window_keys().unwrap_or(u64::MAX);
            let most = usize::try_from(most.clamp(1, MEASURED_AT_ONCE)).unwrap_or(usize::MAX);
            let (now, later) = left.split_at(most.min(left.len()));
            // The permit is dropped without a number of keys: measuring a key takes less time than deleting one and
            // would distort the pacing.
            let _permit = there.throttle.acquire().await?;
            let keys: Vec<KeyQuery> = now.iter().map(|(_, key)| KeyQuery::memory((*key).clone())).collect();
            let found = memory_usage(&there.guard.session.conn, &keys).await?;
            let measured = now.iter().zip(&found.memories);
            self.bytes.extend(measured.filter_map(|((place, _), weight)| Some((*place, weight.bytes?))));
            self.refused = found.refused.is_some();
            left = later;
        }
        Ok(())
    }

    /// The memory of the measured candidates that were deleted, according to the `outcomes` of the groups of `batch`.
    pub(crate) fn of_deleted(&self, batch: &ReapBatch, outcomes: &[Vec<Option<Outcome>>]) -> PrefixMemory {
        if self.refused {
            return PrefixMemory::unknown();
        }
        let (mut strata, mut counts) = (StratifiedSample::default(), GroupCounts::default());
        // In a small run every candidate is measured and represents only itself.
        let take = if self.one_in == 1 { SampleKind::Outright } else { SampleKind::Drawn };
        for (number, (group, outcomes)) in batch.groups.iter().zip(outcomes).enumerate() {
            let deleted =
                outcomes.iter().enumerate().filter(|(_, outcome)| **outcome == Some(Outcome::Deleted));
            for (place, _) in deleted {
                let Some(key) = group.keys.get(place).map(Key::as_bytes) else { continue };
                let (bytes, group) = (self.bytes.get(&(number, place)), group_hash(first(key)));
                if take == SampleKind::Drawn || bytes.is_none() {
                    counts.count(group);
                }
                let Some(bytes) = bytes else { continue };
                let names: Vec<String> = prefixes(key).map(name).collect();
                strata.add_named(&names, group, take, *bytes);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        strata.finish(&counts, self.one_in as f64, MEMORY_ROWS_OF_RECEIPT)
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::memory::ByteEstimate;
    use keysweep_model::messages::{Group, Reason};

    use super::*;
    use crate::work::tests::batch_of;

    /// A batch of `keys` keys, of which all but every tenth were deleted.
    fn batch(keys: usize) -> (ReapBatch, Vec<Vec<Option<Outcome>>>) {
        let outcome = |n| Some(if n % 10 == 0 { Outcome::Spared } else { Outcome::Deleted });
        let group = Group {
            slot: 0,
            reason: Reason::Stale,
            keys: (0..keys).map(|n| Key::new(format!("a:{n}"))).collect(),
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
        };
        (batch_of(vec![group], 0), vec![(0..keys).map(outcome).collect()])
    }

    fn measured(one_in: u64, keys: usize) -> FreedMemory {
        let (batch, _) = batch(keys);
        let all = batch.groups[0].keys.iter().enumerate();
        let drawn = all.filter(|(_, key)| is_drawn(key.as_bytes(), one_in));
        FreedMemory { bytes: drawn.map(|(place, _)| ((0, place), 100)).collect(), ..FreedMemory::new(one_in) }
    }

    #[test]
    fn few_deletions_are_measured_exactly_and_many_by_a_sample() {
        let (batch, outcomes) = batch(10_000);
        let exact = ByteEstimate { estimate: 900_000, low: 900_000, high: Some(900_000), samples: 9_000 };
        let memory = measured(1, 10_000).of_deleted(&batch, &outcomes);
        assert_eq!((memory.all(None), memory.rows(None)), (exact, vec![("a:".to_owned(), exact)]));
        let memory = measured(50, 10_000).of_deleted(&batch, &outcomes).all(None);
        assert_eq!((memory.estimate, memory.high), (900_000, None));
        // All measured keys are alike. A few others may be tiny.
        assert!((870_000..900_000).contains(&memory.low), "{memory:?}");
        assert!((120..250).contains(&memory.samples), "{}", memory.samples);
    }

    #[test]
    fn keys_deleted_before_they_were_measured_are_unknown() {
        let (batch, outcomes) = batch(100);
        let mut freed = measured(1, 100);
        freed.bytes.remove(&(0, 5));
        let memory = freed.of_deleted(&batch, &outcomes).all(None);
        assert_eq!((memory.low, memory.high, memory.samples), (8_900, None, 89));
        let refused = FreedMemory { refused: true, ..FreedMemory::new(1) };
        assert_eq!(refused.of_deleted(&batch, &outcomes), PrefixMemory::unknown());
    }
}
