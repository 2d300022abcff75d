//! Tests of the statistics of a task.

use keysweep_model::memory::ByteEstimate;
use keysweep_model::messages::Reason;
use keysweep_redis::memory_usage::KeyMemory;

use super::*;
use crate::classify::KeepReason;

/// The statistics of a task of `keys` keys, each of 100 bytes and every fourth of them reported.
fn measured(keys: u64, whole: bool) -> (usize, ScanStatistics) {
    fastrand::seed(7);
    let mut statistics = Statistics::new(keys, whole, 900_000);
    for n in 0..keys {
        let ttl = if n % 4 == 0 { Ttl::Persistent } else { Ttl::Remaining(60_000) };
        let stale = Classification::Candidate(Reason::Stale, Treatment::Reported);
        let verdict = if n % 4 == 0 { stale } else { Classification::Keep(KeepReason::Normal) };
        statistics.seen(format!("a:{n}").as_bytes(), ttl, verdict);
    }
    let waited = statistics.waiting();
    // In the last fifth of 900 s for 120 s; used 10 s ago, which is within it.
    let memories: Vec<KeyMemory> = statistics
        .next_to_measure(usize::MAX)
        .iter()
        .map(|query| KeyMemory { bytes: Some(100), idle_s: query.idle.then_some(10), kind: None })
        .collect();
    statistics.measured(&Found { memories, ..Found::default() });
    (waited, statistics.finish(3))
}

#[test]
fn a_sample_represents_all_keys() {
    let keys = 40_000;
    let (waited, found) = measured(keys, false);
    // The first keys, and one in a hundred of the others.
    assert!((400..600).contains(&waited), "{waited} keys are measured");
    let rows = found.memory_by_prefix.rows(None);
    let [(name, row)] = rows.as_slice() else { panic!("{rows:?}") };
    // All measured keys are alike. A few others may be tiny.
    assert_eq!((name.as_str(), row.estimate), ("a:", 100 * keys));
    assert!((98 * keys..100 * keys).contains(&row.low), "{row:?}");
    assert_eq!((row.high, row.samples), (None, waited as u64));
    assert_eq!(found.reported.all(None).estimate, 25 * keys);
    assert_eq!((found.late, found.late_used), (LATE_SAMPLES, LATE_SAMPLES));
    assert_eq!((found.keys.total(), found.dropped), (keys, 3));
    assert_eq!(found.ttls.count(), keys * 3 / 4);
    assert_eq!(found.examples.keys().collect::<Vec<_>>(), ["a:"]);
}

#[test]
fn all_keys_of_a_small_run_are_measured() {
    let (waited, found) = measured(3_000, true);
    assert_eq!(waited, 3_000);
    let exact = |bytes, samples| ByteEstimate { estimate: bytes, low: bytes, high: Some(bytes), samples };
    assert_eq!(found.memory_by_prefix.all(None), exact(300_000, 3_000));
    assert_eq!(found.memory_by_prefix.rows(None), [("a:".to_owned(), exact(300_000, 3_000))]);
    assert_eq!(found.reported.all(None), exact(75_000, 750));
}

#[test]
fn measuring_stops_after_the_server_denies_it() {
    let mut statistics = Statistics::new(100, true, 0);
    let seen = |statistics: &mut Statistics| {
        statistics.seen(b"a:1", Ttl::Persistent, Classification::Keep(KeepReason::Normal));
    };
    seen(&mut statistics);
    let refused = Some("no rights".to_owned());
    statistics.measured(&Found { memories: vec![KeyMemory::default()], refused, ..Found::default() });
    seen(&mut statistics);
    assert_eq!(statistics.waiting(), 0);
    let found = statistics.finish(0);
    assert_eq!(
        (found.refused.as_deref(), found.memory_by_prefix),
        (Some("no rights"), PrefixMemory::unknown())
    );
}
