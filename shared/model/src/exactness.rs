//! The error bounds of the number of matching keys. Pure.

use crate::result::{CleanupResult, Skipped};

impl CleanupResult {
    /// The maximum error of the number of matching keys: 0 if it is exact; `None` if unknown.
    #[must_use]
    pub fn keys_error(&self) -> Option<u64> {
        if self.scanned_keys_approximate { None } else { self.skipped.keys_error(self.skipped_keys) }
    }
}

impl Skipped {
    /// The maximum error of the number of matching keys among `skipped`: twice the error of the sample, which is
    /// exceeded by one sample in 10,000. 0 if nothing was skipped; `None` without a sample.
    #[must_use]
    pub fn keys_error(&self, skipped: u64) -> Option<u64> {
        if skipped == 0 {
            return Some(0);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an error needs no more than 52 bits, is positive, and saturates"
        )]
        self.sample_error_percent.map(|percent| (skipped as f64 * 2.0 * percent / 100.0).ceil() as u64)
    }
}
