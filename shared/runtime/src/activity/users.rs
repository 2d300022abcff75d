//! The active users of a run, and their builder. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use keysweep_model::key_template::{behind, common_prefixes, normal};
use keysweep_model::messages::{ActivityRule, UserMatching};
use serde_bytes::ByteBuf;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits::{MEMBER_BYTES_MAX, SAMPLED_IDS};

/// Users in one record: 480,000 bytes.
pub(super) const PART_USERS: usize = 60_000;

/// The active users of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveUsers {
    pub(super) seed: u64,
    /// Sorted, without duplicates.
    pub(super) hashes: Arc<Vec<u64>>,
    pub(super) matching: UserMatching,
}

impl ActiveUsers {
    /// Collects users; [`ActiveUsersBuilder::finish`] ends it.
    #[must_use]
    pub fn gather() -> ActiveUsersBuilder {
        ActiveUsersBuilder {
            seed: fastrand::u64(..),
            hashes: Vec::new(),
            sorted: 0,
            first: Vec::new(),
            prefix: None,
        }
    }

    /// Whether `id`, in any spelling, is one of the active ids.
    #[must_use]
    pub fn has(&self, id: &[u8]) -> bool {
        let form = normal(id);
        let has = |form: &[u8]| self.hashes.binary_search(&self.hash(form)).is_ok();
        let prefixes = self.matching.key_prefixes.iter();
        has(&form) || prefixes.filter_map(|prefix| behind(&form, prefix)).any(has)
    }

    /// The hash of the user with this id, in any spelling.
    #[must_use]
    pub fn number(&self, id: &[u8]) -> u64 {
        self.hash(&normal(id))
    }

    fn hash(&self, form: &[u8]) -> u64 {
        let prefix = &self.matching.source_prefix;
        xxh3_64_with_seed(behind(form, prefix).unwrap_or(form), self.seed)
    }

    /// The same users, where most ids in keys have these prefixes, in normal form.
    #[must_use]
    pub fn in_keys_with(&self, key_prefixes: Vec<Vec<u8>>) -> Self {
        let key_prefixes = key_prefixes.into_iter().map(ByteBuf::from).collect();
        Self { matching: UserMatching { key_prefixes, ..self.matching.clone() }, ..self.clone() }
    }

    /// How ids are compared, with the observed prefixes.
    #[must_use]
    pub fn matching(&self) -> &UserMatching {
        &self.matching
    }

    /// The number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The rule that names them.
    #[must_use]
    pub fn rule(&self) -> ActivityRule {
        let parts = self.hashes.len().div_ceil(PART_USERS);
        ActivityRule::Users {
            parts: u32::try_from(parts).unwrap_or(u32::MAX),
            users: self.hashes.len() as u64,
            seed: self.seed,
            matching: Some(Box::new(self.matching.clone())),
        }
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = Vec<u8>> {
        self.hashes.chunks(PART_USERS).map(|part| part.iter().flat_map(|hash| hash.to_le_bytes()).collect())
    }
}

/// Collects users in any order; duplicates are allowed.
#[derive(Debug)]
pub struct ActiveUsersBuilder {
    seed: u64,
    hashes: Vec<u64>,
    /// The number of users when they were last sorted.
    sorted: usize,
    /// The normal forms of the first users, until their common prefix is known. Sets are listed by the hashes of their
    /// members, so these are a fair sample.
    first: Vec<Vec<u8>>,
    /// That prefix.
    prefix: Option<Vec<u8>>,
}

impl ActiveUsersBuilder {
    /// Adds a user.
    pub fn add(&mut self, id: &[u8]) {
        let form = if id.len() > MEMBER_BYTES_MAX { Cow::Borrowed(id) } else { normal(id) };
        if self.prefix.is_none() {
            // A form that is too long is not worth its memory.
            self.first.push(form[..form.len().min(MEMBER_BYTES_MAX)].to_vec());
            if self.first.len() >= SAMPLED_IDS {
                self.learn_prefix();
            }
            return;
        }
        self.add_form(&form);
        // Duplicates from a set that changes while it is listed must not accumulate.
        if self.hashes.len() >= 2 * self.sorted.max(PART_USERS) {
            self.tidy();
        }
    }

    fn learn_prefix(&mut self) {
        let first = std::mem::take(&mut self.first);
        let common = common_prefixes(first.iter().map(std::slice::from_ref));
        self.prefix = Some(common.into_iter().next_back().unwrap_or_default());
        first.iter().for_each(|form| self.add_form(form));
    }

    fn add_form(&mut self, form: &[u8]) {
        let form = behind(form, self.prefix.as_deref().unwrap_or_default()).unwrap_or(form);
        self.hashes.push(xxh3_64_with_seed(form, self.seed));
    }

    /// The number of users so far, including duplicates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len() + self.first.len()
    }

    /// Whether there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn tidy(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.sorted = self.hashes.len();
    }

    /// The collected users.
    #[must_use]
    pub fn finish(mut self) -> ActiveUsers {
        if self.prefix.is_none() {
            self.learn_prefix();
        }
        self.tidy();
        self.hashes.shrink_to_fit();
        let source_prefix = ByteBuf::from(self.prefix.unwrap_or_default());
        let matching = UserMatching { source_prefix, ..UserMatching::default() };
        ActiveUsers { seed: self.seed, hashes: Arc::new(self.hashes), matching }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(count: usize) -> ActiveUsers {
        let mut gathering = ActiveUsers::gather();
        for n in (0..count).chain(0..count / 2) {
            gathering.add(n.to_string().as_bytes());
        }
        gathering.finish()
    }

    #[test]
    fn added_users_are_kept_once() {
        let users = users(100_000);
        assert_eq!((users.len(), users.is_empty()), (100_000, false));
        assert!((0..100_000).all(|n| users.has(n.to_string().as_bytes())));
        assert!(!(100_000..200_000).any(|n| users.has(n.to_string().as_bytes())));
        assert!(!users.has(b""));
    }

    fn of(ids: &[&str]) -> ActiveUsers {
        let mut gathering = ActiveUsers::gather();
        ids.iter().for_each(|id| gathering.add(id.as_bytes()));
        gathering.finish()
    }

    #[test]
    fn a_user_is_known_however_the_id_is_written() {
        let check = |members: &[&str], id: &str, expected: bool| {
            let users = of(members);
            assert_eq!(users.has(id.as_bytes()), expected, "{id} among {members:?}");
        };
        for id in ["7", "0007", "{7}", "user:7", "USER:7", "user:{07}", "%37"] {
            check(&["user:7", "user:8"], id, true);
            check(&["user:0007", "user:8", "9"], id, true);
            check(&["{user:7}"], id, true);
        }
        check(&["user:7", "user:8"], "9", false);
        check(&["7", "8"], "user:7", false);
        check(&["bob@example.com"], "Bob%40Example.com", true);
        // Users of two tenants are two.
        check(&["t1:7", "t2:8"], "t2:7", false);
        check(&["t1:7", "t2:8"], "t2:8", true);
        check(&["user:", "user:7"], "user:", true);
    }

    #[test]
    fn a_user_is_known_where_ids_in_keys_have_a_prefix_of_their_own() {
        let check = |members: &[&str], prefixes: &[&str], id: &str, expected: bool| {
            let users = of(members).in_keys_with(prefixes.iter().map(|it| it.as_bytes().to_vec()).collect());
            assert_eq!(users.has(id.as_bytes()), expected, "{id} among {members:?}, without {prefixes:?}");
        };
        for (id, expected) in
            [("user:7", true), ("User:{007}", true), ("7", true), ("user:9", false), ("user:", false)]
        {
            check(&["7", "8"], &["user:"], id, expected);
            check(&["account:7", "account:8"], &["user:"], id, expected);
        }
        check(&["user:7", "9"], &["app:", "app:user:"], "app:user:7", true);
        check(&["7", "8"], &[], "user:7", false);
    }

    #[test]
    fn the_prefix_is_that_of_the_first_ids_and_holds_for_all() {
        let mut gathering = ActiveUsers::gather();
        (0..10_000).for_each(|n| gathering.add(format!("user:{n:06}").as_bytes()));
        gathering.add(&vec![b'x'; 2 * MEMBER_BYTES_MAX]);
        let users = gathering.finish();
        assert_eq!((users.len(), users.matching().source_prefix.as_slice()), (10_001, b"user:".as_slice()));
        assert!((0..10_000).all(|n| users.has(n.to_string().as_bytes())));
        assert!(!(10_000..20_000).any(|n| users.has(n.to_string().as_bytes())));
    }

    #[test]
    fn duplicates_do_not_accumulate() {
        let mut gathering = ActiveUsers::gather();
        (0..1_000_000).for_each(|n| gathering.add((n % 10).to_string().as_bytes()));
        assert!(gathering.len() <= 2 * PART_USERS);
        assert_eq!(gathering.finish().len(), 10);
    }
}
