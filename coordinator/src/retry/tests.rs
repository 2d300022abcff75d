//! Another attempt uses the options of the first one: for any options of the first, and any later options of the job.

use std::path::PathBuf;

use fastrand::Rng;
use keysweep_http::JobIntegrations;
use keysweep_model::glob::Pattern;
use keysweep_model::ids::Alias;
use keysweep_model::key::Key;
use keysweep_model::messages::{
    Action, ActivitySource, Application, HitRateSource, InactivePolicy, PacingLimits, Policy, ReadFrom,
    Rules, StatedRule, Verify,
};
use keysweep_model::wire;
use proptest::prelude::*;

use super::*;
use crate::plan::TaskSizes;
use crate::state::StatePlace;

fn some<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    if rng.bool() { Some(make(rng)) } else { None }
}

fn key(rng: &mut Rng) -> Key {
    Key::new((0..rng.usize(1..9)).map(|_| rng.u8(..)).collect::<Vec<_>>())
}

fn patterns(rng: &mut Rng) -> Vec<Pattern> {
    (0..rng.usize(1..4)).map(|_| Pattern::new(key(rng).as_bytes()).unwrap()).collect()
}

fn policy(rng: &mut Rng) -> Policy {
    Policy {
        rules: vec![StatedRule::default()],
        dry_run: rng.bool(),
        has_rest: rng.bool(),
        activity: None,
        examples: rng.u8(..),
    }
}

fn inactive(rng: &mut Rng) -> InactivePolicy {
    let source = match rng.u8(..3) {
        0 => ActivitySource::SortedSet(key(rng)),
        1 => ActivitySource::Set(key(rng)),
        _ => ActivitySource::IdleTime,
    };
    InactivePolicy {
        identity: format!("{}:{{user}}:*", rng.u8(..)),
        source,
        near_expiry_ms: rng.u64(..1_000_000),
        threshold_ms: rng.u64(..1 << 41),
        allow_no_active: rng.bool(),
    }
}

/// Any options. The pattern lists every field, so that a new one is tested here, too.
fn options(rng: &mut Rng) -> Options {
    let (dry_run, inactive) = (rng.bool(), some(rng, inactive));
    let action = match rng.u8(..3) {
        _ if dry_run => Action::Report,
        0 => Action::Delete,
        1 => Action::Expire { ttl_ms: rng.u64(1..1_000_000), jitter_ms: rng.u64(..1_000) },
        _ => Action::Report,
    };
    let place = |rng: &mut Rng| match rng.bool() {
        true => BackupPlace::Bucket(format!("b{}", rng.u8(..))),
        false => BackupPlace::Directory(PathBuf::from(format!("/backups/{}", rng.u8(..)))),
    };
    Options {
        job: "job".to_owned(),
        display_name: format!("Job {}", rng.u8(..)),
        alias: Alias::new("main"),
        access: ConnectOptions {
            db: rng.u32(..16),
            ..ConnectOptions::open(vec![format!("redis://{}", rng.u8(..))])
        },
        rules: Rules {
            patterns: patterns(rng),
            protect: patterns(rng),
            sources: vec![key(rng)],
            action,
            grace_ms: rng.u64(..300_000),
            scan_batch_keys: rng.u32(1..10_000),
            delete_batch_keys: rng.u32(1..1_000),
            inactive: None,
            verify: if rng.bool() { Verify::Value } else { Verify::Ttl },
            policy: some(rng, policy),
        },
        aggressive: inactive.is_some() && rng.bool(),
        inactive,
        dry_run,
        only_plan: false,
        full_scan: rng.bool(),
        namespaces: rng.bool(),
        measures_all: false,
        task_sizes: TaskSizes { keys_min: rng.u64(1..10_000), ..TaskSizes::default() },
        rule_places: Vec::new(),
        max_delete_percent: rng.u8(..=100),
        max_runtime: some(rng, |rng| Duration::from_millis(rng.u64(..1 << 40))),
        lock_wait: Duration::from_millis(rng.u64(..1_000)),
        started_by: format!("user {}", rng.u8(..)),
        scheduled: rng.bool(),
        attempt: Attempt { number: 1, of: rng.u32(1..5), previous: None },
        application: Application {
            configured_ttl_ms: rng.u64(..1_000_000),
            ttl_configured: rng.bool(),
            hit_rate: if rng.bool() { HitRateSource::Hash(key(rng)) } else { HitRateSource::Prometheus },
        },
        state: StatePlace {
            dir: some(rng, |rng| PathBuf::from(format!("/state/{}", rng.u8(..)))),
            scope: format!("main_{}", rng.u8(..)),
            ..StatePlace::default()
        },
        report_dir: some(rng, |rng| PathBuf::from(format!("/reports/{}", rng.u8(..)))),
        metrics_file: some(rng, |rng| PathBuf::from(format!("/metrics/{}", rng.u8(..)))),
        integrations: JobIntegrations::default(),
        pacing: PacingLimits {
            latency_budget_ms: some(rng, |rng| rng.u64(..100)),
            keys_per_s_max: some(rng, |rng| rng.u64(..100)),
        },
        read_from: some(rng, |rng| ReadFrom::Replica { lag_max_ms: rng.u64(..9) }).unwrap_or_default(),
        backup: some(rng, |rng| (place(rng), rng.u64(..1 << 30))),
    }
}

proptest! {
    #[test]
    fn another_attempt_has_the_options_of_the_first(seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let (asked, job) = (options(&mut rng), options(&mut rng));
        // As decoded from the store.
        let mut first: RunSpec = wire::decode(&wire::encode(&asked.spec(RunId::new(), 7)).unwrap()).unwrap();
        for attempt in 2..4 {
            let access = ConnectOptions { db: first.db, ..job.access.clone() };
            let again = Options::retry_of(&first, access, &job).expect("the spec is complete");
            prop_assert_eq!(again.attempt.previous, Some(first.run));
            prop_assert_eq!(again.inactive_policy(), asked.inactive_policy());
            let next = again.spec(RunId::new(), 8);
            prop_assert!(next.has_same_request(&first), "{attempt}: {next:#?}\n{first:#?}");
            // Recommendations, and their recipients, are excluded.
            prop_assert_eq!(&next.application, &first.application);
            prop_assert_eq!(&next.display_name, &first.display_name);
            prop_assert_eq!(next.scheduled, first.scheduled);
            prop_assert_eq!(&again.access.urls, &job.access.urls);
            prop_assert_eq!((&again.state, again.lock_wait), (&job.state, job.lock_wait));
            first = next;
        }
    }

    #[test]
    fn other_options_give_another_spec(seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let (one, other) = (options(&mut rng), options(&mut rng));
        prop_assert!(!one.spec(RunId::new(), 7).has_same_request(&other.spec(RunId::new(), 7)));
    }
}

#[test]
fn a_run_with_an_incomplete_spec_is_not_retried() {
    let job = options(&mut Rng::with_seed(1));
    let first = RunSpec { requested: None, ..job.spec(RunId::new(), 7) };
    assert!(Options::retry_of(&first, job.access.clone(), &job).is_none());
}
