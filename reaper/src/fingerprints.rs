//! The expected contents of a batch's candidates, for the guard: what was saved, or what the scanner saw. Pure.

use std::collections::BTreeMap;

use keysweep_model::messages::{Fingerprint, Lookups};
use keysweep_redis::guard::ExpectedContent;

use crate::work::{Place, PlaceId};

/// The expected contents of the candidates at one node.
#[derive(Debug)]
pub(crate) struct Fingerprints {
    /// With the bytes of the value to compare.
    contents: BTreeMap<PlaceId, (ExpectedContent, u64)>,
    call_bytes: u64,
    /// Statistics for the receipt.
    pub(crate) stats: BackupStats,
}

/// Statistics for the receipt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BackupStats {
    /// Lookups made to read the values.
    pub(crate) lookups: Lookups,
    /// Keys that were saved.
    pub(crate) keys: u64,
    /// Keys that were not saved because they are too large.
    pub(crate) too_large: u64,
    /// Keys without a fingerprint from the scanner because they are too large.
    pub(crate) unverified: u64,
}

impl BackupStats {
    /// Adds the statistics of another node.
    pub(crate) fn add(&mut self, other: Self) {
        self.lookups += other.lookups;
        self.keys += other.keys;
        self.too_large += other.too_large;
        self.unverified += other.unverified;
    }
}

impl Fingerprints {
    /// Creates an empty set; one call compares at most `bytes` of values.
    pub(crate) fn with_call_bytes(bytes: u64) -> Self {
        Self { contents: BTreeMap::new(), call_bytes: bytes, stats: BackupStats::default() }
    }

    /// The scanner's fingerprints of candidates to be deleted; one call compares at most `bytes`.
    pub(crate) fn of_scan<'p, 'a: 'p>(places: impl Iterator<Item = &'p Place<'a>>, bytes: u64) -> Self {
        let mut expected = Self::with_call_bytes(bytes);
        for place in places {
            match place.of.fingerprints.get(place.index) {
                None => {}
                Some(Fingerprint::TooLarge) => expected.add_unverified(place.id()),
                Some(print) => expected.add(place.id(), ExpectedContent::of_scan(print), print.bytes()),
            }
        }
        expected
    }

    /// The most bytes of values that one call compares.
    pub(crate) fn call_bytes(&self) -> u64 {
        self.call_bytes
    }

    /// Adds a candidate whose value at the scan is unknown.
    pub(crate) fn add_unverified(&mut self, place: PlaceId) {
        self.stats.unverified += 1;
        self.contents.insert(place, (ExpectedContent::Unsaved, 0));
    }

    /// Adds a candidate whose value takes about `bytes`.
    pub(crate) fn add(&mut self, place: PlaceId, content: ExpectedContent, bytes: u64) {
        let bytes = match content {
            ExpectedContent::Text(_) | ExpectedContent::Value { .. } => {
                self.stats.keys += 1;
                bytes
            }
            ExpectedContent::Unsaved => {
                self.stats.too_large += 1;
                0
            }
            ExpectedContent::Absent => 0,
        };
        self.contents.insert(place, (content, bytes));
    }

    /// What a candidate must contain, if that is compared.
    pub(crate) fn expected(&self, place: PlaceId) -> Option<&ExpectedContent> {
        self.contents.get(&place).map(|(content, _)| content)
    }

    /// The bytes of its value to compare.
    pub(crate) fn value_bytes(&self, place: PlaceId) -> u64 {
        self.contents.get(&place).map_or(0, |(_, bytes)| *bytes)
    }
}
