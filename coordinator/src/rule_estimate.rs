//! Estimates for each rule from a sample of a node's keys: how many belong to it, and how many it would act upon. Pure.

use keysweep_policy::{Rule, RuleSet};
use scanner::{Classification, RuledKey, Treatment};
use serde::Serialize;

use crate::estimate::{ByRules, Sample};

/// What a plan expects of one rule. Numbers of keys, estimated unless every key was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleEstimate {
    /// Keys that belong to it.
    pub matching_keys: u64,
    /// The most that there are, 19 times out of 20.
    #[serde(skip)]
    pub matching_max: u64,
    /// Keys that it would change or report.
    pub candidates: u64,
    /// Keys that it would change.
    pub changes: u64,
    /// Keys that it would delete.
    pub deletions: u64,
}

impl RuleEstimate {
    /// The sum over nodes.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { matching_keys, matching_max, candidates, changes, deletions } = *other;
        self.matching_keys += matching_keys;
        self.matching_max += matching_max;
        self.candidates += candidates;
        self.changes += changes;
        self.deletions += deletions;
    }

    /// The number of deletions at which a run that may delete `percent` of its keys is cancelled; `None` at 100 %. By the
    /// most keys that there may be: a rule with few keys may have none in the sample.
    pub(crate) fn cap(&self, percent: u8) -> Option<u64> {
        let cap = u128::from(self.matching_max) * u128::from(percent) / 100;
        (percent < 100).then(|| u64::try_from(cap).unwrap_or(u64::MAX))
    }

    /// The deletions in percent of the keys of the rule.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown with one decimal, and compared with whole percents"
    )]
    pub fn percent(&self) -> f64 {
        if self.matching_keys == 0 { 0.0 } else { self.deletions as f64 * 100.0 / self.matching_keys as f64 }
    }
}

/// The estimates for all `rules`, by the sampled keys of a node of `keys` keys, `sample`.
pub(crate) fn of_sample(
    rules: &RuleSet,
    ruled: &[RuledKey],
    sample: &Sample,
    keys: u64,
) -> Vec<RuleEstimate> {
    let mut found = vec![RuleEstimate::default(); rules.rules().len()];
    for RuledKey { rule, verdict } in ruled {
        let Some(of_rule) = found.get_mut(usize::from(*rule)) else { continue };
        of_rule.matching_keys += u64::from(*verdict != Classification::Gone);
        let Classification::Candidate(_, treatment) = verdict else { continue };
        of_rule.candidates += 1;
        of_rule.changes += u64::from(*treatment == Treatment::Reap);
        of_rule.deletions += u64::from(is_deleted(rules, *rule, *verdict));
    }
    for of_rule in &mut found {
        let RuleEstimate { matching_keys, candidates, changes, deletions, .. } = *of_rule;
        // The error of a small share, and the rule of three if there is none.
        let most = if sample.all { matching_keys } else { matching_keys + 2 * matching_keys.isqrt() + 3 };
        *of_rule = RuleEstimate {
            matching_keys: sample.scaled(matching_keys, keys),
            matching_max: sample.scaled(most, keys),
            candidates: sample.scaled(candidates, keys),
            changes: sample.scaled(changes, keys),
            deletions: sample.scaled(deletions, keys),
        };
    }
    found
}

/// What the rules act upon, of the sampled keys.
pub(crate) fn acted(rules: &RuleSet, ruled: &[RuledKey]) -> ByRules {
    let count = |of: &dyn Fn(&RuledKey) -> bool| ruled.iter().filter(|key| of(key)).count() as u64;
    ByRules {
        candidates: count(&|key| matches!(key.verdict, Classification::Candidate(..))),
        deletions: count(&|key| is_deleted(rules, key.rule, key.verdict)),
    }
}

/// Whether a key is one that its rule would delete.
pub(crate) fn is_deleted(rules: &RuleSet, rule: u16, verdict: Classification) -> bool {
    let Classification::Candidate(reason, treatment) = verdict else { return false };
    treatment == Treatment::Reap && rules.rule(rule).is_some_and(|rule| reason.is_deleted(Rule::action(rule)))
}

#[cfg(test)]
mod tests {
    use keysweep_model::glob::Pattern;
    use keysweep_model::messages::{Reason, RuleAction, StatedRule};
    use scanner::KeepReason;

    use super::*;

    #[test]
    fn rules_with_few_keys_are_not_limited_to_none() {
        let rule = |name: &str, action| StatedRule {
            matching: vec![Pattern::new(name).unwrap()],
            action: Some(action),
            ..StatedRule::default()
        };
        let rules = RuleSet::new(&[rule("a", RuleAction::Delete), rule("b", RuleAction::Report)]).unwrap();
        let candidate = |treatment| Classification::Candidate(Reason::Stale, treatment);
        let key = |rule, verdict| RuledKey { rule, verdict };
        let ruled = [
            key(0, candidate(Treatment::Reap)),
            key(0, Classification::Keep(KeepReason::Normal)),
            key(0, Classification::Gone),
            key(1, candidate(Treatment::Reported)),
        ];
        let sample = Sample { listed: 1_000, ..Sample::default() };
        let [a, b] = of_sample(&rules, &ruled, &sample, 10_000).try_into().unwrap();
        assert_eq!(
            a,
            RuleEstimate { matching_keys: 20, matching_max: 70, candidates: 10, changes: 10, deletions: 10 }
        );
        assert_eq!((b.candidates, b.changes, b.deletions), (10, 0, 0));
        assert_eq!((a.cap(50), a.cap(100)), (Some(35), None));
        assert!((a.percent() - 50.0).abs() < 1e-9);
        let [none, _] = of_sample(&rules, &[], &sample, 10_000).try_into().unwrap();
        assert_eq!((none.matching_keys, none.cap(50)), (0, Some(15)));
        let all = Sample { all: true, ..sample };
        assert_eq!(of_sample(&rules, &ruled, &all, 10_000)[0].matching_max, 2);
        assert_eq!(acted(&rules, &ruled), ByRules { candidates: 2, deletions: 1 });
    }
}
