//! Asking for the memory of the keys that were chosen for it.

use shared::cluster::memory_usage::memory_usage;
use shared::cluster::{Conn, RedisError};
use shared::limits::MEASURED_AT_ONCE;
use shared::messages::Lookups;

use crate::statistics::Statistics;

/// How many keys are weighed in one write, where a write may ask for `window_keys` keys.
pub(crate) fn keys_per_write(window_keys: Option<u64>) -> usize {
    let keys = window_keys.unwrap_or(MEASURED_AT_ONCE).clamp(1, MEASURED_AT_ONCE);
    usize::try_from(keys).unwrap_or(usize::MAX)
}

/// Weighs `count` of the keys that wait for it, in one write; the look-ups that it took.
pub(crate) async fn measure_some(
    statistics: &mut Statistics,
    count: usize,
    conn: &Conn,
) -> Result<Lookups, RedisError> {
    let found = memory_usage(conn, &statistics.to_weigh(count)).await?;
    statistics.measured(&found);
    Ok(found.lookups)
}
