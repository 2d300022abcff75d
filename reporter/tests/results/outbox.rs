//! In which order notices go to whom, and when they are tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reporter::alerts::outbox::{Claim, Receivers, Tried, claim, pause, settle, tidy};
use shared::alerts::{Book, Change};
use shared::limits::{NOTICE_CLAIM, NOTICE_LIFE, NOTICE_PAUSE_MAX};
use shared::metrics::{Alert, Severity};

const FIRST: Duration = Duration::from_secs(10);

fn alert(name: &str) -> Alert {
    Alert {
        id: uuid::Uuid::now_v7(),
        alert: name.to_owned(),
        job: "j".to_owned(),
        severity: Severity::Warning,
        sentence: String::new(),
        since: String::new(),
        evidence: BTreeMap::new(),
    }
}

fn receivers(names: &[&str], all: bool) -> Receivers {
    Receivers { names: names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), all }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// What a claim is about: receiver, alert, change.
fn shown(claims: &[Claim]) -> Vec<(&str, &str, Change)> {
    claims
        .iter()
        .map(|claim| (claim.receiver.as_str(), claim.notice.alert.alert.as_str(), claim.notice.change))
        .collect()
}

#[test]
fn of_one_alert_the_next_notice_waits_for_the_one_before() {
    let (mut book, hook) = (Book::default(), receivers(&["a", "b"], true));
    let (stale, failed) = (alert("stale-keys"), alert("failed-runs"));
    book.add(Change::Raised, stale.clone(), 1);
    book.add(Change::Resolved, stale, 1);
    book.add(Change::Raised, failed, 1);
    assert_eq!(book.outbox.iter().map(|notice| notice.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    let claims = claim(&mut book, &hook, 10);
    let expected = |name| [(name, "stale-keys", Change::Raised), (name, "failed-runs", Change::Raised)];
    assert_eq!(shown(&claims), [expected("a"), expected("b")].concat());
    assert_eq!(claim(&mut book, &hook, 10), [], "another process finds them claimed");
    // One receiver is down; the other one does not wait for it.
    for claim in &claims {
        let tried = if claim.receiver == "a" { Tried::Delivered } else { Tried::Failed };
        settle(&mut book, claim, tried, 20, FIRST);
    }
    let next = claim(&mut book, &hook, 20);
    assert_eq!(shown(&next), [("a", "stale-keys", Change::Resolved)]);
    settle(&mut book, &next[0], Tried::Delivered, 21, FIRST);
    assert_eq!(claim(&mut book, &hook, 20 + ms(FIRST) - 1), []);
    let next = claim(&mut book, &hook, 20 + ms(FIRST));
    assert_eq!(shown(&next), expected("b"), "raised, although it is resolved: it goes first");
    for claim in &next {
        settle(&mut book, claim, Tried::Delivered, 30_000, FIRST);
    }
    let last = claim(&mut book, &hook, 30_000);
    assert_eq!(shown(&last), [("b", "stale-keys", Change::Resolved)]);
    settle(&mut book, &last[0], Tried::Delivered, 30_001, FIRST);
    tidy(&mut book, &hook, 30_001);
    assert_eq!(book.outbox, []);
}

#[test]
fn a_claim_ends_with_its_process_and_late_news_of_it_does_no_harm() {
    let (mut book, hook) = (Book::default(), receivers(&["a"], true));
    book.add(Change::Raised, alert("stale-keys"), 1_000);
    let lost = claim(&mut book, &hook, 1_000);
    assert_eq!(claim(&mut book, &hook, 1_000 + ms(NOTICE_CLAIM)), []);
    let after = 1_001 + ms(NOTICE_CLAIM);
    let taken = claim(&mut book, &hook, after);
    assert_eq!(taken.len(), 1);
    settle(&mut book, &lost[0], Tried::Failed, after + 1, FIRST);
    assert_eq!(claim(&mut book, &hook, after + 2), [], "it is still the other one's");
    settle(&mut book, &taken[0], Tried::Delivered, after + 3, FIRST);
    settle(&mut book, &lost[0], Tried::Failed, after + 4, FIRST);
    assert_eq!(claim(&mut book, &hook, after * 2), [], "what was delivered stays so");
}

#[test]
fn refused_is_for_good_and_failed_for_a_day() {
    let (mut book, hook) = (Book::default(), receivers(&["a", "b"], false));
    book.add(Change::Raised, alert("stale-keys"), 1_000);
    let claims = claim(&mut book, &hook, 1_000);
    settle(&mut book, &claims[0], Tried::Refused, 1_000, FIRST);
    settle(&mut book, &claims[1], Tried::Failed, 1_000, FIRST);
    assert_eq!(claim(&mut book, &hook, 999 + ms(FIRST)), [], "not before its time");
    let (mut now, mut tries) = (1_000 + ms(FIRST), 1);
    let mut pauses = Vec::new();
    loop {
        let claims = claim(&mut book, &hook, now);
        let [again] = claims.as_slice() else { break };
        assert_eq!(again.receiver, "b");
        settle(&mut book, again, Tried::Failed, now, FIRST);
        tries += 1;
        pauses.push(pause(tries, FIRST).as_secs());
        now += ms(pause(tries, FIRST));
    }
    assert_eq!(pauses[..6], [20, 40, 80, 160, 300, 300]);
    assert!(now - 1_000 > ms(NOTICE_LIFE) && now - 1_000 < ms(NOTICE_LIFE) + 2 * ms(NOTICE_PAUSE_MAX));
    assert_eq!(book.outbox, []);
}

/// A process that knows no hook leaves the notices to those that do.
#[test]
fn whoever_knows_no_hook_drops_nothing() {
    let (mut book, none) = (Book::default(), receivers(&["events"], false));
    book.add(Change::Raised, alert("stale-keys"), 1_000);
    let claims = claim(&mut book, &none, 1_000);
    settle(&mut book, &claims[0], Tried::Delivered, 1_000, FIRST);
    tidy(&mut book, &none, 2_000);
    let claims = claim(&mut book, &receivers(&["events", "generic http://h/***"], true), 2_000);
    assert_eq!(shown(&claims), [("generic http://h/***", "stale-keys", Change::Raised)]);
}

/// A pause by a clock that was an hour ahead.
#[test]
fn a_time_that_is_too_far_off_is_not_waited_for() {
    let (mut book, hook) = (Book::default(), receivers(&["a"], true));
    book.add(Change::Raised, alert("stale-keys"), 1_000);
    let claims = claim(&mut book, &hook, 3_600_000);
    settle(&mut book, &claims[0], Tried::Failed, 3_600_000, FIRST);
    assert_eq!(claim(&mut book, &hook, 1_000).len(), 1);
}
