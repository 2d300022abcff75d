//! Why there is no advice. Each reason carries the figures that it was found from; its text says what they mean and what
//! to do.

use std::fmt;

/// Why nothing can be said about other TTLs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal {
    /// The sample is too small.
    TooFewKeys {
        /// Keys that can be used; those that are written together count as one.
        keys: usize,
        /// Keys that are needed.
        needed: usize,
    },
    /// The hit rate is not known well enough.
    TooFewRequests {
        /// Requests that were counted.
        requests: u64,
        /// Misses among them.
        misses: u64,
    },
    /// The server does not know when keys were last read.
    NoIdleTimes {
        /// Keys whose idle time is known.
        known: usize,
        /// Keys of the sample.
        keys: usize,
    },
    /// Memory decides how long keys live.
    CapacityBound {
        /// Keys that were evicted.
        evicted: u64,
        /// Keys that expired.
        expired: u64,
        /// The longest idle time in the sample, in ms: about what the memory allows.
        longest_idle_ms: Option<u64>,
    },
    /// Reads renew the TTL.
    SlidingTtl {
        /// The share of keys whose idle time is their age.
        unread: f64,
        /// The measured hit rate.
        hit_rate: f64,
    },
    /// Keys expire later than the stated TTL allows.
    LongerTtls {
        /// Keys that do.
        keys: usize,
        /// Keys of the sample.
        of: usize,
    },
    /// Not all keys have the stated TTL.
    SeveralTtls {
        /// Keys with a remaining TTL just above a certain one,
        above: usize,
        /// and just below it.
        below: usize,
        /// That remaining TTL, in ms.
        remaining_ms: u64,
    },
    /// The ages are not those of entries that live until their expiry in steady traffic; the cause is not known.
    UnevenAges {
        /// The Kolmogorov–Smirnov distance,
        distance: f64,
        /// and what is allowed.
        allowed: f64,
        /// Live keys of the busiest third of the last TTL, relative to the quietest.
        busiest_to_quietest: f64,
    },
    /// The traffic changed within the last TTL.
    NotStationary {
        /// The Kolmogorov–Smirnov distance, early deletions taken into account,
        distance: f64,
        /// and what is allowed.
        allowed: f64,
        /// Live keys of the busiest third of the last TTL, relative to the quietest.
        busiest_to_quietest: f64,
    },
    /// The requests are unlike all that the model knows.
    OtherPattern {
        /// The distance between what was seen of the keys and what the fitted model expects,
        distance: f64,
        /// and what is allowed.
        allowed: f64,
    },
    /// Most entries are deleted before they expire.
    DeletedEarly {
        /// The share of entries that are.
        share: f64,
        /// The measured miss rate.
        miss_rate: f64,
        /// The share of the misses that a longer TTL saves at most.
        saved_at_most: f64,
    },
    /// The measured misses are not those of the sampled keys.
    OtherMisses {
        /// Misses that were counted.
        misses: u64,
        /// Misses that the number of live keys implies.
        expected: f64,
    },
}

impl Refusal {
    /// Its name for programs; it does not change with the figures.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooFewKeys { .. } => "tooFewKeys",
            Self::TooFewRequests { .. } => "tooFewRequests",
            Self::NoIdleTimes { .. } => "noIdleTimes",
            Self::CapacityBound { .. } => "capacityBound",
            Self::SlidingTtl { .. } => "slidingTtl",
            Self::LongerTtls { .. } => "longerTtls",
            Self::SeveralTtls { .. } => "severalTtls",
            Self::UnevenAges { .. } => "unevenAges",
            Self::NotStationary { .. } => "notStationary",
            Self::OtherPattern { .. } => "otherPattern",
            Self::DeletedEarly { .. } => "deletedEarly",
            Self::OtherMisses { .. } => "otherMisses",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooFewKeys { keys, needed } => {
                write!(
                    f,
                    "the sample has {keys} keys that can be used (keys that are written together count as one); at least \
                 {needed} are needed"
                )
            }
            Self::TooFewRequests { requests, misses } => write!(
                f,
                "{requests} requests with {misses} misses are too few to know the hit rate; count for a longer time"
            ),
            Self::NoIdleTimes { known, keys } => write!(
                f,
                "the idle time of only {known} of {keys} keys is known; servers with an LFU policy do not keep it: set \
                 `maxmemory-policy` to `volatile-lru`, `allkeys-lru` or `noeviction`"
            ),
            Self::CapacityBound { evicted, expired, longest_idle_ms } => {
                capacity_bound(f, evicted, expired, longest_idle_ms)
            }
            Self::SlidingTtl { unread, hit_rate } => write!(
                f,
                "the idle time of {} of the keys is their age although {} of the requests are hits: reads seem to renew \
                 the TTL, and ages are then not known",
                Percent(unread),
                Percent(hit_rate)
            ),
            Self::LongerTtls { keys, of } => write!(
                f,
                "{keys} of {of} keys expire later than the stated TTL allows; state the longest TTL, or choose keys that \
                 all have the same"
            ),
            Self::SeveralTtls { above, below, remaining_ms } => write!(
                f,
                "{below} keys have a remaining TTL just below {}, and {above} one just above: not all are written with \
                 the stated TTL, it varies at random, or many were written at once; choose keys that all have the same, and try \
                 again",
                Seconds(remaining_ms)
            ),
            Self::UnevenAges { distance, allowed, busiest_to_quietest } => write!(
                f,
                "the ages of the keys are uneven (distance {distance:.3}, allowed {allowed:.3}; {busiest_to_quietest:.1} \
                 times as many keys are left of one third of the last TTL as of another): entries are deleted before \
                 they expire, the traffic changed, or not all keys have the stated TTL; follow keys until they expire"
            ),
            Self::NotStationary { distance, allowed, busiest_to_quietest } => write!(
                f,
                "the traffic changed within the last TTL, not all keys have the stated one, or entries of some keys are \
                 deleted much more often than those of others (distance of ages {distance:.3}, allowed {allowed:.3}; \
                 {busiest_to_quietest:.1} times as many keys are left of one third of it as of another); try again when \
                 it is steady"
            ),
            Self::OtherPattern { distance, allowed } => other_pattern(f, distance, allowed),
            Self::DeletedEarly { share, miss_rate, saved_at_most } => write!(
                f,
                "{} of the entries are deleted before they expire; a longer TTL raises the hit rate by at most {:.1} \
                 points",
                Percent(share),
                miss_rate * saved_at_most * 100.0
            ),
            Self::OtherMisses { misses, expected } => write!(
                f,
                "{misses} misses were counted, but {expected:.0} are expected from the number of live keys and their \
                 TTL: the counters include other keys, misses are not written to the cache, or the traffic changed"
            ),
        }
    }
}

fn other_pattern(f: &mut fmt::Formatter<'_>, distance: f64, allowed: f64) -> fmt::Result {
    write!(
        f,
        "the keys are not requested as the model expects (distance {distance:.3}, allowed {allowed:.3}): at regular \
         times, in visits of several requests, for a short part of their life, or differently than before; another \
         TTL may then have any effect"
    )
}

fn capacity_bound(
    f: &mut fmt::Formatter<'_>,
    evicted: u64,
    expired: u64,
    longest_idle_ms: Option<u64>,
) -> fmt::Result {
    write!(
        f,
        "{evicted} keys were evicted and {expired} expired: memory decides how long keys live, and not the TTL; give the \
         server more memory or shorten the TTL"
    )?;
    longest_idle_ms.map_or(Ok(()), |idle| write!(f, " (the longest idle time seen is {})", Seconds(idle)))
}

/// A share as text.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.0 * 100.0)
    }
}

/// A time in ms as text.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0 as f64 / 1_000.0)
    }
}
