//! The order in which notifications are delivered to receivers, and their retries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keysweep_model::metrics::{Alert, Severity};
use keysweep_storage::alerts::{AlertStore, AlertTransition};
use reporter::alerts::outbox::{Claim, DeliveryResult, Receivers, claim, pause, prune, record_delivery};
use reporter::limits::{NOTIFICATION_CLAIM, NOTIFICATION_LIFE, NOTIFICATION_PAUSE_MAX};

const FIRST: Duration = Duration::from_secs(10);

fn alert(name: &str) -> Alert {
    Alert {
        id: uuid::Uuid::now_v7(),
        alert: name.to_owned(),
        job: "j".to_owned(),
        severity: Severity::Warning,
        message: String::new(),
        since: String::new(),
        evidence: BTreeMap::new(),
        policy_rule: None,
    }
}

fn receivers(names: &[&str], all: bool) -> Receivers {
    Receivers { names: names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), all }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// The content of the claims: receiver, alert, change.
fn shown(claims: &[Claim]) -> Vec<(&str, &str, AlertTransition)> {
    claims
        .iter()
        .map(|claim| {
            (claim.receiver.as_str(), claim.notification.alert.alert.as_str(), claim.notification.change)
        })
        .collect()
}

#[test]
fn notifications_of_one_alert_are_delivered_in_order() {
    let (mut book, hook) = (AlertStore::default(), receivers(&["a", "b"], true));
    let (stale, failed) = (alert("stale-keys"), alert("failed-runs"));
    book.add(AlertTransition::Raised, stale.clone(), 1);
    book.add(AlertTransition::Resolved, stale, 1);
    book.add(AlertTransition::Raised, failed, 1);
    assert_eq!(book.outbox.iter().map(|notice| notice.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    let claims = claim(&mut book, &hook, 10);
    let expected = |name| {
        [(name, "stale-keys", AlertTransition::Raised), (name, "failed-runs", AlertTransition::Raised)]
    };
    assert_eq!(shown(&claims), [expected("a"), expected("b")].concat());
    assert_eq!(claim(&mut book, &hook, 10), [], "another process finds no unclaimed delivery");
    // One receiver is down; the other one does not wait for it.
    for claim in &claims {
        let tried = if claim.receiver == "a" { DeliveryResult::Delivered } else { DeliveryResult::Failed };
        record_delivery(&mut book, claim, tried, 20, FIRST);
    }
    let next = claim(&mut book, &hook, 20);
    assert_eq!(shown(&next), [("a", "stale-keys", AlertTransition::Resolved)]);
    record_delivery(&mut book, &next[0], DeliveryResult::Delivered, 21, FIRST);
    assert_eq!(claim(&mut book, &hook, 20 + ms(FIRST) - 1), []);
    let next = claim(&mut book, &hook, 20 + ms(FIRST));
    assert_eq!(shown(&next), expected("b"), "raised is delivered first, although the alert is resolved");
    for claim in &next {
        record_delivery(&mut book, claim, DeliveryResult::Delivered, 30_000, FIRST);
    }
    let last = claim(&mut book, &hook, 30_000);
    assert_eq!(shown(&last), [("b", "stale-keys", AlertTransition::Resolved)]);
    record_delivery(&mut book, &last[0], DeliveryResult::Delivered, 30_001, FIRST);
    prune(&mut book, &hook, 30_001);
    assert_eq!(book.outbox, []);
}

#[test]
fn an_expired_claim_is_released_and_late_results_are_harmless() {
    let (mut book, hook) = (AlertStore::default(), receivers(&["a"], true));
    book.add(AlertTransition::Raised, alert("stale-keys"), 1_000);
    let lost = claim(&mut book, &hook, 1_000);
    assert_eq!(claim(&mut book, &hook, 1_000 + ms(NOTIFICATION_CLAIM)), []);
    let after = 1_001 + ms(NOTIFICATION_CLAIM);
    let taken = claim(&mut book, &hook, after);
    assert_eq!(taken.len(), 1);
    record_delivery(&mut book, &lost[0], DeliveryResult::Failed, after + 1, FIRST);
    assert_eq!(claim(&mut book, &hook, after + 2), [], "it is still claimed");
    record_delivery(&mut book, &taken[0], DeliveryResult::Delivered, after + 3, FIRST);
    record_delivery(&mut book, &lost[0], DeliveryResult::Failed, after + 4, FIRST);
    assert_eq!(claim(&mut book, &hook, after * 2), [], "delivered stays delivered");
}

#[test]
fn refused_is_permanent_and_failures_are_retried_for_a_day() {
    let (mut book, hook) = (AlertStore::default(), receivers(&["a", "b"], false));
    book.add(AlertTransition::Raised, alert("stale-keys"), 1_000);
    let claims = claim(&mut book, &hook, 1_000);
    record_delivery(&mut book, &claims[0], DeliveryResult::Refused, 1_000, FIRST);
    record_delivery(&mut book, &claims[1], DeliveryResult::Failed, 1_000, FIRST);
    assert_eq!(claim(&mut book, &hook, 999 + ms(FIRST)), [], "not before the delay");
    let (mut now, mut tries) = (1_000 + ms(FIRST), 1);
    let mut pauses = Vec::new();
    loop {
        let claims = claim(&mut book, &hook, now);
        let [again] = claims.as_slice() else { break };
        assert_eq!(again.receiver, "b");
        record_delivery(&mut book, again, DeliveryResult::Failed, now, FIRST);
        tries += 1;
        pauses.push(pause(tries, FIRST).as_secs());
        now += ms(pause(tries, FIRST));
    }
    assert_eq!(pauses[..6], [20, 40, 80, 160, 300, 300]);
    assert!(
        now - 1_000 > ms(NOTIFICATION_LIFE)
            && now - 1_000 < ms(NOTIFICATION_LIFE) + 2 * ms(NOTIFICATION_PAUSE_MAX)
    );
    assert_eq!(book.outbox, []);
}

/// A process that knows no webhook leaves the notifications to those that do.
#[test]
fn a_process_without_webhooks_drops_nothing() {
    let (mut book, none) = (AlertStore::default(), receivers(&["events"], false));
    book.add(AlertTransition::Raised, alert("stale-keys"), 1_000);
    let claims = claim(&mut book, &none, 1_000);
    record_delivery(&mut book, &claims[0], DeliveryResult::Delivered, 1_000, FIRST);
    prune(&mut book, &none, 2_000);
    let claims = claim(&mut book, &receivers(&["events", "generic http://h/***"], true), 2_000);
    assert_eq!(shown(&claims), [("generic http://h/***", "stale-keys", AlertTransition::Raised)]);
}

/// A delay recorded by a clock that was an hour ahead.
#[test]
fn a_time_too_far_in_the_future_is_ignored() {
    let (mut book, hook) = (AlertStore::default(), receivers(&["a"], true));
    book.add(AlertTransition::Raised, alert("stale-keys"), 1_000);
    let claims = claim(&mut book, &hook, 3_600_000);
    record_delivery(&mut book, &claims[0], DeliveryResult::Failed, 3_600_000, FIRST);
    assert_eq!(claim(&mut book, &hook, 1_000).len(), 1);
}
