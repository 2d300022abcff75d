//! The part of a tally that counts by rule. A key is compared with the rules once, when it is listed.

use std::collections::{BTreeMap, HashSet};

use keysweep_model::messages::RuleCounts;
use keysweep_redis::{KeyState, Ttl};

use super::Tally;
use crate::classify::{Classification, Classifier, KeepReason, Treatment};
use crate::limits::TASK_USERS_MAX;
use crate::ruled_keys::RuledKey;
use crate::slot_tally::SlotTally;
use crate::walk::ListedWindow;

impl Tally {
    /// See [`Tally::listed`]; remembers the rule of each key that is looked up.
    pub(super) fn listed_by_rule(
        &mut self,
        window: &mut ListedWindow,
        may_repeat: bool,
        selector: &Classifier<'_>,
    ) {
        let mut rules_of = std::mem::take(&mut self.rules_of);
        self.list(window, may_repeat, |key| {
            let rule = selector.rule_of(key);
            rules_of.extend(rule);
            rule.is_some()
        });
        self.rules_of = rules_of;
    }

    /// The rules of the keys that [`Tally::listed`] left last, in their order.
    pub(crate) fn take_rules(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.rules_of)
    }

    /// Counts the keys that [`Tally::listed`] left, and collects the candidates.
    pub(crate) fn looked_up_by_rule(
        &mut self,
        window: &ListedWindow,
        looks: &[KeyState],
        ruled: &[RuledKey],
        selector: &Classifier<'_>,
    ) {
        let rest = selector.rest();
        for (((slot, key), seen), RuledKey { rule, verdict }) in window.keys().zip(looks).zip(ruled) {
            self.statistics.seen(key, seen.ttl, selector.freeing(*rule, *verdict));
            if let Some(scan) = self.namespaces.as_mut().filter(|_| rest == Some(*rule)) {
                scan.seen(key, seen.ttl);
            }
            if seen.ttl == Ttl::Moved {
                self.moved.extend(&std::iter::once(slot).collect());
            }
            if selector.asks_users(*rule) && *verdict != Classification::Gone {
                self.count_user_of_rule(key, selector);
            }
            self.slots.of(slot).count_by_rule(*rule, *verdict, seen.ttl);
            if let Classification::Candidate(reason, treatment) = *verdict {
                self.examples.add(*rule, reason, key);
                self.qualified(slot, key, seen, (reason, treatment), Some(*rule));
            }
        }
    }
}

impl Tally {
    fn count_user_of_rule(&mut self, key: &[u8], selector: &Classifier<'_>) {
        match selector.user_active(key) {
            Some(true) => (self.seen_active, self.users) = (true, HashSet::new()),
            Some(false) if !self.seen_active && self.users.len() < TASK_USERS_MAX => {
                self.users.extend(selector.user_number(key));
            }
            _ => {}
        }
    }

    /// Withdraws the candidates of rules whose conditions ask for users. What they would do counts as undecided. Returns how
    /// many of them were only reported.
    pub(super) fn withhold_by_rule(&mut self, selector: &Classifier<'_>) -> u64 {
        let held = self.slots.tallies.iter_mut().map(|(_, tally)| tally.hold_back_by_rule(selector));
        let reported = held.sum();
        if let Some(kept) = &mut self.kept {
            kept.forget_rules(|rule| selector.asks_users(rule));
        }
        self.examples.forget_rules(|rule| selector.asks_users(rule));
        reported
    }
}

impl SlotTally {
    fn hold_back_by_rule(&mut self, selector: &Classifier<'_>) -> u64 {
        let mut reported = 0;
        for rule in self.rules.iter_mut().filter(|rule| selector.asks_users(rule.rule)) {
            let found = self.candidates.len();
            self.candidates.retain(|candidate| candidate.rule != Some(rule.rule));
            let of_rule = std::mem::take(&mut rule.reported);
            let held = (found - self.candidates.len()) as u64 + of_rule;
            rule.undecided += held;
            self.counts.no_active_user += held;
            self.counts.reported -= of_rule;
            reported += of_rule;
        }
        reported
    }

    /// Counts a key of the rule with this number.
    pub(crate) fn count_by_rule(&mut self, rule: u16, verdict: Classification, ttl: Ttl) {
        if verdict == Classification::Gone {
            return;
        }
        let at = self.rules.iter().position(|known| known.rule == rule).unwrap_or_else(|| {
            self.rules.push(RuleCounts::of(rule));
            self.rules.len() - 1
        });
        let (counts, rule) = (&mut self.counts, &mut self.rules[at]);
        for (counts, is_so) in [
            ([&mut counts.scanned, &mut rule.scanned], true),
            ([&mut counts.reported, &mut rule.reported], is_treated(verdict, Treatment::Reported)),
            ([&mut counts.too_long, &mut rule.too_long], is_treated(verdict, Treatment::TooLong)),
            (
                [&mut counts.field_ttl, &mut rule.field_ttl],
                verdict == Classification::Keep(KeepReason::FieldTtl),
            ),
            ([&mut counts.stale, &mut rule.without_ttl], ttl == Ttl::Persistent),
        ] {
            counts.into_iter().for_each(|count| *count += u64::from(is_so));
        }
        rule.undecided += u64::from(verdict == Classification::Keep(KeepReason::Undecided));
        // What a rule says is right counts as protected.
        counts.stale_protected += u64::from(verdict == Classification::Keep(KeepReason::Durable));
        counts.add_ttl(ttl.remaining_ms());
    }
}

fn is_treated(verdict: Classification, wanted: Treatment) -> bool {
    matches!(verdict, Classification::Candidate(_, treatment) if treatment == wanted)
}

/// Adds the `counts` of a slot to those of all slots, by rule.
pub(super) fn sum(rules: &mut BTreeMap<u16, RuleCounts>, counts: &[RuleCounts]) {
    for found in counts {
        rules.entry(found.rule).or_insert_with(|| RuleCounts::of(found.rule)).add(found);
    }
}
