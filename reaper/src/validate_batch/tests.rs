//! Tests each rule with a batch that complies with all others.

use std::sync::Arc;

use keysweep_model::glob::Pattern;
use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::key::Key;
use keysweep_model::key_template::KeyTemplate;
use keysweep_model::messages::{Action, ActivityRule, InactiveRule, Policy, RuleAction, Rules, StatedRule};
use keysweep_model::slot::SlotSet;
use keysweep_runtime::activity::ActiveUsers;

use super::*;

fn spec() -> RunSpec {
    let rules = Rules {
        sources: vec![Key::new(*b"permissions:warm")],
        ..Rules::deleting(&["permissions:*", "keysweep*"], &["permissions:system:*"]).unwrap()
    };
    RunSpec { cluster: true, ..RunSpec::plain(RunId::new(), rules) }
}

/// The same run, which also looks for inactive users.
fn aggressive(activity: ActivityRule) -> RunSpec {
    let mut spec = spec();
    let identity = "permissions:{user}:*".to_owned();
    spec.rules.inactive = Some(InactiveRule { identity, near_expiry_ms: 5, threshold_ms: 7, activity });
    spec
}

/// A batch with one group per key.
fn batch(spec: &RunSpec, reason: Reason, keys: &[&str]) -> ReapBatch {
    let group = |key: &&str| Group {
        slot: if spec.cluster { slot_of(key.as_bytes()) } else { 0 },
        reason,
        keys: vec![Key::new(key.as_bytes())],
        expires_at_ms: if reason.is_timed() { vec![9] } else { Vec::new() },
        fingerprints: Vec::new(),
    };
    ReapBatch {
        run: spec.run,
        batch: BatchId::new(),
        task: TaskId::new(),
        alias: spec.alias.clone(),
        node: NodeId::new("n"),
        not_before_ms: 1_000,
        not_after_ms: 1_000 + BATCH_LIFE.as_millis() as u64,
        scan_generation: 0,
        ledger_keys: spec.ledger_keys(),
        rule: None,
        groups: keys.iter().map(group).collect(),
    }
}

/// The grant for a report that lists `batch` as it is.
fn grant(spec: &RunSpec, batch: &ReapBatch) -> Grant {
    Grant {
        run: batch.run,
        task: batch.task,
        node: batch.node.clone(),
        scan_generation: batch.scan_generation,
        slots: SlotSet::all(),
        batches: vec![ListedBatch::of(batch, spec.rules.action)],
    }
}

#[track_caller]
fn check_batch(batch: &ReapBatch, spec: &RunSpec, activity: Option<&Activity>, what: Option<&str>) {
    let grant = &grant(spec, batch);
    match (check(batch, Allowed { spec, rules: None, grant, activity }), what) {
        (Ok(()), None) => {}
        (Err(error), Some(what)) if error.contains(what) => {}
        (found, what) => panic!("{found:?}, and not {what:?}"),
    }
}

#[track_caller]
fn refuses(batch: &ReapBatch, spec: &RunSpec, what: &str) {
    check_batch(batch, spec, None, Some(what));
}

#[test]
fn only_matching_unprotected_keys_may_be_deleted() {
    let spec = spec();
    let stale = |keys: &[&str]| batch(&spec, Reason::Stale, keys);
    check_batch(&stale(&["permissions:1", "permissions:2"]), &spec, None, None);
    refuses(&stale(&["permissions:1", "session:1"]), &spec, "matches no pattern");
    refuses(&stale(&["permissions:system:1"]), &spec, "is protected");
    refuses(&stale(&["permissions:warm"]), &spec, "matches no pattern");
    refuses(&stale(&["keysweep:lock:job"]), &spec, "matches no pattern");
    let mut twice = stale(&["permissions:1"]);
    twice.groups[0].keys.push(Key::new(*b"permissions:1"));
    refuses(&twice, &spec, "contains a key twice");
}

#[test]
fn slots_match_the_keys_and_the_task() {
    let spec = spec();
    let good = batch(&spec, Reason::Stale, &["permissions:1"]);
    let mut moved = good.clone();
    moved.groups[0].slot += 1;
    refuses(&moved, &spec, "belongs to another slot");
    let other = Grant { slots: std::iter::once(moved.groups[0].slot).collect(), ..grant(&spec, &good) };
    let error =
        check(&good, Allowed { spec: &spec, rules: None, grant: &other, activity: None }).unwrap_err();
    assert!(error.contains("does not belong to its task"), "{error}");
    let standalone = RunSpec { cluster: false, ..spec };
    refuses(&good, &standalone, "does not belong to its task");
    check_batch(&batch(&standalone, Reason::Stale, &["permissions:1"]), &standalone, None, None);
}

#[test]
fn a_batch_is_limited_to_the_actions_and_time_of_its_run() {
    let spec = spec();
    let good = batch(&spec, Reason::Stale, &["permissions:1"]);
    refuses(&good, &RunSpec { dry_run: true, ..spec.clone() }, "only reports");
    let rules = Rules { action: Action::Report, ..spec.rules.clone() };
    refuses(&good, &RunSpec { rules, ..spec.clone() }, "only reports");
    refuses(&ReapBatch { alias: Alias::new("other"), ..good.clone() }, &spec, "another Redis deployment");
    let longer = good.not_after_ms + 1;
    refuses(&ReapBatch { not_after_ms: longer, ..good.clone() }, &spec, "longer than allowed");
    refuses(&ReapBatch { not_after_ms: u64::MAX, ..good.clone() }, &spec, "longer than allowed");
    let mut large = good;
    let key = |n: usize| Key::new(format!("permissions:{{1}}:{n}").as_bytes());
    large.groups[0].keys = (0..101).map(key).collect();
    refuses(&large, &spec, "larger than the run allows");
}

#[test]
fn a_batch_must_match_its_report() {
    let rules = Rules { action: Action::Expire { ttl_ms: 1, jitter_ms: 0 }, ..spec().rules };
    for spec in [spec(), RunSpec { rules, ..spec() }] {
        let good = batch(&spec, Reason::Stale, &["permissions:1", "permissions:2"]);
        let correct = grant(&spec, &good);
        let refuses = |grant: Grant, what: &str| {
            let error = check(&good, Allowed { spec: &spec, rules: None, grant: &grant, activity: None })
                .unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        let counted = "its number of keys differs";
        for (keys, deletes) in [(0, 0), (1, 1), (3, 3), (2, 1), (4_000, 4_000)] {
            let batches = vec![ListedBatch { batch: good.batch, keys, deletes, rule: None, digest: None }];
            refuses(Grant { batches, ..correct.clone() }, counted);
        }
        refuses(Grant { batches: Vec::new(), ..correct.clone() }, counted);
        refuses(Grant { scan_generation: 1, ..correct.clone() }, "node or scan generation differs");
        refuses(Grant { node: NodeId::new("m"), ..correct }, "node or scan generation differs");
    }
}

#[test]
fn keys_of_inactive_users_are_checked_against_the_runs_users() {
    let keys = ["permissions:bob:x"];
    // A run that only looks for stale keys.
    refuses(&batch(&spec(), Reason::Inactive, &keys), &spec(), "does not look for inactive users");
    let mut users = ActiveUsers::gather();
    ["alice", "a:b"].into_iter().for_each(|id| users.add(id.as_bytes()));
    let (template, users) = (KeyTemplate::parse("permissions:{user}:*").unwrap(), users.finish());
    let spec = aggressive(users.rule());
    let activity = Activity { near_expiry_ms: 5, who: ActivityFilter::Users(template, Arc::new(users)) };
    let inactive = |key: &str, what| {
        check_batch(&batch(&spec, Reason::Inactive, &[key]), &spec, Some(&activity), what);
    };
    inactive("permissions:bob:x", None);
    let unknown = Some("not known to belong to an inactive user");
    inactive("permissions:alice:x", unknown);
    inactive("permissions:ALICE:x", unknown);
    inactive("permissions:a:b:c", unknown);
    inactive("permissions:bob", unknown);
    inactive("permissions:system:x", Some("is protected"));
    // Without the active users, no such key is accepted. Stale keys may belong to any user.
    refuses(&batch(&spec, Reason::Inactive, &keys), &spec, "does not look for inactive users");
    check_batch(&batch(&spec, Reason::Stale, &["permissions:alice:x"]), &spec, Some(&activity), None);
    let idle = aggressive(ActivityRule::Idle);
    let by_server = Activity { near_expiry_ms: 5, who: ActivityFilter::Idle(7) };
    check_batch(&batch(&idle, Reason::Inactive, &["permissions:bob"]), &idle, Some(&by_server), None);
}

/// A run with a rule of each kind.
fn ruled() -> (RunSpec, RuleSet) {
    let rule = |name: &str, change: fn(&mut StatedRule)| {
        let mut rule = StatedRule { matching: vec![Pattern::new(name).unwrap()], ..StatedRule::default() };
        change(&mut rule);
        rule
    };
    let rules = vec![
        rule("a:*", |rule| rule.durable = true),
        rule("b:*", |rule| {
            (rule.action, rule.condition) =
                (Some(RuleAction::Delete), Some("ttl > 1d or ttl = none".to_owned()));
        }),
        rule("c:*", |rule| rule.ttl_ms = Some(60_000)),
        rule("d:*", |rule| rule.max_ttl_ms = Some(60_000)),
        rule("e:*", |rule| rule.action = Some(RuleAction::Report)),
        rule("f:*", |rule| rule.action = Some(RuleAction::Delete)),
    ];
    let set = RuleSet::new(&rules).unwrap();
    let policy = Some(Policy { rules, ..Policy::default() });
    let rules = Rules { policy, action: Action::Report, ..Rules::deleting(&[], &[]).unwrap() };
    (RunSpec { cluster: true, ..RunSpec::plain(RunId::new(), rules) }, set)
}

#[test]
fn a_batch_of_a_rule_has_only_what_the_rule_allows() {
    let (spec, set) = ruled();
    let check_rule = |rule: Option<u16>, reason: Reason, key: &str, expected: Option<&str>| {
        let batch = ReapBatch { rule, ..batch(&spec, reason, &[key]) };
        let action = rule.and_then(|rule| set.rule(rule)).map_or(Action::Report, Rule::action);
        let grant = Grant { batches: vec![ListedBatch::of(&batch, action)], ..grant(&spec, &batch) };
        let found = check(&batch, Allowed { spec: &spec, rules: Some(&set), grant: &grant, activity: None });
        match (found, expected) {
            (Ok(()), None) => {}
            (Err(error), Some(expected)) => assert!(error.contains(expected), "{rule:?} {key}: {error}"),
            (found, expected) => panic!("{rule:?} {reason:?} {key}: {found:?}, and not {expected:?}"),
        }
    };
    let (nothing, other) = (Some("does nothing with keys"), Some("does not belong to its rule"));
    check_rule(Some(1), Reason::Stale, "b:1", None);
    check_rule(Some(1), Reason::Expiring, "b:1", None);
    check_rule(Some(1), Reason::LongTtl, "b:1", nothing);
    check_rule(Some(1), Reason::Inactive, "b:1", nothing);
    check_rule(Some(1), Reason::Stale, "c:1", other);
    check_rule(Some(1), Reason::Stale, "other", other);
    check_rule(Some(2), Reason::Stale, "c:1", None);
    check_rule(Some(2), Reason::Expiring, "c:1", nothing);
    check_rule(Some(2), Reason::LongTtl, "c:1", nothing);
    check_rule(Some(3), Reason::LongTtl, "d:1", None);
    check_rule(Some(3), Reason::Stale, "d:1", nothing);
    check_rule(Some(5), Reason::Stale, "f:1", None);
    // Only a condition on TTLs takes keys that have one.
    check_rule(Some(5), Reason::Expiring, "f:1", nothing);
    for durable_or_reported in [0, 4] {
        let key = if durable_or_reported == 0 { "a:1" } else { "e:1" };
        for reason in Reason::ALL {
            check_rule(Some(durable_or_reported), reason, key, nothing);
        }
    }
    check_rule(None, Reason::Stale, "b:1", Some("has no rule of its run"));
    check_rule(Some(6), Reason::Stale, "b:1", Some("has no rule of its run"));
    // The short form has no rules, and no keys that only rules take.
    let short = self::spec();
    let of_rule = ReapBatch { rule: Some(0), ..batch(&short, Reason::Stale, &["permissions:1"]) };
    refuses(&of_rule, &short, "has no rule of its run");
    for reason in [Reason::Expiring, Reason::LongTtl] {
        refuses(&batch(&short, reason, &["permissions:1"]), &short, "does nothing with keys");
    }
}
