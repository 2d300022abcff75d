//! Limits that are not settings: name, unit, and the reason for the size.

/// Buckets of an experiment, at least: with fewer, the variance between them is hardly known.
pub const BUCKETS_MIN: u32 = 20;

/// Buckets of an experiment at most: counts of each are kept for each period.
pub const BUCKETS_MAX: u32 = 4_000;

/// Buckets unless they are given.
pub const BUCKETS: u32 = 400;

/// Periods of an experiment at most.
pub const PERIODS_MAX: u64 = 200;

/// Fills of a bucket, in both arms together, without which it is left out of the estimate: the logarithm of smaller counts
/// is biased.
pub const BUCKET_FILLS_MIN: f64 = 10.0;

/// Buckets of each group that must have so many fills before anything is estimated.
pub const GROUP_BUCKETS_MIN: usize = 8;

/// The longest TTL, over the shortest: more is not needed, and makes periods long.
pub const TTL_RATIO_MAX: u64 = 16;

/// The shortest TTL in ms: ages are known to some ms, and clocks of the application and the server differ.
pub const TTL_MIN_MS: u64 = 1_000;

/// The measured part of a period in longest TTLs, at least.
pub const CYCLES_MIN: u64 = 4;

/// A period in longest TTLs, unless it is given: with the part that is not measured.
pub const PERIOD_TTLS: u64 = 8;

/// What is left out at the beginning of a period beyond the longest TTL, as a share of that: clocks of the application and
/// the servers may differ by so much.
pub const CLOCKS_SHARE: f64 = 0.02;

/// How far back a look counts fills, in shortest TTLs: older entries may have expired before they are read.
pub const LOOK_BACK_TTLS: f64 = 0.5;

/// Entries that a look counts at most: their hashes take some 70 MB while it lasts.
pub const LOOK_FILLS_MAX: usize = 4_000_000;

/// The interval of looks in shortest TTLs, unless it is given: half of what a look can count, so that a late one loses
/// nothing.
pub const LOOK_EVERY_TTLS: f64 = 0.25;

/// The share of the measured part of a period that looks must cover, or its pair of periods is not used.
pub const COVERED_MIN: f64 = 0.8;

/// The probability of stopping for misses of the treated arm that are not higher than [`GUARD_MISSES`], over all periods.
pub const GUARD_ALPHA: f64 = 0.01;

/// Misses of the treated arm, relative to the control, above which the experiment stops.
pub const GUARD_MISSES: f64 = 1.2;

/// The share of `maxmemory` above which the experiment stops.
pub const GUARD_MEMORY: f64 = 0.85;

/// Errors that the server replied, per hit, above which the experiment stops.
pub const GUARD_ERRORS: f64 = 0.01;

/// Errors below which their share says nothing.
pub const GUARD_ERRORS_MIN: u64 = 100;

/// The Bayes factor against equal shares of users above which the experiment is invalid, as 1 / α.
pub const USERS_ALPHA: f64 = 0.001;

/// Users that are kept to compare the groups. A share of 51.8 % instead of 50 % is found with this many.
pub const USERS_MAX: usize = 20_000;

/// The weight of the assumption that shares are as planned, in users, in the alternative of the Bayes factor.
pub const USERS_PRIOR: f64 = 2.0;

/// The share of keys with a TTL that their arm cannot have, above which the experiment is invalid.
pub const IMPOSSIBLE_MAX: f64 = 0.02;

/// Keys below which that share says nothing.
pub const IMPOSSIBLE_KEYS_MIN: u64 = 200;

/// How far the logarithm of relative misses may be outside of what the two TTLs can cause, before the experiment is
/// invalid.
pub const BEYOND_POSSIBLE: f64 = 0.1;
