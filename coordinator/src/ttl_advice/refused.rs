//! Reasons to refuse advice that lie in the sample, besides those of the estimate. Pure.

use std::time::Duration;

use keysweep_model::duration;
use keysweep_ttl_advice::Refusal;
use keysweep_ttl_advice::limits::KEYS_MIN;

use super::look::{Sample, SeenKey};

/// Why the TTL of so many sampled keys is not known.
pub(super) fn without_ttl(keys: usize) -> String {
    if keys < KEYS_MIN {
        return Refusal::TooFewKeys { keys, needed: KEYS_MIN }.to_string();
    }
    format!(
        "what remains of the TTLs of {keys} keys has no sharp upper end: they are written with several TTLs, or with a \
         random part; state the TTL with `--configured-ttl`, or choose keys that have the same with `--pattern`"
    )
}

/// Why idle times cannot be used, if servers loaded keys from a file: when those were last read is not in it.
pub(super) fn loaded(sample: &Sample, ttl_ms: u64) -> Option<String> {
    const STARTING_MS: u64 = 1_000;
    let is_loaded = |key: &&SeenKey| {
        let age_ms = ttl_ms.saturating_sub(key.remaining_ms);
        age_ms > key.uptime_ms.saturating_add(STARTING_MS)
    };
    let loaded = sample.keys.iter().filter(is_loaded).count();
    // A few keys may have been written with a shorter TTL.
    let uptime_ms = sample.keys.iter().map(|key| key.uptime_ms).min()?;
    (loaded * 100 > sample.keys.len()).then(|| {
        let wait = duration::show(Duration::from_secs(ttl_ms.saturating_sub(uptime_ms).div_ceil(1_000)));
        format!(
            "{loaded} of {} sampled keys are older than the process of their server, so it does not know when they were \
             last read; call again in {wait}",
            sample.keys.len()
        )
    })
}
