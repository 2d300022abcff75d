//! Every combination of jobs, requests and lists of fields: what is carried out is gentler than the job, or named.

use std::collections::BTreeSet;

use keysweep_config::overrides;
use keysweep_model::key::Key;
use keysweep_model::messages::{Action, ActivitySource, InactivePolicy, PacingLimits, Rules};
use keysweep_redis::ConnectOptions;
use proptest::prelude::*;

use super::super::handlers::options;
use super::*;
use crate::options::Options;
use crate::schedule::Schedule;
use crate::ttl_advice::TtlLooks;

fn job(options: Options, allow_override: Vec<&'static str>) -> ServedJob {
    ServedJob {
        action: Action::Delete,
        options,
        allow_override,
        schedule: Schedule::parse("* * * * *", "UTC").expect("a good schedule").into(),
        attempts: 1,
        backoff: Duration::ZERO,
        catch_up: false,
        sample_every: Duration::from_secs(3_600),
        ttl_looks: TtlLooks::default(),
    }
}

prop_compose! {
    fn jobs()(
        (aggressive, dry_run, allow_no_active) in any::<(bool, bool, bool)>(),
        scan_batch_keys in 1_u32..6,
        days in 1_u64..6,
        latency_budget_ms in prop::option::of(1_u64..6),
        keys_per_s_max in prop::option::of(1_u64..6),
        allowed in prop::sample::subsequence(overrides(), 0..=overrides().len()),
    ) -> ServedJob {
        let rules = Rules::deleting(&["permissions:*"], &[]).expect("good patterns");
        let action = if dry_run { Action::Report } else { Action::Delete };
        let order = InactivePolicy {
            identity: "permissions:{user}:*".to_owned(),
            source: ActivitySource::Set(Key::new(*b"warm")),
            near_expiry_ms: 1,
            threshold_ms: days * DAY_MS,
            allow_no_active,
        };
        let options = Options {
            aggressive,
            inactive: Some(order),
            dry_run,
            pacing: PacingLimits { latency_budget_ms, keys_per_s_max },
            ..Options::plain(ConnectOptions::open(Vec::new()), Rules { action, scan_batch_keys, ..rules })
        };
        job(options, allowed)
    }
}

prop_compose! {
    fn requests()(
        scan_batch_size in prop::option::of(1_u32..6),
        (aggressive_cleanup, allow_no_active, generate_report) in any::<(Option<bool>, Option<bool>, Option<bool>)>(),
        inactivity_threshold_days in prop::option::of(1_u32..6),
        dry_run: Option<bool>,
        budget in prop::option::of(1_u64..6),
        rate_limit in prop::option::of(1_u64..6),
        max_speed: Option<bool>,
        started_by in prop::option::of("[a-z]{0,5}"),
    ) -> RunRequest {
        RunRequest {
            job: None,
            scan_batch_size,
            aggressive_cleanup,
            inactivity_threshold_days,
            allow_no_active,
            generate_report,
            dry_run,
            latency_budget: budget.map(|ms| format!("{ms}ms")),
            rate_limit,
            max_speed: max_speed.filter(|_| budget.is_none()),
            started_by,
        }
    }
}

/// In which of [`overrides`] a run does more than its job would. Where no limit is, it is endless.
fn wider(run: &Options, job: &Options) -> Vec<&'static str> {
    let endless = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let order = |options: &Options| options.inactive_policy().cloned();
    let (here, there) = (order(run), job.inactive.clone().expect("every job has one"));
    let budget = endless(run.pacing.latency_budget_ms) > endless(job.pacing.latency_budget_ms);
    let none = run.pacing.latency_budget_ms.is_none();
    let wider = [
        ("scanBatchSize", run.rules.scan_batch_keys > job.rules.scan_batch_keys),
        ("aggressiveCleanup", here.is_some() && !job.aggressive),
        ("inactivityThresholdDays", here.as_ref().is_some_and(|here| here.threshold_ms < there.threshold_ms)),
        ("allowNoActive", here.is_some_and(|here| here.allow_no_active && !there.allow_no_active)),
        ("dryRun", job.dry_run && (!run.dry_run || run.rules.action.writes())),
        ("latencyBudget", budget && !none),
        ("rateLimit", endless(run.pacing.keys_per_s_max) > endless(job.pacing.keys_per_s_max)),
        ("maxSpeed", budget && none),
    ];
    let compared: BTreeSet<&str> = wider.iter().map(|(field, _)| *field).collect();
    assert_eq!(compared, BTreeSet::from_iter(overrides()), "every field that can widen is compared");
    wider.into_iter().filter(|(_, is)| *is).map(|(field, _)| field).collect()
}

/// All of `run` that no request may change, for a comparison.
fn rest(run: &Options, job: &Options) -> String {
    let rules =
        Rules { scan_batch_keys: job.rules.scan_batch_keys, action: job.rules.action, ..run.rules.clone() };
    let (started_by, attempt, pacing) = (job.started_by.clone(), job.attempt, job.pacing);
    let (aggressive, inactive, dry_run) = (job.aggressive, job.inactive.clone(), job.dry_run);
    format!(
        "{:?}",
        Options { rules, started_by, attempt, pacing, aggressive, inactive, dry_run, ..run.clone() }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_run_is_gentler_than_its_job_but_in_what_the_job_lists(job in jobs(), request in requests()) {
        // What the request would come to if everything were allowed.
        let all = ServedJob { allow_override: overrides(), ..job.clone() };
        let asked = options(&all, &request).expect("all of it is within the bounds");
        let wider = wider(&asked, &job.options);
        let beyond: Vec<&str> =
            wider.iter().copied().filter(|field| !job.allow_override.contains(field)).collect();
        match options(&job, &request) {
            Ok(run) => {
                prop_assert!(beyond.is_empty(), "{beyond:?} of {request:?}");
                prop_assert_eq!(rest(&run, &job.options), format!("{:?}", job.options));
                prop_assert_eq!(format!("{run:?}"), format!("{asked:?}"));
            }
            Err(refusal) => {
                prop_assert!(!beyond.is_empty(), "{}: {request:?}", refusal.why);
                prop_assert_eq!(refusal.code, 403);
                for field in &overrides() {
                    prop_assert_eq!(
                        refusal.why.contains(&format!("`{field}` is")),
                        beyond.contains(field),
                        "{}: {}", field, refusal.why
                    );
                }
                prop_assert!(refusal.why.contains("`allow_override = ["), "{}", refusal.why);
            }
        }
    }
}

#[test]
fn a_refusal_names_the_field_the_jobs_value_and_the_way_out() {
    let rules = Rules::deleting(&["permissions:*"], &[]).expect("good patterns");
    let pacing = PacingLimits { latency_budget_ms: Some(1), keys_per_s_max: Some(100) };
    let options = Options { pacing, ..Options::plain(ConnectOptions::open(Vec::new()), rules) };
    let check = |request: &str, expected: &str| {
        let job = job(options.clone(), Vec::new());
        let refusal = check(&job, &serde_json::from_str(request).expect("JSON")).expect_err("it is refused");
        assert_eq!((refusal.code, refusal.why.as_str()), (403, expected));
    };
    check(
        r#"{"rateLimit": 101}"#,
        "a request may only be gentler than its job `job`: `rateLimit` is `101`, and the job has `100`; where programs \
         may ask for more, set `allow_override = [\"rateLimit\"]` in the job",
    );
    check(
        r#"{"maxSpeed": true, "scanBatchSize": 200}"#,
        "a request may only be gentler than its job `job`: `scanBatchSize` is `200`, and the job has `100`; `maxSpeed` is \
         `true`, and the job has the latency budget `1ms`; where programs may ask for more, set `allow_override = \
         [\"scanBatchSize\", \"maxSpeed\"]` in the job",
    );
}
