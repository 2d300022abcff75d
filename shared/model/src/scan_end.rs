//! Detects scans that never end. A server may never return the cursor 0: its cursors may form a cycle, or continue
//! forever. Such a scan is abandoned. Pure.

use crate::limits::{EMPTY_PAGE_FACTOR, SCAN_SPARE_POSITIONS, TABLE_SPARE_BITS};

/// The error of a scan that is too long.
const TOO_FAR: &str = "SCAN did not end after more pages than a table with as many keys has";

/// The progress of a scan in relation to the keys that it listed. A server may claim any number of keys, so the claim
/// alone does not show whether a scan ends; but a table of that size is full of keys.
#[derive(Clone, Debug, Default)]
pub struct ScanProgress {
    positions: u64,
    listed: u64,
}

impl ScanProgress {
    /// Records a page of `keys` keys that was requested with `count` as `COUNT`.
    ///
    /// # Errors
    /// Why the scan does not end.
    pub fn page(&mut self, count: u64, keys: u64) -> Result<(), &'static str> {
        let passed = if keys < count { count.saturating_mul(EMPTY_PAGE_FACTOR) } else { count };
        self.positions = self.positions.saturating_add(passed);
        self.listed = self.listed.saturating_add(keys);
        if self.positions > positions_max(self.listed) { Err(TOO_FAR) } else { Ok(()) }
    }
}

/// The maximum number of positions of a sparse table with this many keys.
fn positions_max(keys: u64) -> u64 {
    SCAN_SPARE_POSITIONS.saturating_add(keys.saturating_mul(1 << TABLE_SPARE_BITS))
}

/// The progress of a scan, cursor by cursor.
#[derive(Clone, Debug)]
pub struct ScanEnd<C> {
    /// A remembered cursor, for how many pages it has been remembered, and for how many it will be (Brent's
    /// algorithm): twice as many each time, so that a cycle of any length is detected after one pass.
    mark: C,
    pages: u64,
    pages_max: u64,
    /// The number of requested positions, and its maximum.
    asked: u64,
    asked_max: u64,
    passed: ScanProgress,
}

impl<C: Clone + PartialEq> ScanEnd<C> {
    /// A scan that starts at the cursor `at`, after `asked` positions, of a table with `counted` keys by its server's
    /// count.
    pub fn new(at: C, asked: u64, counted: u64) -> Self {
        let (asked_max, passed) = (positions_max(counted), ScanProgress::default());
        Self { mark: at, pages: 0, pages_max: 1, asked, asked_max, passed }
    }

    /// Records the cursor that a page returned, with `keys` keys and `count` as `COUNT`, unless it was the last one.
    ///
    /// # Errors
    /// Why the scan does not end.
    pub fn check_progress(&mut self, next: &C, count: u64, keys: u64) -> Result<(), &'static str> {
        if *next == self.mark {
            return Err("SCAN returned to an earlier cursor");
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

    /// The number of requested positions.
    pub fn asked(&self) -> u64 {
        self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of pages of this size after which a scan is abandoned, and the error.
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
    fn cycles_are_detected_soon_after_they_close() {
        for (before, length) in [(0, 1), (0, 2), (5, 1), (100, 7), (1_000, 1_000), (3, 10_000)] {
            let circle =
                |page: u64| if page < before { page + 1 } else { before + 1 + (page - before) % length };
            let (pages, why) = ends(40_000, 1_000, 0, circle);
            assert!(why.contains("returned to an earlier"), "{why}");
            assert!(pages <= 3 * (before + length) + 1, "{before} {length}: {pages}");
        }
    }

    #[test]
    fn endless_cursors_are_abandoned_beyond_a_sparse_table() {
        let (pages, why) = ends(0, 1_000, 1_000, |page| page);
        assert!(why.contains("did not end"), "{why}");
        assert_eq!(pages, SCAN_SPARE_POSITIONS / 1_000 + 1);
        let (pages, _) = ends(1_000_000, 1_000, 1_000, |page| page);
        assert_eq!(pages, (SCAN_SPARE_POSITIONS + (1_000_000 << TABLE_SPARE_BITS)) / 1_000 + 1);
    }

    #[test]
    fn endless_empty_pages_are_abandoned_for_any_claimed_count() {
        for claimed in [0, 1_000_000, u64::MAX] {
            let (pages, why) = ends(claimed, 1_000, 0, |page| page);
            assert!(why.contains("did not end"), "{why}");
            assert_eq!(pages, SCAN_SPARE_POSITIONS / 10_000 + 1, "{claimed}");
        }
        // A table with one key per hundred positions is scanned to its end.
        let mut passed = ScanProgress::default();
        assert!((0..10_000_000).all(|_| passed.page(100, 10).is_ok()));
    }

    #[test]
    fn resumed_scan_continues_its_count() {
        let mut end = ScanEnd::new(7, SCAN_SPARE_POSITIONS - 10, 0);
        assert!(end.check_progress(&8, 10, 0).is_ok());
        assert_eq!(end.asked(), SCAN_SPARE_POSITIONS);
        assert!(end.check_progress(&9, 1, 0).is_err());
    }
}
