//! The rate limit: a token bucket of keys. Pure: time is an argument.
//!
//! The number of keys in a reply is known only afterwards, so tokens are taken afterwards: the balance may become
//! negative, and no key may be requested until it is positive again.

use std::time::Duration;

use crate::limits::RATE_BURST;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    keys_per_s: f64,
    /// The number of keys that may be read now; negative after more were read than allowed.
    balance: f64,
    /// The time of `balance`.
    at: Duration,
}

impl TokenBucket {
    /// A bucket that allows `keys_per_s`, empty at `now` (a time since a fixed moment). The lowest rate is one key per
    /// day.
    #[must_use]
    pub fn new(keys_per_s: f64, now: Duration) -> Self {
        Self { keys_per_s: keys_per_s.max(1.0 / 86_400.0), balance: 0.0, at: now }
    }

    /// How long to wait at `now` until keys may be read again.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        let missing = -self.balance_at(now);
        if missing <= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(missing / self.keys_per_s) }
    }

    /// Takes `keys` tokens.
    pub fn take(&mut self, now: Duration, keys: u64) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer keys than 2^52")]
        let keys = keys as f64;
        (self.balance, self.at) = (self.balance_at(now) - keys, now);
    }

    /// The number of keys that one write may request, so that no long pause follows.
    #[must_use]
    pub fn window_keys(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of keys"
        )]
        let keys = (self.keys_per_s * RATE_BURST.as_secs_f64()) as u64;
        keys
    }

    /// The balance at `now`, at most that of [`RATE_BURST`].
    fn balance_at(&self, now: Duration) -> f64 {
        let brought = now.saturating_sub(self.at).as_secs_f64() * self.keys_per_s;
        (self.balance + brought).min(self.keys_per_s * RATE_BURST.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `keys` in windows of `window` as fast as it may; how long that takes, in seconds.
    fn read(keys_per_s: f64, keys: u64, window: u64) -> f64 {
        let (mut now, mut read) = (Duration::from_secs(7), 0);
        let mut bucket = TokenBucket::new(keys_per_s, now);
        while read < keys {
            now += bucket.wait(now) + Duration::from_micros(300);
            bucket.take(now, window);
            read += window;
        }
        (now + bucket.wait(now)).as_secs_f64() - 7.0
    }

    #[test]
    fn the_rate_holds_for_all_window_sizes() {
        for (keys_per_s, keys, window) in
            [(1_000.0, 20_000, 64), (50_000.0, 1_000_000, 1_000), (12.5, 500, 100), (0.5, 64, 1)]
        {
            let (took, due) = (read(keys_per_s, keys, window), keys as f64 / keys_per_s);
            assert!((due * 0.99..due * 1.02 + 0.1).contains(&took), "{keys_per_s}/s: {took} s for {due} s");
        }
    }

    #[test]
    fn an_idle_bucket_saves_little() {
        let mut bucket = TokenBucket::new(1_000.0, Duration::ZERO);
        let now = Duration::from_secs(3_600);
        bucket.take(now, 1_100);
        let wait = bucket.wait(now).as_secs_f64();
        assert!((0.9..=1.1).contains(&wait), "{wait}");
        assert_eq!(bucket.wait(now + Duration::from_secs(2)), Duration::ZERO);
    }

    #[test]
    fn slow_rates_ask_for_little_at_once() {
        assert_eq!(TokenBucket::new(5_000.0, Duration::ZERO).window_keys(), 500);
        assert_eq!(TokenBucket::new(0.0, Duration::ZERO).window_keys(), 0);
    }
}
