//! The beginning of a key's name, as it is kept of some keys.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use xxhash_rust::xxh3::xxh3_64;

use crate::printable::{Printable, beginning};

/// The beginning of a name. The order is that of hashes, so that it does not depend on what names have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Excerpt {
    /// Of the whole name.
    pub hash: u64,
    /// The bytes of the whole name.
    length: u64,
    beginning: ByteBuf,
}

impl Excerpt {
    /// The hash of a name.
    #[inline]
    #[must_use]
    pub fn hash(name: &[u8]) -> u64 {
        xxh3_64(name)
    }

    /// The first `bytes_max` bytes of a name.
    #[must_use]
    pub fn of(name: &[u8], bytes_max: usize) -> Self {
        let beginning = ByteBuf::from(&name[..name.len().min(bytes_max)]);
        Self { hash: Self::hash(name), length: name.len() as u64, beginning }
    }

    /// The name, if nothing of it was cut.
    #[must_use]
    pub fn whole(&self) -> Option<&[u8]> {
        (self.beginning.len() as u64 == self.length).then_some(self.beginning.as_slice())
    }

    /// The text to show: unprintable bytes are escaped, and a name that was cut ends with `…`.
    #[must_use]
    pub fn text(&self) -> String {
        match self.whole() {
            Some(name) => Printable(name).to_string(),
            // A character that was cut is left out.
            None => {
                format!("{}…", Printable(beginning(&self.beginning, self.beginning.len().saturating_sub(4))))
            }
        }
    }

    /// Whether it can be that of a name, cut to `bytes_max` bytes.
    #[must_use]
    pub fn is_possible(&self, bytes_max: usize) -> bool {
        self.beginning.len() <= bytes_max
    }
}

/// The excerpts with the smallest hashes, so that all tasks agree on them, in whatever order they read keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Excerpts(Vec<Excerpt>);

impl Excerpts {
    /// Keeps the first `bytes_max` bytes of a name, if it is one of the `count_max` with the smallest hashes.
    #[inline]
    pub fn add(&mut self, name: &[u8], bytes_max: usize, count_max: usize) {
        let hash = Excerpt::hash(name);
        if self.0.len() < count_max || self.0.last().is_some_and(|last| hash < last.hash) {
            self.keep(Excerpt::of(name, bytes_max), count_max);
        }
    }

    /// Adds other excerpts.
    pub fn merge(&mut self, others: Self, count_max: usize) {
        others.0.into_iter().for_each(|other| self.keep(other, count_max));
    }

    fn keep(&mut self, excerpt: Excerpt, count_max: usize) {
        if let Err(place) = self.0.binary_search(&excerpt) {
            self.0.insert(place, excerpt);
            self.0.truncate(count_max);
        }
    }

    /// The excerpts.
    pub fn iter(&self) -> impl Iterator<Item = &Excerpt> {
        self.0.iter()
    }

    /// Whether they can be those of at most `count_max` names, each cut to `bytes_max` bytes.
    #[must_use]
    pub fn are_possible(&self, bytes_max: usize, count_max: usize) -> bool {
        self.0.len() <= count_max && self.0.iter().all(|one| one.is_possible(bytes_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_names_are_kept_whatever_the_order() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut names: Vec<String> = (0..200).map(|n| format!("key:{n}")).collect();
        let of = |names: &[String]| {
            let mut kept = Excerpts::default();
            names.iter().for_each(|name| kept.add(name.as_bytes(), 5, 3));
            kept
        };
        let whole = of(&names);
        assert_eq!(whole.iter().count(), 3);
        for cut in [0, 1, 90, 200] {
            rng.shuffle(&mut names);
            let mut merged = of(&names[cut..]);
            merged.merge(of(&names[..cut]), 3);
            assert_eq!(merged, whole);
        }
        assert!(whole.are_possible(5, 3) && !whole.are_possible(4, 3) && !whole.are_possible(5, 2));
    }

    #[test]
    fn a_name_is_escaped_and_one_that_was_cut_ends_with_dots() {
        let check = |name: &[u8], expected: &str| assert_eq!(Excerpt::of(name, 12).text(), expected);
        check(b"cart:1\n\xff", "cart:1\\n\\xff");
        check(b"user:12345678", "user:123…");
        // The character that was cut is left out.
        check("user:12\u{e9}xxxxx".as_bytes(), "user:12…");
    }
}
