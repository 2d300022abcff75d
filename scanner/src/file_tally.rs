//! Counts the keys of a database of RDB files by namespace and by rule, as those of servers are counted. Pure: files are
//! read elsewhere.

use keysweep_inspect::{KeyDetails, Miner};
use keysweep_model::messages::{ExamplesByRule, RuleCounts, RuleExamples};
use keysweep_rdb::Entry;
use keysweep_redis::key_facts::KeyFacts;
use keysweep_redis::{KeyState, Ttl};

use crate::by_rule::RuleVerdict;
use crate::classify::{Classification, Classifier, KeepReason};
use crate::namespaces::lifetime;
use crate::slot_tally::SlotTally;

/// Counts the keys of one database.
pub struct FileTally<'a> {
    selector: &'a Classifier<'a>,
    tally: SlotTally,
    miner: Miner,
    examples: ExamplesByRule,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct FileCounts {
    /// The keys by namespace; if there are rules, those that belong to the one that was added for the keys of no other.
    pub namespaces: Miner,
    /// What was found of each rule that has keys.
    pub rules: Vec<RuleCounts>,
    /// Some keys that break rules, as many of each rule and reason as the policy wants.
    pub examples: Vec<RuleExamples>,
}

impl<'a> FileTally<'a> {
    /// Counts the keys that `selector` wants; by namespace, or by its rules if it has some.
    #[must_use]
    pub fn new(selector: &'a Classifier<'a>) -> Self {
        let wanted = selector.rules.policy.as_ref().map_or(0, |policy| policy.examples);
        Self {
            selector,
            tally: SlotTally::default(),
            miner: Miner::default(),
            examples: ExamplesByRule::wanting(wanted),
        }
    }

    /// Counts a key, unless it had expired at `at_ms`, in milliseconds since 1970: a server would not have had it then.
    pub fn add(&mut self, entry: &Entry<'_>, at_ms: u64) {
        let seen = state(entry, at_ms);
        if self.selector.rule_set().is_some() {
            self.count_by_rule(entry, &seen);
        } else if self.selector.wants(entry.key) {
            self.count_by_namespace(entry, seen.ttl);
        }
    }

    fn count_by_rule(&mut self, entry: &Entry<'_>, seen: &KeyState) {
        let Some(rule) = self.selector.rule_of(entry.key) else { return };
        let verdict = match self.selector.classify_by_rule(rule, entry.key, seen, &facts(entry)) {
            RuleVerdict::Known(verdict) => verdict,
            // A file cannot be asked for more.
            RuleVerdict::Needs(_) => Classification::Keep(KeepReason::Undecided),
        };
        self.tally.count_by_rule(rule, verdict, seen.ttl);
        if let Classification::Candidate(reason, _) = verdict {
            self.examples.add(rule, reason, entry.key);
        }
        if self.selector.rest() == Some(rule) {
            self.count_by_namespace(entry, seen.ttl);
        }
    }

    fn count_by_namespace(&mut self, entry: &Entry<'_>, ttl: Ttl) {
        let Some(lifetime) = lifetime(ttl) else { return };
        let of_module = entry.kind.name().is_none().then(|| entry.kind.to_string());
        let kind = entry.kind.name().or(of_module.as_deref());
        self.miner.add_known(entry.key, lifetime, KeyDetails { bytes: None, kind, idle_s: entry.idle_s });
    }

    /// What was counted.
    #[must_use]
    pub fn finish(self) -> FileCounts {
        FileCounts { namespaces: self.miner, rules: self.tally.rules, examples: self.examples.finish() }
    }
}

/// The state in which a server would have shown the key.
fn state(entry: &Entry<'_>, at_ms: u64) -> KeyState {
    let ttl = match entry.expires_ms {
        Some(expires_ms) => match expires_ms.checked_sub(at_ms) {
            None | Some(0) => Ttl::Gone,
            Some(left_ms) => Ttl::Remaining(left_ms),
        },
        None if entry.fields_expire => Ttl::FieldTtls,
        None => Ttl::Persistent,
    };
    KeyState { ttl, expires_at_ms: entry.expires_ms, idle_ms: idle_ms(entry) }
}

/// What rules may be about. How much memory a key takes is not in a file.
fn facts(entry: &Entry<'_>) -> KeyFacts {
    KeyFacts {
        type_name: Some(entry.kind.to_string()),
        idle_ms: idle_ms(entry),
        freq: entry.freq.map(u64::from),
        bytes: None,
        length: entry.elements,
    }
}

fn idle_ms(entry: &Entry<'_>) -> Option<u64> {
    entry.idle_s.map(|seconds| seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use keysweep_model::excerpt::Excerpt;
    use keysweep_model::glob::Pattern;
    use keysweep_model::messages::{Policy, RuleAction, Rules, StatedRule};
    use keysweep_policy::RuleSet;
    use keysweep_rdb::Kind;

    use super::*;

    const NOW_MS: u64 = 1_790_000_000_000;

    fn entry(key: &str) -> Entry<'_> {
        Entry {
            database: 0,
            key: key.as_bytes(),
            expires_ms: None,
            idle_s: None,
            freq: None,
            kind: Kind::String,
            elements: None,
            fields_expire: false,
            saved_s: None,
        }
    }

    #[test]
    fn keys_are_counted_by_namespace_unless_they_had_expired() {
        let rules = Rules::deleting(&["*"], &[]).unwrap();
        let selector = Classifier::new(&rules, None);
        let mut tally = FileTally::new(&selector);
        let in_ms = |key, ms: u64| Entry { expires_ms: Some(NOW_MS + ms), ..entry(key) };
        let hash = Entry { kind: Kind::Hash, fields_expire: true, idle_s: Some(7), ..entry("user:4") };
        for key in
            [entry("user:1"), in_ms("user:2", 0), in_ms("user:3", 1), hash, entry("keysweep:ledger:{x}:1")]
        {
            tally.add(&key, NOW_MS);
        }
        let found = tally.finish().namespaces.namespaces(None);
        let [row] = found.rows.as_slice() else { panic!("{found:?}") };
        assert_eq!((row.keys, row.no_ttl, row.field_ttls, row.ttl_max_ms), (3, 1, 1, Some(1)));
        assert_eq!((row.memory, row.idle_median_s), (None, Some(7)));
        assert_eq!(
            row.types.iter().map(|(kind, keys)| (kind.as_str(), *keys)).collect::<Vec<_>>(),
            [("hash", 1), ("string", 2)]
        );
    }

    /// Counts a key by one rule with this condition, and all others by the one that is added: how many were scanned,
    /// reported, undecided.
    #[track_caller]
    fn check(condition: &str, key: Entry<'_>, expected: (u64, u64, u64)) {
        let pattern = |text: &str| vec![Pattern::new(text).unwrap()];
        let rule = StatedRule {
            matching: pattern("tmp:*"),
            condition: Some(condition.to_owned()),
            action: Some(RuleAction::Report),
            ..StatedRule::default()
        };
        let rest = StatedRule { matching: pattern("*"), durable: true, ..StatedRule::default() };
        let policy =
            Policy { rules: vec![rule, rest], dry_run: true, has_rest: true, activity: None, examples: 1 };
        let rule_set = RuleSet::new(&policy.rules).unwrap();
        let rules = Rules { policy: Some(policy), ..Rules::deleting(&["*"], &[]).unwrap() };
        let selector = Classifier::new(&rules, None).with_rules(Some(&rule_set));
        let mut tally = FileTally::new(&selector);
        tally.add(&key, NOW_MS);
        tally.add(&entry("other:1"), NOW_MS);
        let FileCounts { namespaces, rules, examples } = tally.finish();
        let first = rules.iter().find(|counts| counts.rule == 0).copied().unwrap_or_default();
        assert_eq!((first.scanned, first.reported, first.undecided), expected, "{condition}");
        assert_eq!(namespaces.keys(), 1, "only keys of no rule");
        let named: Vec<String> =
            examples.iter().flat_map(|of_rule| of_rule.names.iter().map(Excerpt::text)).collect();
        let broken = String::from_utf8_lossy(key.key).into_owned();
        assert_eq!(named, (expected.1 > 0).then_some(broken).into_iter().collect::<Vec<_>>(), "{condition}");
    }

    #[test]
    fn rules_are_decided_by_what_a_file_says() {
        let list = Entry { kind: Kind::List, elements: Some(5), ..entry("tmp:1") };
        check("type = list and length > 4", list, (1, 1, 0));
        check("type = list and length > 5", list, (1, 0, 0));
        check("idle > 1s", Entry { idle_s: Some(2), ..list }, (1, 1, 0));
        check("freq < 9", Entry { freq: Some(3), ..list }, (1, 1, 0));
        check("ttl < 2s", Entry { expires_ms: Some(NOW_MS + 1_000), ..list }, (1, 1, 0));
        check("ttl < 2s", Entry { expires_ms: Some(NOW_MS), ..list }, (0, 0, 0));
        // What it does not say stays unknown.
        check("bytes > 1", list, (1, 0, 1));
        check("bytes > 1 and type = hash", list, (1, 0, 0));
        check("idle > 1s", list, (1, 0, 1));
        check("freq < 9", list, (1, 0, 1));
        check("length > 1", Entry { elements: None, ..list }, (1, 0, 1));
    }
}
