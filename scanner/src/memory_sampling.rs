//! Measures the memory of the sampled keys.

use keysweep_model::key::Key;
use keysweep_model::limits::MEASURED_AT_ONCE;
use keysweep_model::messages::Lookups;
use keysweep_redis::memory_usage::memory_usage;
use keysweep_redis::{Conn, RedisError};

use crate::limits::MEASURED_BYTES_AT_ONCE;
use crate::statistics::Statistics;

/// How many keys are measured in one write, if a write may cover `window_keys` keys.
pub(crate) fn keys_per_write(window_keys: Option<u64>) -> usize {
    let keys = window_keys.unwrap_or(MEASURED_AT_ONCE).clamp(1, MEASURED_AT_ONCE);
    usize::try_from(keys).unwrap_or(usize::MAX)
}

/// How many of the first of `keys` are measured in one write: `count`, or fewer if their names are long.
pub(crate) fn fitting<'a>(keys: impl Iterator<Item = &'a Key>, count: usize) -> usize {
    let mut left = MEASURED_BYTES_AT_ONCE;
    let few = keys.take(count).take_while(|key| {
        let fits = left > 0;
        left = left.saturating_sub(key.as_bytes().len());
        fits
    });
    few.count()
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
