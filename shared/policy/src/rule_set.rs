//! The rules of a job in their order. A key belongs to the first rule that matches its name, whether or not the rule's
//! condition is true of it. So the rule of a key never changes, and what may be done with a key depends on one condition
//! only, which can be checked again when it is done.

use keysweep_model::glob::Pattern;
use keysweep_model::messages::StatedRule;

use crate::fact::FactSet;
use crate::limits::{PATTERNS_MAX, RULES_MAX};
use crate::rule::Rule;
use crate::rule_error::{Cover, RuleError, RuleProblem};

/// Rules without contradictions, none of which is known to be superfluous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    rules: Vec<Rule>,
}

impl RuleSet {
    /// The rules that are stated, in the same order.
    ///
    /// # Errors
    /// What is wrong with each of them. Whether a rule can act is known only if nothing else is wrong.
    pub fn new(stated: &[StatedRule]) -> Result<Self, Vec<RuleError>> {
        if stated.len() > RULES_MAX {
            return Err(vec![RuleError { rule: RULES_MAX + 1, problem: RuleProblem::TooManyRules }]);
        }
        let (mut rules, mut errors, mut patterns) = (Vec::new(), Vec::new(), 0);
        for (at, stated) in stated.iter().enumerate() {
            patterns += stated.matching.len() + stated.except.len();
            match Rule::new(stated) {
                _ if patterns > PATTERNS_MAX => {
                    errors.push(RuleError { rule: at + 1, problem: RuleProblem::TooManyPatterns });
                    break;
                }
                Ok(rule) => rules.push(rule),
                Err(problem) => errors.push(RuleError { rule: at + 1, problem }),
            }
        }
        if errors.is_empty() {
            errors.extend((1..rules.len()).filter_map(|at| shadowed(&rules, at)));
        }
        if errors.is_empty() { Ok(Self { rules }) } else { Err(errors) }
    }

    /// The number of the rule of the key with this name, counted from 0: the first that matches it.
    #[must_use]
    pub fn of(&self, name: &[u8]) -> Option<u16> {
        // There are at most `RULES_MAX`.
        self.rules.iter().position(|rule| rule.matches(name)).and_then(|at| u16::try_from(at).ok())
    }

    /// The rules in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule with this number, counted from 0.
    #[must_use]
    pub fn rule(&self, number: u16) -> Option<&Rule> {
        self.rules.get(usize::from(number))
    }

    /// The facts by which any of the rules decides.
    #[must_use]
    pub fn facts(&self) -> FactSet {
        self.rules.iter().fold(FactSet::EMPTY, |facts, rule| facts.and(rule.facts()))
    }
}

/// The error of the rule at `at`, if each of its patterns is covered by an earlier rule.
fn shadowed(rules: &[Rule], at: usize) -> Option<RuleError> {
    let cover = |pattern: &Pattern| {
        let by = rules[..at].iter().position(|earlier| takes_all(earlier, &rules[at], pattern))?;
        Some(Cover { pattern: pattern.to_string(), by: by + 1 })
    };
    let covers = rules[at].matching().iter().map(cover).collect::<Option<Vec<Cover>>>()?;
    Some(RuleError { rule: at + 1, problem: RuleProblem::Shadowed(covers) })
}

/// Whether `earlier` is known to take every key that `later` matches by `pattern`.
fn takes_all(earlier: &Rule, later: &Rule, pattern: &Pattern) -> bool {
    let leaves_nothing = |left: &Pattern| {
        left.is_apart_from(pattern) || later.except().iter().any(|except| except.covers(left))
    };
    earlier.matching().iter().any(|wide| wide.covers(pattern)) && earlier.except().iter().all(leaves_nothing)
}
