//! Names of some keys that break a rule, for the person who is to repair them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::batch::Reason;
use crate::excerpt::Excerpts;
use crate::limits::{EXAMPLE_BYTES_MAX, EXAMPLES_MAX};

/// Some keys that break a rule in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleExamples {
    /// The number of the rule, from 0.
    pub rule: u16,
    /// How they break it.
    pub reason: Reason,
    /// Their names.
    pub names: Excerpts,
}

/// Examples of all rules.
#[derive(Clone, Debug, Default)]
pub struct ExamplesByRule {
    /// So many of each rule and reason.
    wanted: usize,
    found: BTreeMap<(u16, Reason), Excerpts>,
}

impl ExamplesByRule {
    /// None yet; so many of each rule and reason are wanted, at most [`EXAMPLES_MAX`].
    #[must_use]
    pub fn wanting(wanted: u8) -> Self {
        Self { wanted: usize::from(wanted).min(EXAMPLES_MAX), found: BTreeMap::new() }
    }

    /// Adds a key that breaks a rule.
    pub fn add(&mut self, rule: u16, reason: Reason, name: &[u8]) {
        if self.wanted > 0 {
            self.found.entry((rule, reason)).or_default().add(name, EXAMPLE_BYTES_MAX, self.wanted);
        }
    }

    /// Removes those of the rules that `is_withdrawn` accepts.
    pub fn forget_rules(&mut self, is_withdrawn: impl Fn(u16) -> bool) {
        self.found.retain(|(rule, _), _| !is_withdrawn(*rule));
    }

    /// Adds those of a report. Impossible ones are left out.
    pub fn merge(&mut self, reported: Vec<RuleExamples>) {
        for RuleExamples { rule, reason, names } in reported {
            if names.are_possible(EXAMPLE_BYTES_MAX, EXAMPLES_MAX) {
                self.found.entry((rule, reason)).or_default().merge(names, self.wanted);
            }
        }
    }

    /// The same, without keys.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { wanted: self.wanted, found: BTreeMap::new() }
    }

    /// By rule and reason, in ascending order.
    #[must_use]
    pub fn finish(self) -> Vec<RuleExamples> {
        let all = self.found.into_iter();
        all.map(|((rule, reason), names)| RuleExamples { rule, reason, names }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_bounded_by_rule_and_reason() {
        let mut all = ExamplesByRule::wanting(2);
        for n in 0..50_u16 {
            all.add(n % 2, Reason::Stale, format!("key:{n}").as_bytes());
        }
        all.add(1, Reason::LongTtl, &[b'x'; 9_000]);
        let mut of_all = all.fresh();
        let found = all.finish();
        let shape = |of: &RuleExamples| (of.rule, of.reason, of.names.iter().count());
        let shapes: Vec<_> = found.iter().map(shape).collect();
        assert_eq!(shapes, [(0, Reason::Stale, 2), (1, Reason::Stale, 2), (1, Reason::LongTtl, 1)]);
        of_all.merge(found.clone());
        of_all.merge(found.clone());
        let mut withdrawn = of_all.clone();
        withdrawn.forget_rules(|rule| rule == 1);
        assert_eq!(withdrawn.finish(), found[..1]);
        assert_eq!(of_all.finish(), found);

        let mut none = ExamplesByRule::wanting(0);
        none.add(0, Reason::Stale, b"a");
        assert!(none.finish().is_empty());
        // A report with more than tasks make.
        let mut names = Excerpts::default();
        (0..20).for_each(|n: u8| names.add(&[n], EXAMPLE_BYTES_MAX, 20));
        let mut few = ExamplesByRule::wanting(2);
        few.merge(vec![RuleExamples { rule: 0, reason: Reason::Stale, names }]);
        assert!(few.finish().is_empty());
    }
}
