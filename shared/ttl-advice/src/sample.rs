//! What was seen of a cache: live keys, the requests it served, and the keys it removed.

/// What was observed of the keys of one cache that are all written with the same TTL.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The TTL that the application sets, in ms; not 0.
    pub ttl_ms: u64,
    /// Live keys, chosen at random. More than [`KEYS_MAX`](crate::limits::KEYS_MAX) are not used.
    pub keys: &'a [SampledKey],
    /// The requests of the application for these keys, or for more.
    pub traffic: Traffic,
    /// Which of the two.
    pub counted_for: CountedFor,
    /// Counters of the server over the same time, where they are known.
    pub removals: Option<Removals>,
    /// All live keys of which `keys` are a sample, where their number is known.
    pub live_keys: Option<u64>,
    /// Mean memory of a key in bytes, where it was measured.
    pub key_bytes: Option<f64>,
}

/// Which keys the counted requests are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountedFor {
    /// For those of which a sample was seen.
    #[default]
    SampledKeys,
    /// For others as well. Hit rates are then those of all of them, and which share of the misses is of the sampled keys
    /// follows from how many of these live (Little's law).
    OthersToo,
}

/// A live key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledKey {
    /// The time until it expires, in ms. Its age is what is missing to the TTL.
    pub remaining_ms: u64,
    /// When it was last read or written; unknown where the server counts frequencies instead (an LFU policy).
    pub idle: Option<Idle>,
    /// What later looks found; `None` if there were none, or if the last one was before the expiry. Such a look would count
    /// keys that ended early, and not those that live on.
    pub follow_up: Option<FollowUp>,
}

/// The last access to a key was at least and at most so long ago, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// At least so long ago.
    pub at_least_ms: u64,
    /// At most so long ago.
    pub at_most_ms: u64,
}

/// What was seen of a key after it was sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// It lived until its expiry, and was written again so many ms after it.
    CameBack {
        /// From the old expiry to the new write.
        after_ms: u64,
    },
    /// It lived until its expiry, and was not written again within so many ms.
    NotBack {
        /// From the old expiry to the last look.
        within_ms: u64,
    },
    /// It was gone, or written again, before its expiry.
    EndedEarly,
}

/// Requests of the application, without those of keysweep itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Reads that found the key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// The time in which they were counted, in ms, where it is known: the misses are then compared with the number of
    /// live keys.
    pub window_ms: Option<u64>,
}

/// Keys that the server removed by itself (`expired_keys` and `evicted_keys` of INFO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removals {
    /// Because they expired.
    pub expired: u64,
    /// Because memory was full.
    pub evicted: u64,
}

/// The clock that servers stamp accesses with is behind by up to this (`server.lruclock`, set by a task that runs ten
/// times a second).
const CLOCK_LAG_MS: u64 = 100;

impl Idle {
    /// From a reply to OBJECT IDLETIME and the server's clock in ms at that moment.
    ///
    /// The reply is not the idle time in whole seconds: it is the number of the current second minus that of the second
    /// of the last access (`estimateObjectIdleTime` in Redis' `evict.c`). So it is wrong by up to a second in either
    /// direction, and what is known is the second of the access.
    #[must_use]
    pub const fn from_seconds(idle_s: u64, clock_ms: u64) -> Self {
        let in_second = clock_ms % 1_000;
        let lag = if in_second < CLOCK_LAG_MS { 1_000 } else { 0 };
        let since = idle_s.saturating_mul(1_000).saturating_add(in_second);
        Self {
            at_least_ms: since.saturating_sub(1_000 + CLOCK_LAG_MS),
            at_most_ms: since.saturating_add(lag),
        }
    }
}

impl Traffic {
    /// All reads.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.hits.saturating_add(self.misses)
    }
}

impl SampledKey {
    /// The age in ms of a key that was written with a TTL of `ttl_ms`; none if it expires later than that allows.
    #[must_use]
    pub const fn age_ms(&self, ttl_ms: u64) -> Option<u64> {
        ttl_ms.checked_sub(self.remaining_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_times_are_differences_of_whole_seconds() {
        let check = |last_ms: u64, now_ms: u64| {
            let idle = Idle::from_seconds(now_ms / 1_000 - last_ms / 1_000, now_ms);
            let ago = now_ms - last_ms;
            assert!((idle.at_least_ms..=idle.at_most_ms).contains(&ago), "{last_ms}..{now_ms}: {idle:?}");
        };
        for last_ms in [10_000, 10_001, 10_450, 10_999] {
            for later_ms in [0, 1, 550, 999, 1_000, 1_001, 90_000] {
                check(last_ms, last_ms + later_ms);
            }
        }
        let idle = Idle::from_seconds(2, 50_400);
        assert_eq!(idle, Idle { at_least_ms: 1_300, at_most_ms: 2_400 });
    }
}
