//! Measures the memory of the sampled keys.

use keysweep_model::limits::MEASURED_AT_ONCE;
use keysweep_model::messages::Lookups;
use keysweep_redis::memory_usage::{KeyQuery, memory_usage};
use keysweep_redis::{Conn, RedisError};

use crate::limits::MEASURED_BYTES_AT_ONCE;
use crate::statistics::Statistics;

/// How many keys are measured in one write, if a write may cover `window_keys` keys.
pub(crate) fn keys_per_write(window_keys: Option<u64>) -> usize {
    let keys = window_keys.unwrap_or(MEASURED_AT_ONCE).clamp(1, MEASURED_AT_ONCE);
    usize::try_from(keys).unwrap_or(usize::MAX)
}

/// Keys that wait to be measured, each with what is remembered of it until then.
pub(crate) struct MeasureQueue<T> {
    keys: Vec<(KeyQuery, T)>,
    /// Bytes of their names.
    bytes: usize,
}

impl<T> Default for MeasureQueue<T> {
    fn default() -> Self {
        Self { keys: Vec::new(), bytes: 0 }
    }
}

impl<T> MeasureQueue<T> {
    pub(crate) fn push(&mut self, query: KeyQuery, about: T) {
        self.bytes += query.key.as_bytes().len();
        self.keys.push((query, about));
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether enough keys wait, by their number or by the size of their names.
    pub(crate) fn are_enough(&self, keys: usize) -> bool {
        self.len() >= keys || self.bytes >= MEASURED_BYTES_AT_ONCE
    }

    /// The first keys, to be measured in one write: `count`, or fewer if their names are long.
    pub(crate) fn first(&self, count: usize) -> Vec<KeyQuery> {
        let mut left = MEASURED_BYTES_AT_ONCE;
        let few = self.keys.iter().take(count).map(|(query, _)| query).take_while(|query| {
            let fits = left > 0;
            left = left.saturating_sub(query.key.as_bytes().len());
            fits
        });
        few.cloned().collect()
    }

    /// Removes the first `count` keys, or all if there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Vec<(KeyQuery, T)> {
        let taken: Vec<_> = self.keys.drain(..count.min(self.len())).collect();
        self.bytes -= taken.iter().map(|(query, _)| query.key.as_bytes().len()).sum::<usize>();
        taken
    }
}

/// Measures `count` of the waiting keys in one write. Returns the lookups made.
pub(crate) async fn measure_some(
    statistics: &mut Statistics,
    count: usize,
    conn: &Conn,
) -> Result<Lookups, RedisError> {
    let found = memory_usage(conn, &statistics.next_to_measure(count)).await?;
    statistics.measured(&found);
    Ok(found.lookups)
}
