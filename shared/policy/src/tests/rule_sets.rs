//! Which rule a key belongs to, and rules that no key can belong to.

use keysweep_model::messages::{RuleAction, StatedRule};
use proptest::prelude::*;

use super::rules::patterns;
use crate::limits::{PATTERNS_MAX, RULES_MAX};
use crate::{RuleProblem, RuleSet};

/// A rule that reports keys of `matching`, but for those of `except`.
fn rule(matching: &[&str], except: &[&str]) -> StatedRule {
    let (matching, except) = (patterns(matching), patterns(except));
    StatedRule { matching, except, action: Some(RuleAction::Report), ..StatedRule::default() }
}

#[track_caller]
fn check_error(rules: &[StatedRule], expected: &[&str]) {
    let errors: Vec<String> =
        RuleSet::new(rules).err().unwrap_or_default().iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected);
}

#[test]
fn a_key_belongs_to_the_first_rule_that_matches_its_name() {
    let with_condition = StatedRule { condition: Some("idle > 7d".to_owned()), ..rule(&["user:*"], &[]) };
    let rules = RuleSet::new(&[
        rule(&["cache:page:*", "html:*"], &["cache:page:home"]),
        rule(&["cache:*"], &[]),
        with_condition,
        rule(&["user:*:name", "*"], &["other"]),
    ])
    .unwrap();
    for (name, expected) in [
        ("cache:page:7", Some(0)),
        ("html:7", Some(0)),
        ("cache:page:home", Some(1)),
        ("cache:user", Some(1)),
        ("user:7:name", Some(2)),
        ("session:7", Some(3)),
        ("", Some(3)),
        ("other", None),
    ] {
        assert_eq!(rules.of(name.as_bytes()), expected, "{name}");
    }
    assert_eq!(rules.facts().to_string(), "ttl, idle");
    assert_eq!(RuleSet::default().of(b"a"), None);
}

#[test]
fn rules_that_can_never_act_are_named_with_those_before_them() {
    let head = "it can never act, because a key belongs to the first rule that matches its name";
    let tail = "move this rule up, or remove it";
    check_error(
        &[rule(&["cache:*"], &[]), rule(&["user:*"], &[]), rule(&["cache:page:*", "user:7"], &[])],
        &[&format!(
            "rule 3: {head}: rule 1 takes all keys of `cache:page:*`, rule 2 takes all keys of `user:7`; {tail}"
        )],
    );
    check_error(
        &[rule(&["*"], &["cache:*"]), rule(&["user:*"], &[])],
        &[&format!("rule 2: {head}: rule 1 takes all keys of `user:*`; {tail}")],
    );
    check_error(
        &[rule(&["a*"], &["ab*"]), rule(&["a*"], &["a*b", "ab*"])],
        &[&format!("rule 2: {head}: rule 1 takes all keys of `a*`; {tail}")],
    );
}

#[test]
fn rules_that_keep_a_key_are_no_mistake() {
    for rules in [
        [rule(&["cache:page:*"], &[]), rule(&["cache:*"], &[])],
        [rule(&["cache:*"], &["cache:page:home"]), rule(&["cache:page:*"], &[])],
        [rule(&["cache:*"], &[]), rule(&["cache:page:*", "user:*"], &[])],
        // Both together take all keys of the second; that is not looked for.
        [rule(&["a[0-4]*", "a[^0-4]*", "a"], &[]), rule(&["a*"], &[])],
    ] {
        check_error(&rules, &[]);
    }
}

#[test]
fn every_bad_rule_is_named_and_too_many_are_refused() {
    let states_nothing = StatedRule { matching: patterns(&["a"]), ..StatedRule::default() };
    let errors = RuleSet::new(&[states_nothing, rule(&["b"], &[]), rule(&[], &[])]).unwrap_err();
    let found: Vec<_> = errors.iter().map(|error| (error.rule, &error.problem)).collect();
    assert_eq!(found, [(1, &RuleProblem::StatesNothing), (3, &RuleProblem::NoMatch)]);
    let several = |count: usize| -> Vec<StatedRule> {
        (0..count).map(|at| rule(&[&format!("key:{at}:*")], &[])).collect()
    };
    assert!(RuleSet::new(&several(RULES_MAX)).is_ok());
    check_error(
        &several(RULES_MAX + 1),
        &["rule 101: there are more than 100 rules: put some of them into another job"],
    );
    let many: Vec<String> = (0..PATTERNS_MAX).map(|at| format!("{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check_error(
        &[rule(&many, &[]), rule(&["a"], &[])],
        &["rule 2: `match` and `except` of all rules have more than 1000 patterns: use wider ones"],
    );
}

fn some_patterns(most: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab*?]{1,4}", 0..=most)
}

proptest! {
    /// A rule that is said to be shadowed by one other never gets a key: each that it matches belongs to that one.
    #[test]
    fn no_rule_is_wrongly_called_shadowed(
        (first, not_first) in (some_patterns(2), some_patterns(2)),
        (second, not_second) in (some_patterns(2), some_patterns(2)),
        names in prop::collection::vec("[ab]{0,6}", 40),
    ) {
        let texts = |list: &[String]| patterns(&list.iter().map(String::as_str).collect::<Vec<_>>());
        let of = |matching: &[String], except: &[String]| StatedRule {
            matching: texts(matching),
            except: texts(except),
            action: Some(RuleAction::Report),
            ..StatedRule::default()
        };
        let both = [of(&first, &not_first), of(&second, &not_second)];
        let Err(errors) = RuleSet::new(&both) else { return Ok(()) };
        if !matches!(errors[..], [crate::RuleError { problem: RuleProblem::Shadowed(_), .. }]) {
            return Ok(());
        }
        let [first, second] = both.map(|rule| crate::Rule::new(&rule).unwrap());
        for name in names {
            prop_assert!(!second.matches(name.as_bytes()) || first.matches(name.as_bytes()), "{}", name);
        }
    }
}
