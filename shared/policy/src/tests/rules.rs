//! What single rules do, and which of them contradict themselves.

use keysweep_model::glob::Pattern;
use keysweep_model::messages::{Jitter, RuleAction, StatedRule};

use crate::{Effect, Fact, FactSet, Facts, GivenTtl, KeyTtl, Rule, RuleField, RuleKind, RuleProblem};

const HOUR: u64 = 3_600_000;

pub(super) fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(*text).unwrap()).collect()
}

/// A rule for `tmp:*` that states nothing.
fn stated() -> StatedRule {
    StatedRule { matching: patterns(&["tmp:*"]), ..StatedRule::default() }
}

fn with_ttl(ttl: Option<KeyTtl>) -> Facts<'static> {
    Facts { ttl, ..Facts::of_name(b"tmp:1") }
}

#[track_caller]
fn check_error(stated: &StatedRule, expected: &str) {
    assert_eq!(Rule::new(stated).map_err(|problem| problem.to_string()), Err(expected.to_owned()));
}

#[test]
fn a_ttl_is_given_to_keys_without_one_and_longer_ones_are_shortened() {
    let rule = Rule::new(&StatedRule { ttl_ms: Some(HOUR), max_ttl_ms: Some(7 * HOUR), ..stated() }).unwrap();
    let expire = Effect::Expire(GivenTtl { ttl_ms: HOUR, jitter_ms: HOUR / 10 });
    for (ttl, expected) in [
        (Some(KeyTtl::None), expire),
        (Some(KeyTtl::Ms(0)), Effect::Nothing),
        (Some(KeyTtl::Ms(7 * HOUR)), Effect::Nothing),
        (Some(KeyTtl::Ms(7 * HOUR + 1)), Effect::Clamp { ttl_ms: 7 * HOUR }),
        (None, Effect::Undecided(FactSet::only(Fact::Ttl))),
    ] {
        assert_eq!(rule.decide(&with_ttl(ttl)), expected, "{ttl:?}");
    }
}

#[test]
fn what_is_given_is_not_clamped_later() {
    let given = |ttl_ms, jitter, max_ttl_ms| {
        let rule = Rule::new(&StatedRule { ttl_ms: Some(ttl_ms), jitter, max_ttl_ms, ..stated() }).unwrap();
        let RuleKind::Lifetime { given: Some(given), .. } = rule.kind() else { panic!("{rule:?}") };
        given.jitter_ms
    };
    assert_eq!(given(HOUR, None, None), HOUR / 10);
    assert_eq!(given(HOUR, Some(Jitter::Percent(50)), None), HOUR / 2);
    assert_eq!(given(HOUR, Some(Jitter::Ms(7)), None), 7);
    assert_eq!(given(HOUR, Some(Jitter::Percent(50)), Some(HOUR + 5)), 5);
    assert_eq!(given(HOUR, None, Some(HOUR)), 0);
}

#[test]
fn deletion_is_for_keys_without_ttl_unless_the_condition_says_otherwise() {
    let rule = |condition: Option<&str>| {
        let condition = condition.map(str::to_owned);
        Rule::new(&StatedRule { action: Some(RuleAction::Delete), condition, ..stated() }).unwrap()
    };
    let (none, hour) = (with_ttl(Some(KeyTtl::None)), with_ttl(Some(KeyTtl::Ms(HOUR))));
    assert_eq!(rule(None).decide(&none), Effect::Delete);
    assert_eq!(rule(None).decide(&hour), Effect::Nothing);
    assert_eq!(rule(Some("ttl > 30m")).decide(&hour), Effect::Delete);
    assert_eq!(rule(Some("ttl > 30m")).decide(&none), Effect::Nothing);
    assert_eq!(rule(Some("ttl = none")).decide(&none), Effect::Delete);
    let idle = rule(Some("idle > 1h"));
    assert_eq!(idle.decide(&none), Effect::Undecided(FactSet::only(Fact::Idle)));
    assert_eq!(idle.decide(&Facts { idle_ms: Some(HOUR + 1), ..none }), Effect::Delete);
    assert_eq!(idle.decide(&Facts { idle_ms: Some(HOUR), ..none }), Effect::Nothing);
    // What is dear to read is not asked for where the TTL decides.
    assert_eq!(idle.decide(&hour), Effect::Nothing);
    assert_eq!(idle.decide(&with_ttl(None)), Effect::Undecided(FactSet::from_iter([Fact::Ttl, Fact::Idle])));
    assert_eq!(idle.facts(), FactSet::from_iter([Fact::Ttl, Fact::Idle]));
}

#[test]
fn contradictions_name_the_fields() {
    let hour = Some(HOUR);
    check_error(
        &StatedRule::default(),
        "`match` has no patterns: name its keys, such as `match = [\"cache:page:*\"]`",
    );
    check_error(
        &stated(),
        "it does not say what happens to its keys: add `ttl`, `max_ttl`, `durable = true`, `action = \"report\"` or \
         `action = \"delete\"`",
    );
    let excluded =
        |one: &str, other: &str| format!("`{one}` and `{other}` exclude each other: leave one of them out");
    check_error(&StatedRule { durable: true, ttl_ms: hour, ..stated() }, &excluded("durable", "ttl"));
    check_error(&StatedRule { durable: true, max_ttl_ms: hour, ..stated() }, &excluded("durable", "max_ttl"));
    let report = Some(RuleAction::Report);
    check_error(&StatedRule { durable: true, action: report, ..stated() }, &excluded("durable", "action"));
    check_error(&StatedRule { ttl_ms: hour, action: report, ..stated() }, &excluded("action", "ttl"));
    let condition = Some("idle > 7d".to_owned());
    check_error(&StatedRule { durable: true, condition, ..stated() }, &excluded("durable", "where"));
    let alone = "`jitter` needs `ttl`, which it is added to: add `ttl`, or leave `jitter` out";
    check_error(&StatedRule { jitter: Some(Jitter::DEFAULT), ..stated() }, alone);
    check_error(&StatedRule { jitter: Some(Jitter::DEFAULT), max_ttl_ms: hour, ..stated() }, alone);
    check_error(
        &StatedRule { max_delete_percent: Some(5), ttl_ms: hour, ..stated() },
        "`max_delete_percent` needs `action = \"delete\"`, which it limits: add that, or leave `max_delete_percent` out",
    );
    check_error(
        &StatedRule { max_delete_percent: Some(101), action: Some(RuleAction::Delete), ..stated() },
        "`max_delete_percent` is more than 100: write a share of the keys of the rule from 0 to 100",
    );
    check_error(
        &StatedRule { jitter: Some(Jitter::Percent(101)), ttl_ms: hour, ..stated() },
        "`jitter` is more than `100%`: write a smaller part of `ttl`, or a time such as `5m`",
    );
    check_error(
        &StatedRule { ttl_ms: hour, max_ttl_ms: Some(HOUR - 1_000), ..stated() },
        "`max_ttl` is `3599s`, and `ttl` is `1h`, which is longer: make `max_ttl` at least as long as `ttl`",
    );
    check_error(
        &StatedRule { max_ttl_ms: Some(999), ..stated() },
        "`max_ttl` is not from `1s` to `3650d`: a shorter one deletes, which takes `action = \"delete\"`",
    );
    let condition = Some("length > 7 and not idle < 1d".to_owned());
    check_error(
        &StatedRule { action: report, condition, ..stated() },
        "`where` is about `length` and `idle`: servers count reading the number of elements as an access, so that \
         `idle` would not be what it was; leave one of them out",
    );
    let condition = Some("idle > 7".to_owned());
    check_error(
        &StatedRule { action: report, condition, ..stated() },
        "`where`, column 8: `7` is not a duration: a unit is missing: write `7s` or `7m`",
    );
}

/// Every combination of what can be stated.
fn combinations() -> Vec<StatedRule> {
    let mut all = Vec::new();
    for durable in [false, true] {
        for ttl_ms in [None, Some(2 * HOUR)] {
            for jitter in [None, Some(Jitter::Percent(10)), Some(Jitter::Ms(5))] {
                for max_ttl_ms in [None, Some(HOUR), Some(4 * HOUR)] {
                    for action in [None, Some(RuleAction::Delete), Some(RuleAction::Report)] {
                        for condition in [None, Some("ttl = none"), Some("ttl > 1s"), Some("idle > 1s")] {
                            let condition = condition.map(str::to_owned);
                            all.push(StatedRule {
                                durable,
                                ttl_ms,
                                jitter,
                                max_ttl_ms,
                                action,
                                condition,
                                ..stated()
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

/// What may be stated together, as a table.
fn expected_error(stated: &StatedRule) -> Option<RuleField> {
    let [ttl, max, action] = [stated.ttl_ms.is_some(), stated.max_ttl_ms.is_some(), stated.action.is_some()];
    let below = ttl && stated.max_ttl_ms == Some(HOUR);
    match (stated.durable, action, ttl, max) {
        (true, true, ..) => Some(RuleField::Action),
        (true, _, true, _) | (_, true, true, _) => Some(RuleField::Ttl),
        (true, _, _, true) | (_, true, _, true) => Some(RuleField::MaxTtl),
        _ if stated.jitter.is_some() && !ttl => Some(RuleField::Jitter),
        (true, ..) if stated.condition.is_some() => Some(RuleField::Where),
        _ if below => Some(RuleField::MaxTtl),
        _ => None,
    }
}

#[test]
fn only_a_rule_that_says_delete_deletes() {
    let (mut deleting, mut allowed) = (0, 0);
    for stated in combinations() {
        let rule = match Rule::new(&stated) {
            Ok(rule) => rule,
            Err(RuleProblem::StatesNothing) => {
                let states = [stated.durable, stated.ttl_ms.is_some(), stated.max_ttl_ms.is_some()];
                assert!(!states.contains(&true) && stated.action.is_none(), "{stated:?}");
                continue;
            }
            Err(problem) => {
                assert_eq!(problem.field(), expected_error(&stated), "{stated:?}");
                continue;
            }
        };
        assert_eq!(expected_error(&stated), None, "{stated:?}");
        allowed += 1;
        for ttl in [None, Some(KeyTtl::None), Some(KeyTtl::Ms(500)), Some(KeyTtl::Ms(100 * HOUR))] {
            for idle_ms in [None, Some(0), Some(HOUR)] {
                let effect = rule.decide(&Facts { idle_ms, ..with_ttl(ttl) });
                if stated.action == Some(RuleAction::Delete) {
                    deleting += u32::from(effect == Effect::Delete);
                } else {
                    assert_ne!(effect, Effect::Delete, "{stated:?} {ttl:?}");
                }
                let only_if =
                    |effects: bool, stated_so: bool| assert!(!effects || stated_so, "{stated:?} {ttl:?}");
                only_if(
                    matches!(effect, Effect::Expire(_)),
                    stated.ttl_ms.is_some() && ttl == Some(KeyTtl::None),
                );
                only_if(matches!(effect, Effect::Clamp { .. }), stated.max_ttl_ms.is_some());
                only_if(effect == Effect::Report, stated.action == Some(RuleAction::Report));
                only_if(stated.durable, effect == Effect::Nothing);
                only_if(rule.action().deletes(), stated.action == Some(RuleAction::Delete));
            }
        }
    }
    assert!(deleting > 0 && allowed > 20, "{deleting} {allowed}");
}
