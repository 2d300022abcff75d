//! Whether a scan comes to an end. Nothing makes a server answer the cursor 0 at last: its cursors may lead in a circle, or
//! always on. A scan that does is given up. Pure.

use crate::limits::{EMPTY_PAGE_FACTOR, SCAN_SPARE_POSITIONS, TABLE_SPARE_BITS};

/// Why a scan leads nowhere that goes on and on.
const TOO_FAR: &str = "SCAN did not come to an end after more pages than a table of so many keys has";

/// How far a scan has come for the keys that it listed. A server may claim any number of keys, so that it is not to be seen
/// by its claim whether a scan comes to an end; a table so large is full of keys.
#[derive(Clone, Debug, Default)]
pub struct ScanProgress {
    positions: u64,
    listed: u64,
}

impl ScanProgress {
    /// Takes in a page of `keys` keys that was asked for with `count` as `COUNT`.
    ///
    /// # Errors
    /// Why the scan leads nowhere.
    pub fn page(&mut self, count: u64, keys: u64) -> Result<(), &'static str> {
        let passed = if keys < count { count.saturating_mul(EMPTY_PAGE_FACTOR) } else { count };
        self.positions = self.positions.saturating_add(passed);
        self.listed = self.listed.saturating_add(keys);
        if self.positions > positions_max(self.listed) { Err(TOO_FAR) } else { Ok(()) }
    }
}

/// Positions of a sparse table of so many keys.
fn positions_max(keys: u64) -> u64 {
    SCAN_SPARE_POSITIONS.saturating_add(keys.saturating_mul(1 << TABLE_SPARE_BITS))
}

/// A scan on its way, from one cursor to the next.
#[derive(Clone, Debug)]
pub struct ScanEnd<C> {
    /// A cursor that was met, and for how many pages it has been and is to be remembered (Brent's algorithm): after twice
    /// as many each time, so that a circle of any length is noticed once it was gone through.
    mark: C,
    pages: u64,
    pages_max: u64,
    /// Positions of the table that were asked for, and how many may be.
    asked: u64,
    asked_max: u64,
    passed: ScanProgress,
}

impl<C: Clone + PartialEq> ScanEnd<C> {
    /// A scan that starts at the cursor `at`, after `asked` positions, of a table with `counted` keys, as its server says.
    pub fn new(at: C, asked: u64, counted: u64) -> Self {
        let (asked_max, passed) = (positions_max(counted), ScanProgress::default());
        Self { mark: at, pages: 0, pages_max: 1, asked, asked_max, passed }
    }

    /// Takes in the cursor that a page of `keys` keys, asked for with `count` as `COUNT`, led to, unless it was the last one.
    ///
    /// # Errors
    /// Why the scan leads nowhere.
    pub fn check_progress(&mut self, next: &C, count: u64, keys: u64) -> Result<(), &'static str> {
        if *next == self.mark {
            return Err("SCAN came back to a cursor that it had answered before");
        }
        self.asked = self.asked.saturating_add(count);
        if self.asked > self.asked_max {
            return Err(TOO_FAR);
        }
        self.passed.page(count, keys)?;
        self.pages += 1;
        if self.pages == self.pages_max {
            (self.mark, self.pages, self.pages_max) = (next.clone(), 0, self.pages_max.saturating_mul(2));
        }
        Ok(())
    }

    /// Positions that were asked for.
    pub fn asked(&self) -> u64 {
        self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pages of so many keys a scan goes on for, and why it ends then.
    fn ends(counted: u64, count: u64, keys: u64, cursor: impl Fn(u64) -> u64) -> (u64, &'static str) {
        let mut end = ScanEnd::new(0, 0, counted);
        let mut pages = 0;
        loop {
            pages += 1;
            if let Err(why) = end.check_progress(&cursor(pages), count, keys) {
                return (pages, why);
            }
        }
    }

    #[test]
    fn circles_are_noticed_soon_after_they_close() {
        for (before, length) in [(0, 1), (0, 2), (5, 1), (100, 7), (1_000, 1_000), (3, 10_000)] {
            let circle =
                |page: u64| if page < before { page + 1 } else { before + 1 + (page - before) % length };
            let (pages, why) = ends(40_000, 1_000, 0, circle);
            assert!(why.contains("came back"), "{why}");
            assert!(pages <= 3 * (before + length) + 1, "{before} {length}: {pages}");
        }
    }

    #[test]
    fn cursors_that_lead_on_for_ever_are_followed_as_far_as_a_sparse_table_goes() {
        let (pages, why) = ends(0, 1_000, 1_000, |page| page);
        assert!(why.contains("did not come to an end"), "{why}");
        assert_eq!(pages, SCAN_SPARE_POSITIONS / 1_000 + 1);
        let (pages, _) = ends(1_000_000, 1_000, 1_000, |page| page);
        assert_eq!(pages, (SCAN_SPARE_POSITIONS + (1_000_000 << TABLE_SPARE_BITS)) / 1_000 + 1);
    }

    #[test]
    fn whatever_a_server_claims_empty_pages_are_not_followed_for_ever() {
        for claimed in [0, 1_000_000, u64::MAX] {
            let (pages, why) = ends(claimed, 1_000, 0, |page| page);
            assert!(why.contains("did not come to an end"), "{why}");
            assert_eq!(pages, SCAN_SPARE_POSITIONS / 10_000 + 1, "{claimed}");
        }
        // A table of one key in a hundred positions is followed to its end.
        let mut passed = ScanProgress::default();
        assert!((0..10_000_000).all(|_| passed.page(100, 10).is_ok()));
    }

    #[test]
    fn a_scan_that_goes_on_elsewhere_counts_on() {
        let mut end = ScanEnd::new(7, SCAN_SPARE_POSITIONS - 10, 0);
        assert!(end.check_progress(&8, 10, 0).is_ok());
        assert_eq!(end.asked(), SCAN_SPARE_POSITIONS);
        assert!(end.check_progress(&9, 1, 0).is_err());
    }
}
