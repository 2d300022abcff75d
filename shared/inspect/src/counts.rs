//! What is counted of the keys of one namespace.

use keysweep_model::excerpt::{Excerpt, Excerpts};
use keysweep_model::memory::GroupSample;
use serde::{Deserialize, Serialize};

use crate::details::Details;
use crate::limits::{SAMPLE_BYTES_MAX, SAMPLES_MAX};
use crate::magnitudes::MagnitudeCounts;

/// How long a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Without TTL.
    Unlimited,
    /// Without a TTL of its own, but its fields have some.
    FieldTtls,
    /// For so many more milliseconds.
    Ms(u64),
}

/// The counts of the keys of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Keys.
    pub(crate) keys: u64,
    /// Keys without TTL.
    pub(crate) no_ttl: u64,
    /// The longest TTL in milliseconds; 0 without any.
    pub(crate) ttl_max_ms: u64,
    /// The TTLs.
    pub(crate) ttls: MagnitudeCounts,
    /// At most so many more keys were counted elsewhere, while the namespace was not in the tree.
    pub(crate) missed_max: u64,
    /// What was measured of some keys.
    pub(crate) memory: GroupSample,
    /// The types and idle times of some keys.
    pub(crate) details: Details,
    /// The keys with the smallest hashes, so that all miners agree on them.
    samples: Excerpts,
}

impl Counts {
    /// Counts without keys, of a namespace that may have lost so many before.
    pub(crate) fn after(missed_max: u64) -> Self {
        Self { missed_max, ..Self::default() }
    }

    /// Counts a key.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], lifetime: Lifetime) {
        self.keys += 1;
        match lifetime {
            Lifetime::Unlimited => self.no_ttl += 1,
            Lifetime::FieldTtls => {}
            Lifetime::Ms(ms) => {
                self.ttl_max_ms = self.ttl_max_ms.max(ms);
                self.ttls.add(ms);
            }
        }
        self.samples.add(key, SAMPLE_BYTES_MAX, SAMPLES_MAX);
    }

    /// Adds other counts.
    pub(crate) fn merge(&mut self, other: Self) {
        self.keys = self.keys.saturating_add(other.keys);
        self.no_ttl = self.no_ttl.saturating_add(other.no_ttl);
        self.ttl_max_ms = self.ttl_max_ms.max(other.ttl_max_ms);
        self.ttls.merge(&other.ttls);
        self.missed_max = self.missed_max.saturating_add(other.missed_max);
        self.memory.merge(&other.memory);
        self.details.merge(&other.details);
        self.samples.merge(other.samples, SAMPLES_MAX);
    }

    /// Keys without a TTL of their own, whose fields have some.
    pub(crate) fn field_ttls(&self) -> u64 {
        self.keys.saturating_sub(self.no_ttl).saturating_sub(self.ttls.total())
    }

    /// The examples.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &Excerpt> {
        self.samples.iter()
    }

    /// Whether the counts can be those of a server.
    pub(crate) fn are_possible(&self, keys_max: u64) -> bool {
        self.keys <= keys_max
            && self.no_ttl <= self.keys
            && self.memory.is_possible()
            && self.details.are_possible(keys_max)
            && self.samples.are_possible(SAMPLE_BYTES_MAX, SAMPLES_MAX)
    }
}
