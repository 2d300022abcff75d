//! What a look at the rules of a job found, and what follows from it.

use keysweep_inspect::Namespace;
use keysweep_model::messages::{Reason, RuleExamples};
use keysweep_model::printable;
use keysweep_model::result::{Coverage, RuleRow};
use reporter::{counted, grouped};

use crate::rdb_page::RdbFile;

/// Namespaces of keys of no rule that a page shows.
pub(super) const NAMESPACES_SHOWN: usize = 10;

/// Characters of the name of a key that a page shows.
const NAME_CHARS_MAX: usize = 60;

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// The name of the job.
    pub job: String,
    /// Its rules, each with what was found of it.
    pub rules: Vec<RuleRow>,
    /// Some keys that break them.
    pub examples: Examples,
    /// The keys that belong to none of them; `None` if they were not counted.
    pub unowned: Option<Unowned>,
    /// How much was read.
    pub coverage: Coverage,
    /// The RDB files that were read; empty if servers were.
    pub files: Vec<RdbFile>,
    /// How many keys may break rules.
    pub allowed: u64,
}

/// Keys that belong to no rule.
#[derive(Debug, Default)]
pub struct Unowned {
    /// All of them.
    pub keys: u64,
    /// Those without TTL.
    pub without_ttl: u64,
    /// The namespaces that they are in, those with the most keys first.
    pub namespaces: Vec<Namespace>,
}

/// Whether no more keys break rules than are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is so, of all keys.
    Passed,
    /// More do.
    Breached,
    /// That is not known: keys were not read, or facts that decide were unknown.
    Unknown,
}

/// Some keys that break rules: at least one for each way in which keys break a rule.
#[derive(Debug, Default)]
pub struct Examples {
    found: Vec<RuleExamples>,
    are_shown: bool,
}

/// The name of a key that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// How it breaks it.
    pub reason: Reason,
    /// The name, escaped and cut.
    pub name: String,
}

impl Example {
    /// The key and how it breaks the rule, on one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}: {}", self.short(), fault(self.reason))
    }

    /// The name, cut to what a person reads.
    #[must_use]
    pub fn short(&self) -> String {
        printable::shortened(&self.name, NAME_CHARS_MAX).into_owned()
    }
}

impl Examples {
    /// Those that were `found`; their names are not shown if none are `wanted`.
    #[must_use]
    pub fn of(found: Vec<RuleExamples>, wanted: u8) -> Self {
        Self { found, are_shown: wanted > 0 }
    }

    fn of_rule(&self, rule: &RuleRow) -> impl Iterator<Item = &RuleExamples> {
        self.found.iter().filter(|one| u32::from(one.rule) + 1 == rule.index)
    }

    /// The names of keys that break `rule`; `None` if they are not to be shown.
    #[must_use]
    pub fn names(&self, rule: &RuleRow) -> Option<Vec<Example>> {
        let named = |one: &RuleExamples| {
            let (reason, names) = (one.reason, one.names.clone());
            names.iter().map(|name| Example { reason, name: name.text() }).collect::<Vec<_>>()
        };
        self.are_shown.then(|| self.of_rule(rule).flat_map(named).collect())
    }
}

impl Checked {
    /// How many keys break rules.
    #[must_use]
    pub fn breaches(&self) -> u64 {
        self.rules.iter().map(RuleRow::breaches).fold(0, u64::saturating_add)
    }

    /// Of how many keys a fact was unknown that decides whether they break a rule.
    #[must_use]
    pub fn undecided(&self) -> u64 {
        self.rules.iter().map(|rule| rule.undecided).fold(0, u64::saturating_add)
    }

    /// Whether no more keys break rules than are allowed.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let breaches = self.breaches();
        let at_most = breaches.saturating_add(self.undecided());
        match self.coverage.complete && at_most <= self.allowed {
            _ if breaches > self.allowed => Verdict::Breached,
            true => Verdict::Passed,
            false => Verdict::Unknown,
        }
    }

    /// The result in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let broken = self.rules.iter().filter(|rule| rule.breaches() > 0).count() as u64;
        let rules = counted(self.rules.len() as u64, "rule", "rules");
        let is_known = self.coverage.complete && self.undecided() == 0;
        let result = match broken {
            0 if is_known => format!("no key breaks any of {rules}"),
            0 => format!("no key is known to break any of {rules}"),
            broken => {
                let keys = counted(self.breaches(), "key breaks", "keys break");
                format!("{keys} {} of {rules}", grouped(broken))
            }
        };
        let allowed = (self.allowed > 0).then(|| format!("{} may", grouped(self.allowed)));
        let unknown = (self.undecided() > 0).then(|| unknown(self.undecided()));
        let unread = self.unread();
        let parts: Vec<String> = [Some(result), allowed, unknown, unread].into_iter().flatten().collect();
        format!("{}: {}", self.job, parts.join("; "))
    }

    /// What was not read; `None` if everything was.
    #[must_use]
    pub fn unread(&self) -> Option<String> {
        let what = self.coverage.missing.as_ref().map(|what| format!(": {what} is missing"));
        (!self.coverage.complete).then(|| format!("not all keys were read{}", what.unwrap_or_default()))
    }

    /// What the keys are that break a rule: `30 of 40 keys: no TTL`.
    #[must_use]
    pub fn finding(&self, rule: &RuleRow) -> String {
        let keys = counted(rule.scanned, "key", "keys");
        format!("{} of {keys}: {}", grouped(rule.breaches()), self.fault(rule))
    }

    /// How keys break a rule: `no TTL`. Without examples, only what the rule does is known.
    #[must_use]
    pub fn fault(&self, rule: &RuleRow) -> String {
        let all: Vec<&str> = self.examples.of_rule(rule).map(|one| fault(one.reason)).collect();
        match (all.is_empty(), rule.action.as_str()) {
            (true, "delete") => "to be deleted".to_owned(),
            (true, "ttl") => "without TTL, or with one that is too long".to_owned(),
            (true, _) => "reported".to_owned(),
            (false, "delete") => format!("{}; to be deleted", all.join(", or ")),
            (false, _) => all.join(", or "),
        }
    }
}

/// A rule in a few words: its number and its patterns.
#[must_use]
pub fn name(rule: &RuleRow) -> String {
    format!("rule {}: {}", rule.index, rule.matching.join(" "))
}

/// That of so many keys it is not known whether they break a rule.
#[must_use]
pub fn unknown(keys: u64) -> String {
    format!("of {} it is unknown", counted(keys, "key", "keys"))
}

/// In a few words, how a key breaks a rule.
#[must_use]
pub fn fault(reason: Reason) -> &'static str {
    match reason {
        Reason::Stale => "no TTL",
        Reason::LongTtl => "a longer TTL than `max_ttl`",
        Reason::Expiring | Reason::Inactive => "the condition is true",
    }
}

impl Unowned {
    /// The keys of no rule in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let keys = counted(self.keys, "key belongs", "keys belong");
        format!("{keys} to no rule, {} of them without TTL", grouped(self.without_ttl))
    }

    /// The same, with the namespaces that have the most of them.
    #[must_use]
    pub fn with_namespaces(&self) -> String {
        let named = |one: &Namespace| format!("{} ({})", one.template, grouped(one.keys));
        let named: Vec<String> = self.namespaces.iter().take(NAMESPACES_SHOWN).map(named).collect();
        format!("{}: {}", self.sentence(), named.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::result::Accounting;

    use super::*;

    fn checked(breaches: u64, undecided: u64, complete: bool, allowed: u64) -> Checked {
        let accounting = Accounting { candidates: breaches, reported: breaches, ..Accounting::default() };
        let rule = RuleRow { index: 1, scanned: 90, undecided, accounting, ..RuleRow::default() };
        Checked {
            job: "j".to_owned(),
            rules: vec![rule],
            examples: Examples::default(),
            unowned: None,
            coverage: Coverage { complete, ..Coverage::default() },
            files: Vec::new(),
            allowed,
        }
    }

    #[test]
    fn a_check_passes_only_if_all_keys_are_known_to_keep_the_rules() {
        let check = |(breaches, undecided, complete, allowed), verdict, sentence: &str| {
            let found = checked(breaches, undecided, complete, allowed);
            assert_eq!((found.verdict(), found.sentence().as_str()), (verdict, sentence));
        };
        check((0, 0, true, 0), Verdict::Passed, "j: no key breaks any of 1 rule");
        check((5, 0, true, 5), Verdict::Passed, "j: 5 keys break 1 of 1 rule; 5 may");
        check((6, 0, true, 5), Verdict::Breached, "j: 6 keys break 1 of 1 rule; 5 may");
        check(
            (0, 1, true, 0),
            Verdict::Unknown,
            "j: no key is known to break any of 1 rule; of 1 key it is unknown",
        );
        // However the others are, no more than allowed break rules.
        check(
            (2, 3, true, 5),
            Verdict::Passed,
            "j: 2 keys break 1 of 1 rule; 5 may; of 3 keys it is unknown",
        );
        check(
            (2, 4, true, 5),
            Verdict::Unknown,
            "j: 2 keys break 1 of 1 rule; 5 may; of 4 keys it is unknown",
        );
        check(
            (6, 4, false, 5),
            Verdict::Breached,
            "j: 6 keys break 1 of 1 rule; 5 may; of 4 keys it is unknown; not all keys were read",
        );
        check(
            (0, 0, false, 0),
            Verdict::Unknown,
            "j: no key is known to break any of 1 rule; not all keys were read",
        );
    }
}
