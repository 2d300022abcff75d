//! Keys of rules that are being classified: those which their TTLs leave undecided are queried further, the cheap facts
//! first. A fact that stays unknown leaves its key undecided, and nothing is done with it.

use keysweep_model::messages::Lookups;
use keysweep_policy::{Fact, FactSet};
use keysweep_redis::key_facts::{self, FactQuery, KeyFacts, Presence};
use keysweep_redis::{Conn, KeyState, RedisError, Ttl};

use crate::by_rule::RuleVerdict;
use crate::classify::{Classification, Classifier, KeepReason};

/// The classification of a key, and the number of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuledKey {
    /// The rule.
    pub rule: u16,
    /// What is done with the key.
    pub verdict: Classification,
}

/// Keys of rules, in the order in which they were looked up.
pub struct RuledKeys<'k> {
    selector: &'k Classifier<'k>,
    /// The keys; those that are not decided yet as undecided.
    keys: Vec<RuledKey>,
    open: Vec<OpenKey<'k>>,
    /// Keys that are gone or have moved since they were looked up, with their index.
    lost: Vec<(usize, Ttl)>,
}

/// A key that is not decided yet.
struct OpenKey<'k> {
    index: usize,
    rule: u16,
    key: &'k [u8],
    seen: KeyState,
    /// The facts to read next, none of which was read before.
    wanted: FactSet,
    asked: FactSet,
    known: KeyFacts,
}

impl<'k> RuledKeys<'k> {
    /// Classifies `keys` by the lookups of their TTLs. Each has the number of its rule.
    pub fn new(selector: &'k Classifier<'k>, keys: impl Iterator<Item = (u16, &'k [u8], KeyState)>) -> Self {
        let mut ruled = Self { selector, keys: Vec::new(), open: Vec::new(), lost: Vec::new() };
        for (index, (rule, key, seen)) in keys.enumerate() {
            ruled.keys.push(RuledKey { rule, verdict: Classification::Keep(KeepReason::Undecided) });
            let (wanted, asked) = (FactSet::EMPTY, FactSet::EMPTY);
            ruled.decide(OpenKey { index, rule, key, seen, wanted, asked, known: KeyFacts::default() });
        }
        ruled
    }

    /// Whether facts of some keys must be read.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Reads facts of at most `count` keys. Returns the lookups made.
    ///
    /// # Errors
    /// When the server fails, or does not allow it.
    pub async fn ask(&mut self, conn: &Conn, count: usize) -> Result<Lookups, RedisError> {
        let some: Vec<OpenKey<'k>> = self.open.drain(..count.min(self.open.len())).collect();
        let query = |open: &OpenKey<'k>| FactQuery {
            key: open.key,
            wanted: open.wanted,
            known: open.known.clone(),
            presence: Presence::There,
        };
        let mut queries: Vec<FactQuery<'k>> = some.iter().map(query).collect();
        let lookups = key_facts::ask(conn, &mut queries).await?;
        for (mut open, FactQuery { known, presence, .. }) in some.into_iter().zip(queries) {
            match presence {
                Presence::There => {}
                Presence::Gone => open.seen.ttl = Ttl::Gone,
                Presence::Moved => open.seen.ttl = Ttl::Moved,
            }
            if presence != Presence::There {
                self.lost.push((open.index, open.seen.ttl));
            }
            self.decide(OpenKey { known, asked: open.asked.and(open.wanted), ..open });
        }
        Ok(lookups)
    }

    /// Classifies a key by what is known of it, and finds what to read of it next.
    fn decide(&mut self, open: OpenKey<'k>) {
        match self.selector.classify_by_rule(open.rule, open.key, &open.seen, &open.known) {
            RuleVerdict::Known(verdict) => self.keys[open.index].verdict = verdict,
            RuleVerdict::Needs(facts) => {
                let wanted = cheapest(facts.without(open.asked));
                if !wanted.is_empty() {
                    self.open.push(OpenKey { wanted, ..open });
                }
            }
        }
    }

    /// The classification of each key, and the keys that were lost since they were looked up, with their index.
    #[must_use]
    pub fn finish(self) -> (Vec<RuledKey>, Vec<(usize, Ttl)>) {
        (self.keys, self.lost)
    }
}

/// The facts to read first: those that cost one plain command each; then the memory; then the number of elements.
fn cheapest(facts: FactSet) -> FactSet {
    let plain = facts.without(FactSet::from_iter([Fact::Bytes, Fact::Length]));
    match plain.is_empty() {
        false => plain,
        true => facts.iter().next().map_or(FactSet::EMPTY, FactSet::only),
    }
}
