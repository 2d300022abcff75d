//! How much is read of what one write is answered: as much as fits what it asked. Pure.

use super::Listing;
use super::listing_socket::CloseCause;
use crate::limits::{
    LOOK_ANSWER_BYTES_MAX, READ_BYTES, REPLIES_BYTES_MAX, REPLY_BYTES_LEAST, REPLY_BYTES_MAX, REPLY_KEYS_MAX,
    SMALLEST_PAGE_BYTES_MAX,
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    bytes: usize,
    /// Of all answers to listings that the process holds.
    all: usize,
}

impl Limit {
    /// That of the answers to so many look-ups, and to `listings`, of which one key alone may be as long as all of them.
    /// SCAN with `COUNT 1` cannot be asked for less, and lists all keys of a bucket.
    pub(super) fn of(looks: usize, listings: &[Listing]) -> Self {
        let looked_up = looks.saturating_mul(LOOK_ANSWER_BYTES_MAX).saturating_add(READ_BYTES);
        let (bytes, all) = match listings {
            [] => (looked_up.min(REPLY_BYTES_MAX), REPLIES_BYTES_MAX),
            [Listing::Scan { count: ..=1, .. }] => (SMALLEST_PAGE_BYTES_MAX, SMALLEST_PAGE_BYTES_MAX),
            _ => (REPLY_BYTES_MAX, REPLIES_BYTES_MAX),
        };
        Self { bytes, all }
    }

    /// What an answer of so many bytes and keys exceeds, while this process holds `all` bytes of answers.
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
    fn a_limit_fits_what_is_asked() {
        let scan = [Listing::Scan { cursor: 0, count: 2 }];
        let smallest = [Listing::Scan { cursor: 0, count: 1 }];
        let check = |limit: Limit, (bytes, keys, all): (usize, usize, usize), expected| {
            assert_eq!(limit.exceeded(bytes, keys, all), expected, "{limit:?}: {bytes} {keys} {all}");
        };
        check(Limit::of(0, &scan), (REPLY_BYTES_MAX, 1, REPLY_BYTES_MAX), None);
        check(Limit::of(0, &scan), (REPLY_BYTES_MAX + 1, 1, REPLY_BYTES_MAX + 1), Some(CloseCause::TooLong));
        check(Limit::of(0, &scan), (1_000, REPLY_KEYS_MAX + 1, 1_000), Some(CloseCause::TooLong));
        // The longest key that is deleted is listed whatever others hold.
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
        check(Limit::of(10, &[]), (10 * LOOK_ANSWER_BYTES_MAX, 0, 0), None);
        check(Limit::of(usize::MAX, &[]), (REPLY_BYTES_MAX, 0, REPLY_BYTES_MAX), None);
    }
}
