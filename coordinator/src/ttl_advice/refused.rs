//! Reasons to refuse advice that lie in the sample, besides those of the estimate. Pure.

use keysweep_ttl_advice::Refusal;
use keysweep_ttl_advice::limits::KEYS_MIN;
use reporter::span;

use super::look::{SeenKey, TtlSample};
use super::report::{Refused, seconds};

/// Why the TTL of so many sampled keys is not known.
pub(super) fn without_ttl(keys: usize) -> Refused {
    if keys < KEYS_MIN {
        return Refused::of(&Refusal::TooFewKeys { keys, needed: KEYS_MIN });
    }
    let why = format!(
        "what remains of the TTLs of {keys} keys has no sharp upper end: they are written with several TTLs, or with a \
         random part; state the TTL (`configured_ttl`), or choose keys that have the same (`patterns`)"
    );
    Refused::new("noSharpEnd", why)
}

/// Why idle times cannot be used, if servers loaded keys from a file: when those were last read is not in it.
pub(super) fn loaded(sample: &TtlSample, ttl_ms: u64) -> Option<Refused> {
    const STARTING_MS: u64 = 1_000;
    let is_loaded = |key: &&SeenKey| {
        let age_ms = ttl_ms.saturating_sub(key.remaining_ms);
        age_ms > key.uptime_ms.saturating_add(STARTING_MS)
    };
    let loaded = sample.keys.iter().filter(is_loaded).count();
    // A few keys may have been written with a shorter TTL.
    let uptime_ms = sample.keys.iter().map(|key| key.uptime_ms).min()?;
    (loaded * 100 > sample.keys.len()).then(|| {
        let wait = span(seconds(ttl_ms.saturating_sub(uptime_ms)).ceil());
        let why = format!(
            "{loaded} of {} sampled keys are older than the process of their server, so it does not know when they were \
             last read; look again in {wait}",
            sample.keys.len()
        );
        Refused::new("loadedKeys", why)
    })
}

#[cfg(test)]
mod tests {
    use keysweep_model::key::Key;

    use super::*;

    /// Keys of these ages in seconds, with a TTL of an hour, on a server that has run for ten minutes.
    fn check(ages_s: &[u64], expected: Option<&str>) {
        let seen = |age_s: &u64| SeenKey {
            db: 0,
            key: Key::new(*b"k"),
            remaining_ms: (3_600 - age_s) * 1_000,
            expires_at_ms: 10_000_000,
            idle_s: Some(0),
            uptime_ms: 600_000,
            bytes: None,
        };
        let sample = TtlSample { keys: ages_s.iter().map(seen).collect(), ..TtlSample::default() };
        let found = loaded(&sample, 3_600_000);
        assert_eq!(found.as_ref().map(|refused| refused.why.as_str()), expected, "{ages_s:?}");
    }

    #[test]
    fn keys_that_are_older_than_their_server_were_loaded() {
        check(&[], None);
        check(&[0, 300, 600, 601], None);
        check(
            &[0, 602, 3_599],
            Some(
                "2 of 3 sampled keys are older than the process of their server, so it does not know when they were last \
                 read; look again in 50 min",
            ),
        );
        let mut ages = vec![10; 100];
        ages.push(700);
        check(&ages, None);
    }
}
