//! Windows over samples: own and other clients' lookups, concurrent runs, resets, restarts, failovers, application
//! counters.

use keysweep_model::counters::{CommandCounts, Counters, NodeCounters};
use keysweep_model::ids::{Alias, NodeId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::{HitRateSource, Lookups};
use keysweep_model::metrics::HitRateWindow;
use keysweep_storage::counter_snapshot::{CounterSnapshot, RunReads, SnapshotPhase};
use proptest::collection::vec;
use proptest::prelude::*;
use reporter::hit_rate::CounterSnapshots;

const HOUR_MS: u64 = 3_600_000;

/// A sample of one node of process `p`.
fn sample(at_ms: u64, hits: u64, misses: u64) -> CounterSnapshot {
    let reading = NodeCounters {
        node: NodeId::new("n"),
        process: "p".to_owned(),
        uptime_s: 1_000_000,
        lookups: Lookups::of(hits, misses),
        commands: Some(CommandCounts::default()),
        own_before: Lookups::default(),
        own_after: Lookups::default(),
        keys: 0,
        without_ttl: None,
        removals: None,
    };
    CounterSnapshot {
        job: "j".to_owned(),
        redis: Alias::new("main"),
        run_id: None,
        phase: SnapshotPhase::Between,
        at_ms,
        nodes: vec![reading],
        application: None,
        memory_usage_percent: None,
        used_memory_bytes: None,
        latency: None,
        reads: RunReads::Scripts,
    }
}

/// The sample with this many calls of commands like TTL.
fn calls(one_lookup: u64, mut sample: CounterSnapshot) -> CounterSnapshot {
    sample.nodes[0].commands = Some(CommandCounts { one_lookup, ..CommandCounts::default() });
    sample
}

fn own(hits: u64) -> Lookups {
    Lookups::of(hits, 0)
}

/// A run between two samples that looks up `lookups` keys, and two more after each sample.
fn run(mut begin: CounterSnapshot, mut end: CounterSnapshot, lookups: u64) -> [CounterSnapshot; 2] {
    let id = Some(RunId::new());
    (begin.run_id, begin.phase, begin.nodes[0].own_after) = (id, SnapshotPhase::Begin, own(2));
    (end.run_id, end.phase, end.nodes[0].own_before) = (id, SnapshotPhase::End, own(lookups));
    end.nodes[0].own_after = own(2);
    [begin, end]
}

/// Hits, misses and resets, if hits are known exactly.
fn counted(window: &HitRateWindow) -> (u64, u64, u32) {
    assert_eq!(window.hit_rate_min, window.hit_rate_max, "{window:?}");
    (window.hits.unwrap(), window.misses.unwrap(), window.resets)
}

fn windows(samples: &CounterSnapshots<'_>) -> Vec<HitRateWindow> {
    samples.intervals(HOUR_MS).map(|interval| interval.window()).collect()
}

fn latest(samples: &[CounterSnapshot]) -> (u64, u64, u32) {
    counted(&CounterSnapshots::new(samples, "j", &HitRateSource::Redis).latest().unwrap())
}

#[test]
fn own_lookups_are_subtracted() {
    let first = run(sample(1_000, 0, 0), calls(502, sample(2_000, 80 + 2 + 500, 20)), 500);
    let after = 80 + 2 + 500 + 2;
    let begin = calls(504, sample(5_000, after + 40, 20 + 60));
    let second = run(begin, calls(1_006, sample(6_000, after + 40 + 2 + 500 + 9, 81)), 500);
    let samples: Vec<CounterSnapshot> = first.into_iter().chain(second).collect();
    let rates = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis).hit_rates();
    assert_eq!(counted(&rates.during_run), (9, 1, 0));
    assert_eq!(counted(rates.since_last_run.as_ref().unwrap()), (49, 61, 0));
    assert_eq!(counted(rates.last_day.as_ref().unwrap()), (129, 81, 0));
    assert!((rates.last_day.unwrap().hit_rate.unwrap() - 129.0 * 100.0 / 210.0).abs() < 1e-9);
    assert_eq!((rates.history.len(), rates.source.as_str()), (3, "redis"));
}

#[test]
fn without_traffic_there_is_no_rate() {
    let samples = run(sample(1_000, 7, 3), calls(102, sample(2_000, 7 + 2 + 100, 3)), 100);
    let rates = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis).hit_rates();
    assert_eq!(
        (rates.during_run.hit_rate, rates.since_last_run, rates.history[0].hit_rate),
        (None, None, None)
    );
    assert_eq!(CounterSnapshots::new(&[], "j", &HitRateSource::Redis).last_day(), None);
    assert_eq!(CounterSnapshots::new(&samples[..1], "j", &HitRateSource::Redis).last_day(), None);
}

#[test]
fn concurrent_runs_are_both_subtracted() {
    // Two jobs on one deployment: the lookups of each are known only at its end.
    let [a, c] = run(sample(1_000, 0, 0), calls(1_054, sample(3_000, 1_000 + 300 + 4, 100)), 1_000);
    let (b, d) =
        (calls(300, sample(2_000, 500, 50)), calls(1_206, sample(4_000, 1_000 + 200 + 6 + 400, 150)));
    let [mut b, mut d] = run(b, d, 200);
    (b.job, d.job) = ("other".to_owned(), "other".to_owned());
    let samples = [a, b, c, d];
    let all = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis);
    let windows = windows(&all);
    assert_eq!(windows.iter().map(counted).collect::<Vec<_>>(), [(400, 150, 0)]);
}

#[test]
fn a_sample_during_a_run_does_not_end_a_window() {
    let [begin, end] = run(sample(1_000, 0, 0), calls(10_002, sample(9_000, 10_000 + 2 + 50, 50)), 10_000);
    let samples = [begin, calls(7_000, sample(5_000, 8_000, 20)), end];
    let windows = windows(&CounterSnapshots::new(&samples, "j", &HitRateSource::Redis));
    assert_eq!(windows.iter().map(counted).collect::<Vec<_>>(), [(50, 50, 0)]);
}

#[test]
fn counter_resets_are_detected() {
    let before = || sample(0, 1_000, 1_000);
    // CONFIG RESETSTAT: the window contains the counts since then.
    assert_eq!(latest(&[before(), sample(HOUR_MS, 30, 10)]), (30, 10, 1));
    // A restart within the window.
    let mut restarted = sample(HOUR_MS, 5_000, 5_000);
    (restarted.nodes[0].process, restarted.nodes[0].uptime_s) = ("q".to_owned(), 60);
    assert_eq!(latest(&[before(), restarted.clone()]), (5_000, 5_000, 1));
    // Another server under the same name with older counts of unknown origin.
    restarted.nodes[0].uptime_s = 1_000_000;
    assert_eq!(latest(&[before(), restarted.clone()]), (0, 0, 1));
    // From the next sample on, it counts.
    let mut later = sample(2 * HOUR_MS, 5_070, 5_030);
    later.nodes[0].process = "q".to_owned();
    assert_eq!(latest(&[before(), restarted, later]), (70, 30, 0));
}

#[test]
fn a_failover_to_another_node_is_detected() {
    let mut replica = sample(HOUR_MS, 9_000, 9_000);
    replica.nodes[0].node = NodeId::new("m");
    assert_eq!(latest(&[sample(0, 10, 10), replica]), (0, 0, 1));
}

#[test]
fn a_day_is_a_day() {
    let samples: Vec<CounterSnapshot> =
        (0..=48).map(|hour| sample(hour * HOUR_MS, hour * 10, hour * 30)).collect();
    let all = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis);
    assert_eq!(counted(&all.last_day().unwrap()), (240, 720, 0));
    assert_eq!(all.last_day().unwrap().hit_rate, Some(25.0));
    assert_eq!(all.latest().unwrap().from, "1970-01-02T23:00:00Z");
    let weeks: Vec<CounterSnapshot> = (0..=1_000).map(|hour| sample(hour * HOUR_MS, hour, hour)).collect();
    let rates = CounterSnapshots::new(&weeks, "j", &HitRateSource::Redis).hit_rates();
    assert_eq!(rates.history.len(), 84);
    assert_eq!(rates.history.iter().map(|point| point.lookups.unwrap()).sum::<u64>(), 2 * 7 * 24);
}

#[test]
fn an_applications_own_counters() {
    let source = HitRateSource::Hash(Key::new(*b"metrics"));
    let with = |at_ms, hits, misses, errors| CounterSnapshot {
        application: Some(Counters { hits, misses, errors }),
        ..sample(at_ms, 777, 777)
    };
    let other = CounterSnapshot { job: "other".to_owned(), ..with(1, 9_999, 9_999, None) };
    let samples = [with(0, 100, 100, Some(1)), other, sample(2, 0, 0), with(3, 180, 120, Some(13))];
    let window = CounterSnapshots::new(&samples, "j", &source).latest().unwrap();
    assert_eq!((counted(&window), window.errors, window.hit_rate), ((80, 20, 0), Some(12), Some(80.0)));
    // The counters fell: they were reset.
    let samples = [with(0, 100, 100, None), with(1, 30, 10, None)];
    let window = CounterSnapshots::new(&samples, "j", &source).latest().unwrap();
    assert_eq!((counted(&window), window.errors), ((30, 10, 1), None));
}

/// A window of one hour with these counts, `ours` of which are own lookups.
fn window_with(gained: Lookups, one_lookup: u64, ours: Lookups) -> HitRateWindow {
    let mut before = calls(777, sample(0, 5_000, 5_000));
    before.nodes[0].own_after = ours;
    let after = calls(777 + one_lookup, sample(HOUR_MS, 5_000 + gained.hits, 5_000 + gained.misses));
    CounterSnapshots::new(&[before, after], "j", &HitRateSource::Redis).latest().unwrap()
}

#[test]
fn other_lookups_without_a_value_are_subtracted_and_bound_the_hits() {
    // 60,000 hits of 100,000, in addition to 1,000 TTLs by other clients, 300 of which found a key, and 500 own ones.
    let window = window_with(Lookups::of(60_000 + 300 + 500, 40_000 + 700), 1_500, Lookups::of(500, 0));
    assert_eq!(
        (window.lookups, window.hit_rate_min, window.hit_rate_max),
        (Some(100_000), Some(59.3), Some(60.3))
    );
    assert_eq!((window.hits, window.misses), (Some(59_800), Some(40_200)));
    assert!((window.hit_rate.unwrap() - 59.8).abs() < 1e-9 && window.unknown_reason.is_none());
    // As many TTLs as reads: the number of reads is known, but not their hits.
    let window = window_with(Lookups::of(60_000, 40_000), 50_000, Lookups::default());
    assert_eq!(
        (window.lookups, window.hit_rate_min, window.hit_rate_max),
        (Some(50_000), Some(20.0), Some(100.0))
    );
    assert_eq!((window.hit_rate, window.hits, window.misses), (None, None, None));
    let why = window.unknown_reason.unwrap();
    assert!(
        why.starts_with("it is between 20.0% and 100.0%: in addition to 50000 lookups of the application"),
        "{why}"
    );
    // Only TTLs: no traffic.
    let window = window_with(Lookups::of(900, 100), 1_000, Lookups::default());
    assert_eq!(
        (window.lookups, window.hit_rate, window.hits, window.unknown_reason),
        (Some(0), None, Some(0), None)
    );
    // Own reads of values, which the server does not distinguish, are subtracted as well.
    let window = window_with(Lookups::of(70, 30), 20, Lookups { hits: 25, misses: 5, reads: 10 });
    assert_eq!((window.lookups, window.hits, window.misses), (Some(70), Some(45), Some(25)));
}

#[test]
fn without_command_statistics_there_is_no_rate() {
    let silent = |mut sample: CounterSnapshot| {
        sample.nodes[0].commands = None;
        sample
    };
    let samples = [sample(0, 0, 0), silent(sample(HOUR_MS, 900, 100))];
    let window = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis).latest().unwrap();
    assert_eq!((window.hit_rate, window.lookups, window.hits, window.hit_rate_min), (None, None, None, None));
    assert!(window.unknown_reason.unwrap().contains("INFO commandstats"));
    // Statistics that count fewer commands than keysweep sent are not trusted.
    let window = window_with(Lookups::of(1_000, 0), 0, Lookups::of(1_000, 0));
    assert_eq!((window.hit_rate, window.lookups), (None, None));
    assert!(window.unknown_reason.unwrap().contains("fewer commands than keysweep sent"));
    // Samples of older versions are ignored.
    let samples = [silent(sample(0, 0, 0)), sample(HOUR_MS, 500, 500), sample(2 * HOUR_MS, 530, 570)];
    let all = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis);
    assert_eq!(counted(&all.last_day().unwrap()), (30, 70, 0));
    assert_eq!(all.hit_rates().history.len(), 1);
}

#[test]
fn falling_counters_and_resets_are_detected() {
    let with = |change: fn(&mut CommandCounts)| {
        let counts = CommandCounts {
            one_lookup: 10,
            all: 1_000,
            connections: 5,
            resets: 1,
            reset_us: 40,
            scripts: None,
        };
        let (mut before, mut after) = (sample(0, 10, 10), sample(HOUR_MS, 40, 20));
        let mut now = counts;
        change(&mut now);
        (before.nodes[0].commands, after.nodes[0].commands) = (Some(counts), Some(now));
        let window = CounterSnapshots::new(&[before, after], "j", &HitRateSource::Redis).latest().unwrap();
        (window.lookups.unwrap(), window.resets)
    };
    assert_eq!(with(|now| now.all = 1_001), (40, 0));
    // After a reset, the window contains the counts since then.
    assert_eq!(with(|now| now.one_lookup = 9), (51, 1));
    assert_eq!(with(|now| now.all = 999), (50, 1));
    assert_eq!(with(|now| now.connections = 4), (50, 1));
    assert_eq!(with(|now| now.resets = 2), (50, 1));
    assert_eq!(with(|now| now.reset_us = 41), (50, 1), "a different reset");
}

#[test]
fn a_reset_during_a_run_makes_its_lookups_uncertain() {
    // 1,000 own lookups, 600 of them before the reset; then the application has 9,000 hits of 10,000.
    let begin = calls(50, sample(0, 5_000, 5_000));
    let end = calls(400, sample(HOUR_MS, 9_000 + 400 - 20, 1_000));
    let [begin, mut end] = run(begin, end, 1_000);
    end.nodes[0].own_before = Lookups { hits: 1_000, misses: 0, reads: 20 };
    let window = CounterSnapshots::new(&[begin, end], "j", &HitRateSource::Redis).latest().unwrap();
    let (min, max) = (window.hit_rate_min.unwrap(), window.hit_rate_max.unwrap());
    assert_eq!((window.resets, window.hit_rate), (1, None));
    assert!(min <= 90.0 && 90.0 <= max && max - min < 5.0, "{min} to {max}");
}

/// A run that reached no server at its end.
fn without_end([begin, mut end]: [CounterSnapshot; 2]) -> [CounterSnapshot; 2] {
    end.nodes.clear();
    [begin, end]
}

#[test]
fn without_counters_at_the_end_the_rate_is_unknown() {
    let first = run(sample(1_000, 0, 0), calls(102, sample(2_000, 102, 0)), 100);
    let gone = without_end(run(calls(104, sample(3_000, 104, 0)), sample(4_000, 0, 0), 0));
    let mut samples = [first, gone].concat();
    let rates = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis).hit_rates();
    for window in [&rates.during_run, rates.since_last_run.as_ref().unwrap()] {
        assert_eq!((window.lookups, window.hits, window.misses, window.hit_rate), (None, None, None, None));
        assert_eq!(
            window.unknown_reason.as_deref(),
            Some("the counters could not be read at the end of the window")
        );
    }
    assert_eq!(
        (rates.during_run.from.as_str(), rates.during_run.to.as_str()),
        ("1970-01-01T00:00:03Z", "1970-01-01T00:00:04Z")
    );
    assert_eq!(rates.history.len(), 2, "it does not end a window");
    // The next run only has its own window.
    samples.extend(run(calls(0, sample(5_000, 0, 0)), calls(102, sample(6_000, 102 + 30, 10)), 100));
    let rates = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis).hit_rates();
    assert_eq!((counted(&rates.during_run), rates.since_last_run), ((30, 10, 0), None));
    // In a cluster, one missing server is enough.
    let mut two = run(sample(1_000, 0, 0), sample(2_000, 0, 0), 0);
    let mut other = two[0].nodes[0].clone();
    other.node = NodeId::new("m");
    two[0].nodes.push(other);
    let window = CounterSnapshots::new(&two, "j", &HitRateSource::Redis).hit_rates().during_run;
    assert!(
        window.lookups.is_none()
            && window.unknown_reason.unwrap().starts_with("fewer servers reported counters")
    );
    // The same with application counters.
    let counters = Counters { hits: 5, misses: 5, errors: None };
    let [mut begin, end] = run(sample(1_000, 0, 0), sample(2_000, 0, 0), 0);
    begin.application = Some(counters);
    let window = CounterSnapshots::new(&[begin, end], "j", &HitRateSource::Prometheus).hit_rates().during_run;
    assert_eq!((window.lookups, window.hits, window.unknown_reason.is_some()), (None, None, true));
}

/// `hits` by a killed run, and the window of the next one since the run before: the application had `application` hits
/// and as many misses.
fn after_a_killed_run(reads: RunReads, hits: u64, application: u64) -> HitRateWindow {
    let scripts = |scripts, mut sample: CounterSnapshot| {
        sample.nodes[0].commands.as_mut().unwrap().scripts = Some(scripts);
        sample
    };
    let first = run(scripts(0, sample(1_000, 0, 0)), scripts(5, calls(2, sample(2_000, 2, 0))), 0);
    let [mut killed, _] = run(scripts(5, calls(4, sample(3_000, 4, 0))), sample(4_000, 0, 0), 0);
    killed.reads = reads;
    let begin = scripts(5 + hits, calls(6, sample(5_000, 6 + hits + application, application)));
    let end = scripts(5 + hits, calls(8, sample(6_000, 8 + hits + application, application)));
    let samples: Vec<CounterSnapshot> = [first.to_vec(), vec![killed], run(begin, end, 0).to_vec()].concat();
    CounterSnapshots::new(&samples, "j", &HitRateSource::Redis).hit_rates().since_last_run.unwrap()
}

#[test]
fn reads_of_a_killed_run_do_not_count_as_the_applications() {
    let alone = after_a_killed_run(RunReads::Scripts, 1, 0);
    assert_eq!((alone.lookups, alone.hits, alone.hit_rate), (None, None, None));
    assert_eq!((alone.hit_rate_min, alone.hit_rate_max), (Some(0.0), Some(100.0)));
    assert!(
        alone
            .unknown_reason
            .unwrap()
            .contains("of at most 1 lookups, up to 1 may belong to runs of keysweep")
    );
    let busy = after_a_killed_run(RunReads::Scripts, 30, 10_000);
    let (min, max) = (busy.hit_rate_min.unwrap(), busy.hit_rate_max.unwrap());
    assert!(min <= 50.0 && 50.0 <= max && max - min < 1.0, "{min} to {max}");
    assert_eq!((busy.lookups, busy.hit_rate.is_some()), (Some(20_030), true));
    for (reads, known) in [(RunReads::Values, false), (RunReads::Nothing, true)] {
        let window = after_a_killed_run(reads, 0, 10_000);
        assert_eq!((window.lookups.is_some(), window.hit_rate.is_some()), (known, known), "{reads:?}");
    }
}

proptest! {
    /// For any activity of other clients, own runs and resets, the true rate is within the bounds, and the number of
    /// lookups is exact.
    #[test]
    fn the_bounds_hold(steps in vec((0_u64..500, 0_u64..500, 0_u64..60, 0_u64..60, 0_u64..60, any::<bool>()), 1..8)) {
        let (mut server, mut one_lookup) = (Lookups::of(100, 100), 30);
        let mut samples = vec![calls(one_lookup, sample(0, server.hits, server.misses))];
        let (mut hits, mut lookups) = (0, 0);
        for (at, (found, missed, ttls, gone, ours, noted)) in steps.into_iter().enumerate() {
            server += Lookups::of(found + ttls + ours, missed + gone);
            one_lookup += ttls + gone + ours;
            (hits, lookups) = (hits + found, lookups + found + missed);
            let mut next = calls(one_lookup, sample(HOUR_MS * (at as u64 + 1), server.hits, server.misses));
            if noted {
                samples.last_mut().unwrap().nodes[0].own_after = own(ours);
            }
            next.phase = SnapshotPhase::Between;
            samples.push(next);
        }
        let all = CounterSnapshots::new(&samples, "j", &HitRateSource::Redis);
        let window = all.last_day().unwrap();
        prop_assert_eq!(window.lookups, Some(lookups));
        if let (Some(min), Some(max)) = (window.hit_rate_min, window.hit_rate_max) {
            let truth = hits as f64 * 100.0 / lookups as f64;
            prop_assert!(min <= truth + 1e-9 && truth <= max + 1e-9, "{} is not in {}..{}", truth, min, max);
            prop_assert_eq!(window.hit_rate.is_some(), max - min <= 2.0);
        }
    }
}
