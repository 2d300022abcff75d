//! The read limit for the replies to one write, derived from the request. Pure.

use super::Listing;
use super::listing_socket::CloseCause;
use crate::limits::{
    LOOKUP_REPLY_BYTES_MAX, READ_BYTES, REPLIES_BYTES_MAX, REPLY_BYTES_LEAST, REPLY_BYTES_MAX,
    REPLY_KEYS_MAX, SMALLEST_PAGE_BYTES_MAX,
};

/// How many bytes and keys are read of the replies to one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    bytes: usize,
    /// The limit for all listing replies in this process together.
    all: usize,
}

impl Limit {
    /// The limit for this many lookups and for `listings`. A single key may be as long as all of them together. `SCAN`
    /// with `COUNT 1` is the smallest request, and still returns all keys of a bucket.
    pub(super) fn of(lookups: usize, listings: &[Listing]) -> Self {
        let lookup_bytes = lookups.saturating_mul(LOOKUP_REPLY_BYTES_MAX).saturating_add(READ_BYTES);
        let (bytes, all) = match listings {
            [] => (lookup_bytes.min(REPLY_BYTES_MAX), REPLIES_BYTES_MAX),
            [Listing::Scan { count: ..=1, .. }] => (SMALLEST_PAGE_BYTES_MAX, SMALLEST_PAGE_BYTES_MAX),
            _ => (REPLY_BYTES_MAX, REPLIES_BYTES_MAX),
        };
        Self { bytes, all }
    }

    /// What a reply of `bytes` and `keys` exceeds, while this process holds `all` bytes of replies.
    pub(super) fn exceeded(self, bytes: usize, keys: usize, all: usize) -> Option<CloseCause> {
        if bytes > self.bytes || keys > REPLY_KEYS_MAX {
            return Some(CloseCause::TooLong);
        }
        (all > self.all && bytes > REPLY_BYTES_LEAST).then_some(CloseCause::Crowded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_depends_on_the_request() {
        let scan = [Listing::Scan { cursor: 0, count: 2 }];
        let smallest = [Listing::Scan { cursor: 0, count: 1 }];
        let check = |limit: Limit, (bytes, keys, all): (usize, usize, usize), expected| {
            assert_eq!(limit.exceeded(bytes, keys, all), expected, "{limit:?}: {bytes} {keys} {all}");
        };
        check(Limit::of(0, &scan), (REPLY_BYTES_MAX, 1, REPLY_BYTES_MAX), None);
        check(Limit::of(0, &scan), (REPLY_BYTES_MAX + 1, 1, REPLY_BYTES_MAX + 1), Some(CloseCause::TooLong));
        check(Limit::of(0, &scan), (1_000, REPLY_KEYS_MAX + 1, 1_000), Some(CloseCause::TooLong));
        // The longest key that can be deleted is listed no matter what other readers hold.
        check(Limit::of(0, &scan), (REPLY_BYTES_LEAST, 1, 100 * REPLIES_BYTES_MAX), None);
        check(
            Limit::of(0, &scan),
            (REPLY_BYTES_LEAST + 1, 1, REPLIES_BYTES_MAX + 1),
            Some(CloseCause::Crowded),
        );
        let most = SMALLEST_PAGE_BYTES_MAX;
        check(Limit::of(0, &smallest), (most, 1, most), None);
        check(Limit::of(0, &smallest), (most + 1, 1, most + 1), Some(CloseCause::TooLong));
        check(Limit::of(0, &smallest), (REPLY_BYTES_MAX, 1, most + 1), Some(CloseCause::Crowded));
        check(Limit::of(10, &[]), (REPLY_BYTES_LEAST, 0, REPLY_BYTES_LEAST), Some(CloseCause::TooLong));
        check(Limit::of(10, &[]), (10 * LOOKUP_REPLY_BYTES_MAX, 0, 0), None);
        check(Limit::of(usize::MAX, &[]), (REPLY_BYTES_MAX, 0, REPLY_BYTES_MAX), None);
    }
}
