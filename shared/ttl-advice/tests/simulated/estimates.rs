//! Inside the stated range, estimates are right and intervals hold. Quick forms of the study in `soak.rs`.

use keysweep_ttl_advice::{Method, Observation, advise};

use crate::application::Application;
use crate::cases::others;
use crate::popularity::Popularity;
use crate::requests::Requests;
use crate::study::{Study, study, study_of_group};

const SEEDS: u64 = 20;
const SAMPLE: usize = 1_000;

/// In points.
const BIAS_MAX: f64 = 1.0;

/// In percent of the seeds.
const COVERED_MIN: f64 = 90.0;

fn check(application: &Application, panel: bool) {
    check_study(&study(application, SAMPLE, panel, SEEDS), panel, &format!("{application:?}"));
}

fn check_study(study: &Study, panel: bool, of: &str) {
    assert!(study.refused.len() <= 1, "{of}: refused {:?}", study.refused);
    assert_eq!(study.rows.len(), if panel { 5 } else { 4 }, "{of}");
    for row in &study.rows {
        let bias = row.estimate - row.truth;
        assert!(bias.abs() <= BIAS_MAX, "{of}: {row:?}");
        assert!(row.covered >= COVERED_MIN && row.keys_covered >= COVERED_MIN, "{of}: {row:?}");
    }
}

#[test]
fn independent_requests_are_estimated_from_a_snapshot() {
    check(&Application::default(), false);
}

#[test]
fn sessions_are_estimated_from_a_panel() {
    let requests = Requests::Sessions { size: 5, gap: 0.005 };
    check(&Application { requests, rate: 1.5, ..Application::default() }, true);
}

#[test]
fn early_deletions_are_estimated_from_a_panel() {
    check(&Application { deleted: 0.7, ..Application::default() }, true);
}

#[test]
fn the_same_seed_gives_the_same_advice() {
    let seen = Application::default().run(SAMPLE, 1);
    let observation = seen.observation();
    let advice = advise(&observation, None, 5);
    assert_eq!(advice, advise(&observation, None, 5));
    let [curve, other] = [advice.curve.unwrap(), advise(&observation, None, 6).curve.unwrap()];
    assert_eq!(curve.method, Method::Panel);
    assert_eq!(curve.points[0].hit_rate.estimate, other.points[0].hit_rate.estimate);
    assert_ne!(curve.points[0].hit_rate.low, other.points[0].hit_rate.low);
}

#[test]
fn todays_ttl_is_what_was_measured() {
    let seen = Application::default().run(SAMPLE, 12);
    let curve = advise(&seen.observation(), None, 1).curve.unwrap();
    let today = curve.points.iter().find(|point| point.ttl_ms == seen.ttl_ms).unwrap();
    let measured = seen.traffic.hits as f64 / seen.traffic.requests() as f64;
    assert!((today.hit_rate.estimate - measured).abs() < 1e-9);
    assert!(today.hit_rate.high - today.hit_rate.low < 0.02);
    assert_eq!(today.misses.low, 1.0);
    assert_eq!(today.bytes.unwrap().estimate, seen.live_keys as f64 * 100.0);
}

/// What a shorter panel cannot have seen is not stated.
#[test]
fn four_times_the_ttl_takes_a_panel_that_lasts() {
    let mut seen = Application::default().run(SAMPLE, 4);
    for key in &mut seen.keys {
        if let Some(keysweep_ttl_advice::FollowUp::NotBack { within_ms }) = &mut key.follow_up {
            *within_ms /= 2;
        }
    }
    let curve = advise(&seen.observation(), None, 1).curve.unwrap();
    assert_eq!(curve.points.last().unwrap().ttl_ms, 2 * seen.ttl_ms);
}

/// The hit rate is then that of all requests, if the TTL of these keys alone changes.
#[test]
fn keys_are_estimated_although_requests_for_others_are_counted() {
    for (beside, others) in others() {
        for panel in [false, true] {
            let study = study_of_group(&Application::default(), &others, SAMPLE, panel, SEEDS);
            check_study(&study, panel, beside);
        }
    }
}

/// The share of entries that are not read again is a result of its own.
#[test]
fn entries_that_are_never_read_again_are_counted() {
    let check = |rate: f64, expected: f64| {
        let application =
            Application { rate, popularity: Popularity::LogNormal(0.0), ..Application::default() };
        let never_read = advise(&application.run(2_000, 1).observation(), None, 1).never_read.unwrap();
        assert!((never_read.low..=never_read.high).contains(&expected), "{never_read:?}");
        assert!(never_read.high - never_read.low < 0.17, "{never_read:?}");
    };
    check(1.0, (-1.0_f64).exp());
    check(0.2, (-0.2_f64).exp());
}

/// All ages are then a little too high, and each key seems to be read right after it was written.
#[test]
fn a_ttl_that_is_stated_a_little_too_long_does_not_make_all_keys_read() {
    let seen = Application::default().run(SAMPLE, 1);
    let never_read = |ttl_ms: u64| {
        let observation = Observation { ttl_ms, ..seen.observation() };
        advise(&observation, None, 1).never_read.unwrap().estimate
    };
    let exact = never_read(seen.ttl_ms);
    for ttl_ms in [seen.ttl_ms / 1_000 * 997, seen.ttl_ms / 1_000 * 1_003] {
        assert!((never_read(ttl_ms) - exact).abs() < 0.03, "{} instead of {exact}", never_read(ttl_ms));
    }
}
