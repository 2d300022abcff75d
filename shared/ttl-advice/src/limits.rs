//! Limits that are not settings: name, unit, and the reason for the size.

/// Keys that are used. More would make intervals narrower than the error of the model.
pub const KEYS_MAX: usize = 20_000;

/// Keys below which nothing is said: the tests for departures from the model would find nothing.
pub const KEYS_MIN: usize = 500;

/// Requests below which the measured hit rate says nothing.
pub const REQUESTS_MIN: u64 = 1_000;

/// Misses below which the measured miss rate says nothing.
pub const MISSES_MIN: u64 = 100;

/// The share of keys whose idle time must be known.
pub const IDLE_KNOWN_MIN: f64 = 0.9;

/// Followed keys that make a panel.
pub const FOLLOWED_MIN: usize = 300;

/// The share of the sampled keys that must have been followed in a panel.
pub const FOLLOWED_SHARE_MIN: f64 = 0.5;

/// The median time for which keys are awaited after their expiry, in TTLs, without which four times the TTL is not
/// estimated.
pub const AWAITED_MIN: f64 = 2.0;

/// TTLs of the curve, relative to the current one. Nothing is said about others.
pub const TTLS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// Shorter TTLs than this are not estimated: servers know idle times to a second.
pub const TTL_MIN_MS: f64 = 2_000.0;

/// The longest of [`TTLS`] that is estimated without a panel: a live key says nothing about rates far below one per TTL.
pub const SNAPSHOT_TTL_MAX: f64 = 2.0;

/// The share of keys that must have been read. Otherwise a snapshot says nothing about longer TTLs: keys that are requested
/// regularly, but less often than once per TTL, look as if they were never requested again.
pub const SNAPSHOT_READ_MIN: f64 = 0.1;

/// The share of evictions among all removals above which memory decides how long keys live, and not the TTL.
pub const EVICTED_MAX: f64 = 0.1;

/// The part of a TTL, at its end, in which keys must be left so that the end counts as that of one TTL,
pub const UPPER_END_WINDOW: f64 = 0.05;

/// and the share of all keys that must be there: half of what one TTL leaves.
pub const UPPER_END_SHARE_MIN: f64 = 0.025;

/// Keys may expire later than the TTL allows by this share of it: clocks differ.
pub const TTL_TOLERANCE: f64 = 0.005;

/// The share of keys that may expire later than that.
pub const LATER_MAX: f64 = 0.01;

/// The share of keys that were not read since they were written, above which the TTL may be a sliding one.
pub const UNREAD_SLIDING: f64 = 0.95;

/// The hit rate above which such a share is a contradiction, unless the TTL is a sliding one.
pub const SLIDING_HIT_RATE_MIN: f64 = 0.05;

/// The share of read keys below which a mean age that is too low is evidence enough of a sliding TTL,
pub const SLIDING_READ_MAX: f64 = 0.005;

/// and by how many standard deviations it must be too low.
pub const SLIDING_DEVIATIONS_MIN: f64 = 1.0;

/// The Kolmogorov–Smirnov distance, times the root of the number of keys, that chance exceeds in 1 % of samples.
pub const KS_CRITICAL: f64 = 1.63;

/// A distance that is tolerated in samples of any size: it moves the estimates by less than the term for the model.
pub const KS_TOLERATED: f64 = 0.025;

/// Windows, as shares of the TTL, in which the numbers of keys just below and above an age are compared.
pub const JUMP_WINDOWS: [f64; 3] = [0.02, 0.05, 0.1];

/// The difference of the two numbers in standard deviations that is a jump. Chance reaches it in one of 2,000 samples,
/// over all windows and ages.
pub const JUMP_CRITICAL: f64 = 4.8;

/// Keys without which a part of the sample is not compared with the fitted model.
pub const FIT_KEYS_MIN: usize = 50;

/// The distance between a sample and the model that was fitted to it, times the root of the number of keys, that is
/// allowed.
pub const FIT_CRITICAL: f64 = 1.3;

/// A distance that is tolerated in snapshots of any size,
pub const FIT_TOLERATED: f64 = 0.06;

/// and in panels, whose estimates depend less on the model.
pub const FIT_TOLERATED_PANEL: f64 = 0.1;

/// Idle times count as known to this part of the TTL in either direction when the model is checked: patterns within it do
/// not matter.
pub const FIT_BLUR: f64 = 0.05;

/// The TTL, in ms, below which the model is not checked: idle times are known to a second, and say too little.
pub const FIT_TTL_MIN_MS: u64 = 10_000;

/// Windows per TTL in which keys are counted, to find how many are written together.
pub const TOGETHER_WINDOWS: usize = 100;

/// The variance of these counts, relative to that of independent keys, above which keys are written together.
pub const TOGETHER_MIN: f64 = 1.6;

/// The rate at which entries are deleted early, per TTL, above which the TTL hardly decides how long they live.
pub const EARLY_RATE_MAX: f64 = 1.0;

/// The measured misses may differ by this factor from what the number of live keys implies,
pub const MISSES_FACTOR_MAX: f64 = 1.25;

/// and by this many standard deviations.
pub const MISSES_DEVIATIONS_MAX: f64 = 4.0;

/// Ages, as shares of the TTL, at which a key that was not read will probably not be read before its expiry.
pub const NEAR_EXPIRY: f64 = 0.9;

/// Keys of such an age without which their share is not stated.
pub const NEAR_EXPIRY_KEYS_MIN: f64 = 30.0;

/// The TTL, in ms, below which that share is not stated: a read within two seconds of the write is not seen.
pub const NEAR_EXPIRY_TTL_MIN_MS: u64 = 60_000;

/// Rounds of the EM algorithm. More would fit the noise of the sample.
pub const ROUNDS: usize = 100;

/// The gain of log-likelihood above which requests in bursts are taken for evident in a snapshot. Without evidence they are
/// left out: a snapshot hardly tells bursts from keys with different rates, and they would bias the estimates.
pub const BURSTS_EVIDENT: f64 = 5.0;

/// Fits with random weights of the keys, for the standard error.
pub const REPLICATES: usize = 30;

/// The half-width of a 95 % interval in standard errors.
pub const DEVIATIONS_95: f64 = 1.96;

/// What is added to intervals of the logarithm of misses, on each side, since no model is exact: for each halving of the
/// TTL,
pub const MODEL_TERM_SHORTER: f64 = 0.08;

/// for the doubling without a panel,
pub const MODEL_TERM_LONGER: f64 = 0.18;

/// and for each doubling with one.
pub const MODEL_TERM_PANEL: f64 = 0.06;

/// A doubling of the TTL is worth its memory if it saves at least this share of the misses
pub const KNEE_MISSES: f64 = 0.02;

/// for each such share of additional memory.
pub const KNEE_MEMORY: f64 = 0.1;
