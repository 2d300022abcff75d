//! Jobs with rules: each rule does what it states with its keys, and with no others, also when every message is delivered
//! twice and when workers die at the worst moments.

use std::time::Duration;

use coordinator::embedded::{RunError, check_deletions};
use coordinator::options::Options;
use coordinator::preflight::{PreflightError, preflight};
use keysweep_model::ids::RunId;
use keysweep_model::result::Status;
use keysweep_model::time::now_ms;
use keysweep_runtime::context::Timing;
use keysweep_runtime::failpoint::{FailPoint, FailPoints};
use keysweep_testkit::kit;
use keysweep_testkit::kit::queues::Twice;
use keysweep_testkit::kit::rule_truth::{self, RuleTruth};

/// Keys of a test in CI.
const KEYS: u64 = 30_000;

/// Few, but enough for several batches of each rule.
const FEW: u64 = 6_000;

fn options(urls: Vec<String>, dry_run: bool) -> Options {
    let options = kit::options(urls);
    Options { rules: RuleTruth::rules(dry_run), dry_run, max_delete_percent: 100, ..options }
}

fn timing() -> Timing {
    Timing { ack_wait: Duration::from_millis(500), ..Timing::default() }
}

async fn ten_rules(urls: Vec<String>, keys: u64) {
    let truth = RuleTruth::of(keys);
    let dry = options(urls.clone(), true);
    truth.seed(&dry.access).await;
    let result = kit::run(&dry).await;
    truth.check_numbers(&result, true);
    truth.check_keys(&dry.access, true).await;
    let options = options(urls, false);
    let result = kit::run(&options).await;
    println!("{} keys in {} ms", result.scanned_keys, result.duration_ms);
    truth.check(&options.access, &result).await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rules_on_a_standalone_server() {
    let server = kit::standalone().await;
    Box::pin(ten_rules(vec![server.url()], KEYS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rules_on_a_cluster() {
    let cluster = kit::cluster().await;
    Box::pin(ten_rules(cluster.urls(), KEYS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 200,000 keys"]
async fn soak_ten_rules() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        Box::pin(ten_rules(urls, 200_000)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_of_a_run_with_rules_twice() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = options(urls, false);
        options.rules.grace_ms = 100;
        let mut env = kit::env(&options, timing());
        let twice = Twice::install(&mut env.queue);
        let truth = RuleTruth::of(FEW);
        truth.seed(&options.access).await;
        let preflight = kit::preflight_of(&options).await;
        let result = kit::run_in(&env, &options, &preflight).await.unwrap();
        truth.check(&options.access, &result).await;
        assert!(twice.doubled() > preflight.tasks.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_point_of_a_run_with_rules() {
    // The other points concern backups and results, which know no rules.
    for point in [
        FailPoint::TaskReceived,
        FailPoint::BatchesPublished,
        FailPoint::ReportStored,
        FailPoint::BatchReceived,
        FailPoint::ScriptsRun,
        FailPoint::ReceiptPending,
        FailPoint::ReceiptStored,
    ] {
        println!("{point:?}");
        let cluster = kit::cluster().await;
        let mut options = options(cluster.urls(), false);
        options.rules.grace_ms = 50;
        let truth = RuleTruth::of(FEW);
        truth.seed(&options.access).await;
        let preflight = kit::preflight_of(&options).await;
        let (env, plan) = kit::with_crash(kit::env(&options, timing()), FailPoints::at(point, 2));
        let result = kit::run_in(&env, &options, &preflight).await.unwrap();
        assert!(plan.has_fired());
        truth.check(&options.access, &result).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_deletes_no_more_of_its_keys_than_it_may() {
    let server = kit::standalone().await;
    let mut options = options(vec![server.url()], false);
    let truth = RuleTruth::of(FEW);
    truth.seed(&options.access).await;
    // Half of the keys of this rule have no TTL, and it deletes those.
    let limit = |options: &mut Options, percent| {
        let policy = options.rules.policy.as_mut().expect("rules");
        policy.rules[4].max_delete_percent = Some(percent);
    };
    limit(&mut options, 40);
    let plan = preflight(&options, RunId::new(), now_ms()).await.expect("a plan");
    let refused = check_deletions(&options, &plan).unwrap_err();
    assert!(matches!(refused, RunError::TooManyOfRule { rule: 5, limit: 40, allow: 50, .. }), "{refused}");
    // The plan is exact; the limit is also kept if more keys come after it.
    limit(&mut options, 50);
    let plan = kit::preflight_of(&options).await;
    check_deletions(&options, &plan).expect("it is within the limit");
    rule_truth::add_stale(&options.access, "ns4:more:", 50).await;
    let env = kit::env(&options, timing());
    let result = kit::run_in(&env, &options, &plan).await.unwrap();
    assert_eq!((result.status, result.cleaned_keys), (Status::Cancelled, 0), "{:?}", result.issues);
    assert!(result.issues.iter().any(|issue| issue.contains("of rule 5")), "{:?}", result.issues);
    let alert = result.alerts.iter().find(|alert| alert.alert == "rule-limit").expect("an alert");
    let rule = alert.policy_rule.as_ref().expect("its rule");
    assert_eq!((rule.index, &rule.matching), (5, &vec!["ns4:*".to_owned()]), "{alert:?}");
    assert!(result.accounting.balanced && result.rules.iter().all(|rule| rule.accounting.balanced));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_a_server_cannot_answer_is_refused() {
    let server = kit::standalone().await;
    let check = async |change: fn(&mut Options), expected: &str| {
        let mut options = options(vec![server.url()], false);
        change(&mut options);
        let error = preflight(&options, RunId::new(), now_ms()).await.err().expect("it is refused");
        assert!(matches!(error, PreflightError::Rule { .. } | PreflightError::Rules(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        |options| rule_truth::set_condition(&mut options.rules, 4, "freq > 3"),
        "rule 5 cannot be carried out",
    )
    .await;
    check(
        |options| options.rules.verify = keysweep_model::messages::Verify::Value,
        "its condition is about accesses",
    )
    .await;
    check(|options| rule_truth::set_condition(&mut options.rules, 4, "idle >"), "rule 5: `where`").await;
}

/// The time of ten rules against that of one, over the same keys: the least of five runs each, by turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time: it needs the machine to itself, and an optimized build"]
async fn measure_ten_rules_against_one() {
    let server = kit::standalone().await;
    let options = |rules| Options { rules, dry_run: true, ..kit::options(vec![server.url()]) };
    let (one, ten) = (options(rule_truth::reporting(true)), options(rule_truth::reporting(false)));
    RuleTruth::of(300_000).seed(&one.access).await;
    let mut least = [u64::MAX; 2];
    for round in 0..5 {
        for (options, least) in [&one, &ten].into_iter().zip(&mut least) {
            let result = kit::run(options).await;
            assert_eq!(result.scanned_keys, 100_000, "all keys of the ten namespaces");
            println!("round {round}: {} rules in {} ms", result.rules.len(), result.duration_ms);
            *least = (*least).min(result.duration_ms);
        }
    }
    let [one, ten] = least;
    println!("one rule {one} ms, ten rules {ten} ms");
    assert!(ten * 100 <= one * 115, "ten rules take {ten} ms, one {one} ms");
}
