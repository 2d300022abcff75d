//! Each rule, by a batch that keeps to all the others.

use std::sync::Arc;

use shared::activity::ActiveUsers;
use shared::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use shared::key::Key;
use shared::key_template::KeyTemplate;
use shared::messages::{ActivityRule, InactiveRule, Rules};
use shared::slot::SlotSet;

use super::*;

fn spec() -> RunSpec {
    let rules = Rules {
        sources: vec![Key::new(*b"permissions:warm")],
        ..Rules::deleting(&["permissions:*", "keysweep*"], &["permissions:system:*"]).unwrap()
    };
    RunSpec { cluster: true, ..RunSpec::plain(RunId::new(), rules) }
}

/// The same, which looks for inactive users as well.
fn aggressive(activity: ActivityRule) -> RunSpec {
    let mut spec = spec();
    let identity = "permissions:{user}:*".to_owned();
    spec.rules.inactive = Some(InactiveRule { identity, near_expiry_ms: 5, threshold_ms: 7, activity });
    spec
}

/// A group per key.
fn batch(spec: &RunSpec, reason: Reason, keys: &[&str]) -> ReapBatch {
    let group = |key: &&str| Group {
        slot: if spec.cluster { slot_of(key.as_bytes()) } else { 0 },
        reason,
        keys: vec![Key::new(key.as_bytes())],
        expires_at_ms: if reason == Reason::Inactive { vec![9] } else { Vec::new() },
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
        groups: keys.iter().map(group).collect(),
    }
}

/// What the driver of the run would grant, if a report listed `batch` as it is.
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
fn judged(batch: &ReapBatch, spec: &RunSpec, activity: Option<&Activity>, what: Option<&str>) {
    match (check(batch, spec, &grant(spec, batch), activity), what) {
        (Ok(()), None) => {}
        (Err(said), Some(what)) if said.contains(what) => {}
        (found, what) => panic!("{found:?}, and not {what:?}"),
    }
}

#[track_caller]
fn refuses(batch: &ReapBatch, spec: &RunSpec, what: &str) {
    judged(batch, spec, None, Some(what));
}

#[test]
fn only_what_the_run_matches_may_be_deleted() {
    let spec = spec();
    let stale = |keys: &[&str]| batch(&spec, Reason::Stale, keys);
    judged(&stale(&["permissions:1", "permissions:2"]), &spec, None, None);
    refuses(&stale(&["permissions:1", "session:1"]), &spec, "matches no pattern");
    refuses(&stale(&["permissions:system:1"]), &spec, "is protected");
    refuses(&stale(&["permissions:warm"]), &spec, "matches no pattern");
    refuses(&stale(&["keysweep:lock:job"]), &spec, "matches no pattern");
    let mut twice = stale(&["permissions:1"]);
    twice.groups[0].keys.push(Key::new(*b"permissions:1"));
    refuses(&twice, &spec, "stands in it twice");
}

#[test]
fn slots_are_those_of_the_keys_and_of_the_task() {
    let spec = spec();
    let good = batch(&spec, Reason::Stale, &["permissions:1"]);
    let mut moved = good.clone();
    moved.groups[0].slot += 1;
    refuses(&moved, &spec, "of another slot");
    let elsewhere = Grant { slots: std::iter::once(moved.groups[0].slot).collect(), ..grant(&spec, &good) };
    let said = check(&good, &spec, &elsewhere, None).unwrap_err();
    assert!(said.contains("not one of its task"), "{said}");
    let standalone = RunSpec { cluster: false, ..spec };
    refuses(&good, &standalone, "not one of its task");
    judged(&batch(&standalone, Reason::Stale, &["permissions:1"]), &standalone, None, None);
}

#[test]
fn a_batch_does_no_more_than_its_run_and_for_no_longer() {
    let spec = spec();
    let good = batch(&spec, Reason::Stale, &["permissions:1"]);
    refuses(&good, &RunSpec { dry_run: true, ..spec.clone() }, "only reports");
    let rules = Rules { action: Action::Report, ..spec.rules.clone() };
    refuses(&good, &RunSpec { rules, ..spec.clone() }, "only reports");
    refuses(&ReapBatch { alias: Alias::new("other"), ..good.clone() }, &spec, "another deployment");
    let longer = good.not_after_ms + 1;
    refuses(&ReapBatch { not_after_ms: longer, ..good.clone() }, &spec, "for longer");
    refuses(&ReapBatch { not_after_ms: u64::MAX, ..good.clone() }, &spec, "for longer");
    let mut large = good;
    let key = |n: usize| Key::new(format!("permissions:{{1}}:{n}").as_bytes());
    large.groups[0].keys = (0..101).map(key).collect();
    refuses(&large, &spec, "larger than the run allows");
}

#[test]
fn a_batch_is_as_its_report_lists_it() {
    let rules = Rules { action: Action::Expire { ttl_ms: 1, jitter_ms: 0 }, ..spec().rules };
    for spec in [spec(), RunSpec { rules, ..spec() }] {
        let good = batch(&spec, Reason::Stale, &["permissions:1", "permissions:2"]);
        let honest = grant(&spec, &good);
        let refuses = |grant: Grant, what: &str| {
            let said = check(&good, &spec, &grant, None).unwrap_err();
            assert!(said.contains(what), "{said}");
        };
        let counted = "another number of keys";
        for (keys, deletes) in [(0, 0), (1, 1), (3, 3), (2, 1), (4_000, 4_000)] {
            let batches = vec![ListedBatch { batch: good.batch, keys, deletes, digest: None }];
            refuses(Grant { batches, ..honest.clone() }, counted);
        }
        refuses(Grant { batches: Vec::new(), ..honest.clone() }, counted);
        refuses(Grant { scan_generation: 1, ..honest.clone() }, "another node or round");
        refuses(Grant { node: NodeId::new("m"), ..honest }, "another node or round");
    }
}

#[test]
fn keys_of_inactive_users_are_judged_by_the_runs_own_users() {
    let keys = ["permissions:bob:x"];
    // A run that looks for stale keys alone.
    refuses(&batch(&spec(), Reason::Inactive, &keys), &spec(), "does not look for inactive users");
    let mut users = ActiveUsers::gather();
    ["alice", "a:b"].into_iter().for_each(|id| users.add(id.as_bytes()));
    let (template, users) = (KeyTemplate::parse("permissions:{user}:*").unwrap(), users.finish());
    let spec = aggressive(users.rule());
    let activity = Activity { near_expiry_ms: 5, who: ActivityFilter::Users(template, Arc::new(users)) };
    let inactive = |key: &str, what| {
        judged(&batch(&spec, Reason::Inactive, &[key]), &spec, Some(&activity), what);
    };
    inactive("permissions:bob:x", None);
    let unknown = Some("not known to be one of an inactive user");
    inactive("permissions:alice:x", unknown);
    inactive("permissions:ALICE:x", unknown);
    inactive("permissions:a:b:c", unknown);
    inactive("permissions:bob", unknown);
    inactive("permissions:system:x", Some("is protected"));
    // Without the users, nothing is believed. Stale keys may be anybody's.
    refuses(&batch(&spec, Reason::Inactive, &keys), &spec, "does not look for inactive users");
    judged(&batch(&spec, Reason::Stale, &["permissions:alice:x"]), &spec, Some(&activity), None);
    let idle = aggressive(ActivityRule::Idle);
    let by_server = Activity { near_expiry_ms: 5, who: ActivityFilter::Idle(7) };
    judged(&batch(&idle, Reason::Inactive, &["permissions:bob"]), &idle, Some(&by_server), None);
}
