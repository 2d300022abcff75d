//! Windows over samples: own look-ups, runs side by side, resets, restarts, failovers, counters of applications.

use reporter::hit_rate::Samples;
use shared::ids::{Alias, NodeId, RunId};
use shared::key::Key;
use shared::messages::{HitRateSource, Lookups};
use shared::metrics::Window;
use shared::samples::{Counters, Moment, Reading, Sample};

const HOUR_MS: u64 = 3_600_000;

/// A sample of one node of the process `p`.
fn sample(at_ms: u64, hits: u64, misses: u64) -> Sample {
    let reading = Reading {
        node: NodeId::new("n"),
        process: "p".to_owned(),
        uptime_s: 1_000_000,
        lookups: Lookups { hits, misses },
        own_before: Lookups::default(),
        own_after: Lookups::default(),
        keys: 0,
    };
    Sample {
        job: "j".to_owned(),
        redis: Alias::new("main"),
        run_id: None,
        moment: Moment::Between,
        at_ms,
        nodes: vec![reading],
        application: None,
        memory_usage_percent: None,
        latency: None,
        matching_keys: None,
    }
}

fn own(hits: u64) -> Lookups {
    Lookups { hits, misses: 0 }
}

/// A run from one sample to the other, in which we looked up `lookups` keys, and two after each sample.
fn run(mut begin: Sample, mut end: Sample, lookups: u64) -> [Sample; 2] {
    let id = Some(RunId::new());
    (begin.run_id, begin.moment, begin.nodes[0].own_after) = (id, Moment::Begin, own(2));
    (end.run_id, end.moment, end.nodes[0].own_before) = (id, Moment::End, own(lookups));
    end.nodes[0].own_after = own(2);
    [begin, end]
}

fn counted(window: &Window) -> (u64, u64, u32) {
    (window.hits, window.misses, window.resets)
}

fn latest(samples: &[Sample]) -> (u64, u64, u32) {
    counted(&Samples::new(samples, "j", &HitRateSource::Redis).latest().unwrap())
}

#[test]
fn our_own_look_ups_are_taken_off() {
    let first = run(sample(1_000, 0, 0), sample(2_000, 80 + 2 + 500, 20), 500);
    let after = 80 + 2 + 500 + 2;
    let second = run(sample(5_000, after + 40, 20 + 60), sample(6_000, after + 40 + 2 + 500 + 9, 81), 500);
    let samples: Vec<Sample> = first.into_iter().chain(second).collect();
    let rates = Samples::new(&samples, "j", &HitRateSource::Redis).hit_rates();
    assert_eq!(counted(&rates.during_run), (9, 1, 0));
    assert_eq!(counted(rates.since_last_run.as_ref().unwrap()), (49, 61, 0));
    assert_eq!(counted(rates.last_day.as_ref().unwrap()), (129, 81, 0));
    assert!((rates.last_day.unwrap().hit_rate.unwrap() - 129.0 * 100.0 / 210.0).abs() < 1e-9);
    assert_eq!((rates.history.len(), rates.source.as_str()), (3, "redis"));
}

#[test]
fn without_traffic_there_is_no_rate() {
    let samples = run(sample(1_000, 7, 3), sample(2_000, 7 + 2 + 100, 3), 100);
    let rates = Samples::new(&samples, "j", &HitRateSource::Redis).hit_rates();
    assert_eq!(
        (rates.during_run.hit_rate, rates.since_last_run, rates.history[0].hit_rate),
        (None, None, None)
    );
    assert_eq!(Samples::new(&[], "j", &HitRateSource::Redis).last_day(), None);
    assert_eq!(Samples::new(&samples[..1], "j", &HitRateSource::Redis).last_day(), None);
}

#[test]
fn runs_side_by_side_do_not_disturb_each_other() {
    // Two jobs on one deployment: what either looks up is known only at its end.
    let [a, c] = run(sample(1_000, 0, 0), sample(3_000, 1_000 + 300 + 4, 100), 1_000);
    let [mut b, mut d] = run(sample(2_000, 500, 50), sample(4_000, 1_000 + 200 + 6 + 400, 150), 200);
    (b.job, d.job) = ("other".to_owned(), "other".to_owned());
    let samples = [a, b, c, d];
    let all = Samples::new(&samples, "j", &HitRateSource::Redis);
    let windows: Vec<Window> = all.windows(HOUR_MS).collect();
    assert_eq!(windows.iter().map(counted).collect::<Vec<_>>(), [(400, 150, 0)]);
}

#[test]
fn an_hourly_sample_in_the_middle_of_a_run_is_no_end_of_a_window() {
    let [begin, end] = run(sample(1_000, 0, 0), sample(9_000, 10_000 + 2 + 50, 50), 10_000);
    let samples = [begin, sample(5_000, 8_000, 20), end];
    let windows: Vec<Window> = Samples::new(&samples, "j", &HitRateSource::Redis).windows(HOUR_MS).collect();
    assert_eq!(windows.iter().map(counted).collect::<Vec<_>>(), [(50, 50, 0)]);
}

#[test]
fn counters_that_begin_anew_are_noticed() {
    let before = || sample(0, 1_000, 1_000);
    // CONFIG RESETSTAT: what was counted since is the window's.
    assert_eq!(latest(&[before(), sample(HOUR_MS, 30, 10)]), (30, 10, 1));
    // A restart within the window.
    let mut restarted = sample(HOUR_MS, 5_000, 5_000);
    (restarted.nodes[0].process, restarted.nodes[0].uptime_s) = ("q".to_owned(), 60);
    assert_eq!(latest(&[before(), restarted.clone()]), (5_000, 5_000, 1));
    // Another server under the same name, which has counted for long: nobody knows for whom.
    restarted.nodes[0].uptime_s = 1_000_000;
    assert_eq!(latest(&[before(), restarted.clone()]), (0, 0, 1));
    // Once it is known, it counts.
    let mut later = sample(2 * HOUR_MS, 5_070, 5_030);
    later.nodes[0].process = "q".to_owned();
    assert_eq!(latest(&[before(), restarted, later]), (70, 30, 0));
}

#[test]
fn a_failover_to_another_node_is_noticed() {
    let mut replica = sample(HOUR_MS, 9_000, 9_000);
    replica.nodes[0].node = NodeId::new("m");
    assert_eq!(latest(&[sample(0, 10, 10), replica]), (0, 0, 1));
}

#[test]
fn a_day_is_a_day() {
    let samples: Vec<Sample> = (0..=48).map(|hour| sample(hour * HOUR_MS, hour * 10, hour * 30)).collect();
    let all = Samples::new(&samples, "j", &HitRateSource::Redis);
    assert_eq!(counted(&all.last_day().unwrap()), (240, 720, 0));
    assert_eq!(all.last_day().unwrap().hit_rate, Some(25.0));
    assert_eq!(all.latest().unwrap().from, "1970-01-02T23:00:00Z");
    let weeks: Vec<Sample> = (0..=1_000).map(|hour| sample(hour * HOUR_MS, hour, hour)).collect();
    let rates = Samples::new(&weeks, "j", &HitRateSource::Redis).hit_rates();
    assert_eq!(rates.history.len(), 84);
    assert_eq!(rates.history.iter().map(|point| point.lookups).sum::<u64>(), 2 * 7 * 24);
}

#[test]
fn an_applications_own_counters() {
    let source = HitRateSource::Hash(Key::new(*b"metrics"));
    let with = |at_ms, hits, misses, errors| Sample {
        application: Some(Counters { hits, misses, errors }),
        ..sample(at_ms, 777, 777)
    };
    let other = Sample { job: "other".to_owned(), ..with(1, 9_999, 9_999, None) };
    let samples = [with(0, 100, 100, Some(1)), other, sample(2, 0, 0), with(3, 180, 120, Some(13))];
    let window = Samples::new(&samples, "j", &source).latest().unwrap();
    assert_eq!((counted(&window), window.errors, window.hit_rate), ((80, 20, 0), Some(12), Some(80.0)));
    // They went backwards: they began anew.
    let samples = [with(0, 100, 100, None), with(1, 30, 10, None)];
    let window = Samples::new(&samples, "j", &source).latest().unwrap();
    assert_eq!((counted(&window), window.errors), ((30, 10, 1), None));
}
