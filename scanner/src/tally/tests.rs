//! What a tally counts, of which slots.

use keysweep_inspect::Miner;
use keysweep_model::limits::KEY_BYTES_MAX;
use keysweep_model::messages::Rules;
use keysweep_model::wire;
use keysweep_redis::WindowReply;

use super::*;
use crate::walk::ListedKey;

/// The keys of a tally by namespace, as its task reports them.
fn mined(tally: Tally) -> Miner {
    wire::decode(&tally.finish(|_| true).namespaces.unwrap()).unwrap()
}

fn rules() -> Rules {
    Rules::deleting(&["a*"], &["ap*"]).unwrap()
}

#[test]
fn counts_by_slot_and_drops_moved_slots() {
    let rules = rules();
    let selector = Classifier::new(&rules, None);
    let mut tally = Tally::new(Statistics::new(0, false, 0));
    let answers = WindowReply::of([(0, vec!["a1", "ap", "keysweep:lock:a", "a2", "b", "a1"])]);
    let places = answers.pages().next().unwrap().keys.to_vec();
    let listed = |(place, slot)| ListedKey { slot, place };
    let keys = places.into_iter().zip([1, 1, 1, 2, 2, 1]).map(listed).collect();
    let mut window = ListedWindow { answers, keys };
    tally.listed(&mut window, true, &selector);
    assert_eq!(window.keys().map(|(slot, _)| slot).collect::<Vec<_>>(), [1, 1, 2]);
    let looks = [Ttl::Persistent, Ttl::Persistent, Ttl::Remaining(500)].map(Look::only);
    tally.looked_up(&window, &looks, &selector);
    let Settlement { counts, candidates, statistics, .. } = tally.finish(|slot| slot == 1);
    let (stale, protected, stale_protected) = (2, 1, 1);
    let expected =
        ScanCounts { listed: 2, scanned: 2, stale, protected, stale_protected, ..ScanCounts::default() };
    assert_eq!(counts, expected);
    assert_eq!(statistics.dropped, 1);
    let (key, reason, fingerprint) = (Key::new(*b"a1"), Reason::Stale, None);
    let expected = Candidate { key, reason, rule: None, expires_at_ms: 0, fingerprint };
    assert_eq!(candidates.into_iter().collect::<Vec<_>>(), [(1, vec![expected])]);
}

#[test]
fn too_long_keys_are_listed_for_slots_that_count() {
    let rules = rules();
    let selector = Classifier::new(&rules, None);
    let mut tally = Tally::new(Statistics::new(0, false, 0));
    let long = format!("a{}", "x".repeat(KEY_BYTES_MAX));
    for slot in 0..DETAILS_MAX as u16 + 2 {
        let answers = WindowReply::of([(0, vec![long.as_str()])]);
        let place = answers.pages().next().unwrap().keys[0];
        let mut window = ListedWindow { answers, keys: vec![ListedKey { slot, place }] };
        tally.listed(&mut window, false, &selector);
        tally.looked_up(&window, &[Look::only(Ttl::Persistent)], &selector);
    }
    let settled = tally.finish(|slot| slot > 0);
    assert_eq!(
        (settled.counts.too_long, settled.candidates.values().flatten().count()),
        (DETAILS_MAX as u64 + 1, 0)
    );
    assert_eq!(settled.long_keys, vec![Key::new(long).shortened(40); DETAILS_MAX - 1]);
}

#[test]
fn keys_are_counted_by_namespace_if_the_run_asks() {
    let rules = rules();
    let selector = Classifier::new(&rules, None);
    let mut tally = Tally::new(Statistics::new(0, false, 0)).by_namespace(NamespaceScan::new(4, false));
    let answers = WindowReply::of([(0, vec!["a:1", "a:2", "a:3", "a:4"])]);
    let places = answers.pages().next().unwrap().keys.to_vec();
    let keys = places.into_iter().map(|place| ListedKey { slot: 1, place }).collect();
    let mut window = ListedWindow { answers, keys };
    tally.listed(&mut window, true, &selector);
    let looks = [Ttl::Persistent, Ttl::Remaining(500), Ttl::Gone, Ttl::FieldTtls].map(Look::only);
    tally.looked_up(&window, &looks, &selector);
    let found = mined(tally).namespaces(None);
    let rows: Vec<_> = found.rows.iter().map(|row| (row.template.as_str(), row.keys, row.no_ttl)).collect();
    assert_eq!(rows, [("a:{id}", 3, 1)]);
}

#[test]
fn restart_clears_all_but_the_lookups() {
    let lookups = Lookups::of(3, 1);
    let fresh = Tally::new(Statistics::new(0, false, 0)).by_namespace(NamespaceScan::new(4, false));
    let mut tally = Tally { lookups, candidate_bytes: 9, ..fresh };
    tally.namespaces.as_mut().unwrap().seen(b"a", Ttl::Persistent);
    tally.long_keys.push((7, "a".to_owned()));
    tally.slots.of(7).counts.listed = 2;
    tally.restart();
    assert_eq!((tally.lookups, tally.candidate_bytes), (lookups, 0));
    assert!(!tally.namespaces.as_ref().unwrap().are_enough(1), "no key waits to be measured");
    assert_eq!(
        mined(Tally { namespaces: tally.namespaces.take(), ..Tally::new(Statistics::new(0, false, 0)) })
            .keys(),
        0
    );
    let settled = tally.finish(|_| true);
    assert_eq!((settled.counts, settled.long_keys), (ScanCounts::default(), Vec::new()));
}
