//! Findings about the rules of a job.

use keysweep_model::glob::Pattern;
use keysweep_model::ids::{BatchId, NodeId, TaskId};
use keysweep_model::messages::{ListedBatch, Policy, Receipt, RuleAction, RuleCounts, StatedRule};
use keysweep_model::outcome::Outcome;
use keysweep_model::result::{RuleName, Status};

use super::*;
use crate::findings::RulesBefore;

const HOUR_MS: u64 = 3_600_000;

/// A run with three rules: pages are given a TTL, temporary keys are deleted, accounts are durable. It read some keys.
fn with_rules(change: impl FnOnce(&mut Case)) -> Case {
    with(|case| {
        let rule = |pattern: &str, owner: Option<&str>| StatedRule {
            matching: vec![Pattern::new(pattern).unwrap()],
            owner: owner.map(str::to_owned),
            ..StatedRule::default()
        };
        let rules = vec![
            StatedRule { ttl_ms: Some(HOUR_MS), ..rule("cache:page:*", Some("web")) },
            StatedRule {
                action: Some(RuleAction::Delete),
                condition: Some("idle > 7d".to_owned()),
                ..rule("tmp:*", None)
            },
            StatedRule { durable: true, ..rule("user:*", Some("accounts")) },
        ];
        case.spec().rules.policy = Some(Policy { rules, ..Policy::default() });
        for rule in 0..3 {
            case.fold.rules.insert(rule, RuleCounts { scanned: 500, ..RuleCounts::of(rule) });
        }
        case.fold.totals.counts.listed = 2_000;
        change(case);
        case.result.rules = finish(&case.fold, &case.context).unwrap().rules;
    })
}

fn counts(case: &mut Case, rule: u16) -> &mut RuleCounts {
    case.fold.rules.get_mut(&rule).unwrap()
}

/// The only finding of these runs.
#[track_caller]
fn only(case: &Case) -> (String, String, Option<RuleName>) {
    let all = case.findings();
    let [one] = all.as_slice() else { panic!("{all:?}") };
    (one.rule.clone(), one.message.clone(), one.policy_rule.clone())
}

fn name(index: u32, pattern: &str, owner: Option<&str>) -> Option<RuleName> {
    Some(RuleName { index, matching: vec![pattern.to_owned()], owner: owner.map(str::to_owned) })
}

fn pages() -> Option<RuleName> {
    name(1, "cache:page:*", Some("web"))
}

#[test]
fn breaches_name_the_rule_and_its_owner() {
    let none = with_rules(|case| {
        // Neither is a breach: what is durable, and hashes whose fields expire.
        counts(case, 2).without_ttl = 500;
        counts(case, 0).field_ttl = 7;
        case.fold.totals.counts.stale = 507;
    });
    assert_eq!(none.findings(), [], "the rules say which keys may have no TTL");
    let check = |rule, change: fn(&mut StatedRule), message: &str, named: Option<RuleName>| {
        let broken = with_rules(|case| {
            counts(case, rule).reported = 12;
            let policy = case.spec().rules.policy.as_mut().unwrap();
            change(&mut policy.rules[usize::from(rule)]);
        });
        assert_eq!(only(&broken), ("rule-breached".to_owned(), message.to_owned(), named));
    };
    let found = "Found 12 keys that break rule 1 (`cache:page:*`, owner web)";
    check(0, |_| {}, &format!("{found}: without TTL"), pages());
    let both = |rule: &mut StatedRule| rule.max_ttl_ms = Some(48 * HOUR_MS);
    check(0, both, &format!("{found}: without TTL, or with one above 2d"), pages());
    let longest = |rule: &mut StatedRule| (rule.ttl_ms, rule.max_ttl_ms) = (None, Some(HOUR_MS));
    check(0, longest, &format!("{found}: with a TTL above 1h"), pages());
    let found = "Found 12 keys that break rule 2 (`tmp:*`)";
    check(1, |_| {}, &format!("{found}: to be deleted"), name(2, "tmp:*", None));
    let report = |rule: &mut StatedRule| rule.action = Some(RuleAction::Report);
    check(1, report, &format!("{found}: reported"), name(2, "tmp:*", None));
}

#[test]
fn the_rules_with_most_breaches_are_named_first_and_the_others_counted() {
    let many = with_rules(|case| {
        let policy = case.spec().rules.policy.as_mut().unwrap();
        policy.rules = vec![policy.rules[0].clone(); 13];
        for rule in 0..13 {
            let reported = u64::from(rule) + 1;
            case.fold.rules.insert(rule, RuleCounts { scanned: 99, reported, ..RuleCounts::of(rule) });
        }
    });
    let found = many.findings();
    let numbers: Vec<Option<u32>> =
        found.iter().map(|finding| finding.policy_rule.as_ref().map(|rule| rule.index)).collect();
    let expected: Vec<Option<u32>> = (4..=13).rev().map(Some).chain([None]).collect();
    assert_eq!(numbers, expected);
    assert_eq!(found[10].evidence["rules"], json!(3));
}

#[test]
fn keys_that_could_not_be_decided() {
    let undecided = with_rules(|case| counts(case, 1).undecided = 1);
    let message =
        "1 key of rule 2 (`tmp:*`) left alone: its `where` asks for something that is not known of them";
    let named = name(2, "tmp:*", None);
    assert_eq!(only(&undecided), ("rule-undecided".to_owned(), message.to_owned(), named));
    assert_eq!(undecided.findings()[0].evidence["where"], json!("idle > 7d"));
}

#[test]
fn rules_without_keys_are_named_only_if_all_keys_were_read() {
    let empty = |change: fn(&mut Case)| {
        with_rules(|case| {
            case.fold.rules.remove(&0);
            change(case);
        })
    };
    let message = "No key belongs to rule 1 (`cache:page:*`, owner web): check its patterns, and those of the rules \
                   before it";
    assert_eq!(only(&empty(|_| {})), ("rule-without-keys".to_owned(), message.to_owned(), pages()));
    assert_eq!(empty(|case| case.fold.totals.counts.listed = 0).findings(), [], "an empty server");
    assert_eq!(empty(|case| case.fold.totals.counts.skipped = 1).findings(), []);
    assert_eq!(empty(|case| case.result.coverage.complete = false).findings(), []);
    let rest = with_rules(|case| {
        case.fold.rules.remove(&2);
        case.spec().rules.policy.as_mut().unwrap().has_rest = true;
    });
    assert_eq!(rest.findings(), [], "the last one was added to count the keys of no rule");
}

#[test]
fn breaches_that_grew_since_a_run_of_the_same_rules() {
    let of = |breaches: u64| with_rules(|case| counts(case, 0).reported = breaches);
    let grown = |was: u64, is: u64, change: fn(&mut Case)| {
        let earlier = of(was);
        let result = CleanupResult {
            status: Status::Completed,
            started_at: "2026-11-24T00:00:00Z".to_owned(),
            ..earlier.result.clone()
        };
        let before = RulesBefore::of(earlier.fold.spec.unwrap(), result).unwrap();
        let now = of(is).with(|case| {
            case.context.rules_before = Some(before);
            change(case);
        });
        now.found(FindingKind::Recommendation, "rule-breaches-grew")
    };
    let found = grown(500, 601, |_| {}).unwrap();
    let message = "More keys break rule 1 (`cache:page:*`, owner web) than at the last run (500 → 601): look at what \
                   writes them";
    assert_eq!((found.message.as_str(), found.policy_rule), (message, pages()));
    assert_eq!(found.evidence["since"], json!("2026-11-24T00:00:00Z"));
    assert_eq!(grown(500, 600, |_| {}), None, "by 20 %");
    assert_eq!(grown(0, 99, |_| {}), None, "too few to be significant");
    assert!(grown(0, 100, |_| {}).is_some());
    assert_eq!(grown(900, 100, |_| {}), None);
    assert_eq!(grown(0, 900, |case| case.result.coverage.complete = false), None);
    let other = |case: &mut Case| {
        case.spec().rules.policy.as_mut().unwrap().rules[0].condition = Some("type = hash".to_owned());
    };
    assert_eq!(grown(0, 900, other), None, "the rule was another one");
    let partial = CleanupResult { status: Status::Partial, ..of(1).result };
    assert!(RulesBefore::of(of(1).fold.spec.unwrap(), partial).is_none());
}

#[test]
fn a_run_that_the_limit_of_a_rule_stopped_names_the_rule() {
    let stopped = |run_max, rule_max, kind| {
        with_rules(|case| {
            let spec = case.spec();
            spec.guards.deletions_max = run_max;
            spec.rule_deletions_max = vec![None, rule_max, None];
            let (keys, rule) = (50, Some(1));
            let batch = ListedBatch { batch: BatchId::new(), keys, deletes: keys, rule, digest: None };
            case.fold.batches.list(TaskId::new(), 0, &batch);
            // No reaper acts on it.
            let (run, node) = (RunId::new(), NodeId::new("n"));
            case.fold.batches.answer(&Receipt::whole(
                run,
                batch.batch,
                node,
                0,
                Outcome::Unreached,
                "stopped",
            ));
            case.fold.cancel = Some(Cancel { kind, cause: "too many".to_owned() });
            case.result.coverage.complete = false;
        })
        .found(FindingKind::Issue, "stopped")
        .unwrap()
    };
    let by_rule = stopped(Some(100), Some(40), CancelKind::Guard);
    assert_eq!(by_rule.policy_rule, name(2, "tmp:*", None));
    assert_eq!((&by_rule.evidence["keys"], &by_rule.evidence["limit"]), (&json!(50), &json!(40)));
    assert_eq!(stopped(Some(49), Some(40), CancelKind::Guard).policy_rule, None, "the limit of the run");
    assert_eq!(stopped(None, Some(50), CancelKind::Guard).policy_rule, None, "not more than the limit");
    assert_eq!(stopped(None, Some(40), CancelKind::Asked).policy_rule, None);
}
