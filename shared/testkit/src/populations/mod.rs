//! Realistic data sets, each with the list of namespaces that a person who knows the application would name. What
//! `keysweep inspect` finds is compared with these lists; they are not adapted to what it finds.

mod ids;
mod permission_cache;
mod saas;
mod web_shop;

use fastrand::Rng;
use keysweep_servers::{DatasetEntry, DatasetValue};

pub use ids::letters;
pub use permission_cache::PERMISSION_CACHE;
pub use saas::SAAS;
pub use web_shop::WEB_SHOP;

/// All data sets.
pub const POPULATIONS: [&KeyPopulation; 3] = [&WEB_SHOP, &PERMISSION_CACHE, &SAAS];

/// The sum of the shares of a data set.
const WHOLE: u64 = 10_000;

/// A data set of any size.
pub struct KeyPopulation {
    /// What it is, in words.
    pub name: &'static str,
    /// Its namespaces. Their shares add up to 10,000.
    pub namespaces: &'static [Namespace],
    /// Keys that exist once whatever the size, all without TTL and all wanted: queue states, settings.
    fixtures: fn() -> Vec<String>,
}

/// Keys with one meaning, as a person would group them.
pub struct Namespace {
    /// With a placeholder for each variable part, for people.
    pub template: &'static str,
    /// The pattern that selects them. It may also match keys of a longer template.
    pub pattern: &'static str,
    /// Of 10,000 keys of the data set, fixtures aside.
    pub share: u64,
    /// How long its keys live.
    pub ttl: TtlShape,
    /// Which of its keys must never be lost.
    pub wanted: Wanted,
    /// What each key holds.
    value: ValueShape,
    /// The name of its `n`-th key, different for each `n`.
    key: fn(&mut Rng, u64) -> String,
}

/// How long keys live. Remaining TTLs are uniform, and at least two minutes, so that none expires in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlShape {
    /// None has a TTL.
    Never,
    /// Up to so many milliseconds.
    UpTo(u64),
    /// The same, but so many percent were written without TTL by mistake.
    Forgotten(u64, u64),
}

/// Which keys of a namespace the application needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    All,
    /// Those with a TTL; the others are left over.
    WithTtl,
}

/// The type and size of a value.
#[derive(Clone, Copy)]
enum ValueShape {
    /// A string of so many bytes.
    Text(usize),
    /// A hash of so many fields.
    Hash(usize),
    /// A set of so many members.
    Set(usize),
}

/// A key of a data set.
pub struct PopulationKey {
    /// What is written.
    pub entry: DatasetEntry,
    /// The index of its namespace; `None` for a fixture.
    pub namespace: Option<usize>,
    /// Whether the application needs it.
    pub wanted: bool,
}

/// The keys of a data set, mixed evenly after the fixtures.
pub struct PopulationKeys {
    population: &'static KeyPopulation,
    rng: Rng,
    fixtures: std::vec::IntoIter<String>,
    /// The number of keys of each namespace, and how many of them exist already.
    counts: Vec<(u64, u64)>,
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The shortest TTL.
const TTL_MIN_MS: u64 = 2 * MINUTE_MS;

impl KeyPopulation {
    /// About `count` keys; the fixtures are always complete. Deterministic for the same arguments.
    #[must_use]
    pub fn keys(&'static self, count: u64, seed: u64) -> PopulationKeys {
        let fixtures = (self.fixtures)();
        let left = count.saturating_sub(fixtures.len() as u64);
        let counts = self.namespaces.iter().map(|its| (left * its.share / WHOLE, 0)).collect();
        PopulationKeys { population: self, rng: Rng::with_seed(seed), fixtures: fixtures.into_iter(), counts }
    }
}

impl PopulationKeys {
    fn next_namespace(&mut self) -> Option<usize> {
        let left: u64 = self.counts.iter().map(|(all, made)| all - made).sum();
        let mut ticket = (left > 0).then(|| self.rng.u64(..left))?;
        self.counts.iter().position(|(all, made)| {
            let its = all - made;
            let here = ticket < its;
            ticket = ticket.saturating_sub(its);
            here
        })
    }

    fn ttl_ms(&mut self, shape: TtlShape) -> Option<u64> {
        match shape {
            TtlShape::Never => None,
            TtlShape::Forgotten(percent, _) if self.rng.u64(..100) < percent => None,
            TtlShape::UpTo(most) | TtlShape::Forgotten(_, most) => Some(self.rng.u64(TTL_MIN_MS..most)),
        }
    }

    fn value(&mut self, shape: ValueShape) -> DatasetValue {
        let number = self.rng.u32(..);
        match shape {
            ValueShape::Text(bytes) => DatasetValue::Text(vec![b'x'; bytes]),
            ValueShape::Hash(fields) => {
                DatasetValue::Hash((0..fields).map(|n| (format!("field{n}"), number.to_string())).collect())
            }
            ValueShape::Set(members) => {
                DatasetValue::Set((0..members).map(|n| format!("member:{number}:{n}")).collect())
            }
        }
    }
}

impl Iterator for PopulationKeys {
    type Item = PopulationKey;

    fn next(&mut self) -> Option<PopulationKey> {
        if let Some(name) = self.fixtures.next() {
            let value = DatasetValue::Text(b"1".to_vec());
            let entry = DatasetEntry { key: name.into_bytes(), value, ttl_ms: None };
            return Some(PopulationKey { entry, namespace: None, wanted: true });
        }
        let index = self.next_namespace()?;
        let its = &self.population.namespaces[index];
        let key = (its.key)(&mut self.rng, self.counts[index].1).into_bytes();
        self.counts[index].1 += 1;
        let (value, ttl_ms) = (self.value(its.value), self.ttl_ms(its.ttl));
        let wanted = its.wanted == Wanted::All || ttl_ms.is_some();
        let entry = DatasetEntry { key, value, ttl_ms };
        Some(PopulationKey { entry, namespace: Some(index), wanted })
    }
}

#[cfg(test)]
mod tests;
