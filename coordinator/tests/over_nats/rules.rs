//! Jobs with rules over NATS: every rule exact with several workers of each role, and when every message is delivered twice.

use std::time::Duration;

use coordinator::options::Options;
use keysweep_model::result::Status;
use keysweep_runtime::context::Timing;
use keysweep_testkit::kit;
use keysweep_testkit::kit::net::{self, Counts, Net};
use keysweep_testkit::kit::queues::Twice;
use keysweep_testkit::kit::rule_truth::RuleTruth;
use keysweep_testkit::kit::rule_users;

/// Few, but enough for several batches of each rule.
const KEYS: u64 = 12_000;

async fn ten_rules(urls: Vec<String>, keys: u64, doubled: bool) {
    let net = Net::start(Timing { ack_wait: Duration::from_millis(500), ..Timing::default() }).await;
    let options = kit::options(urls);
    let options = Options { rules: RuleTruth::rules(false), max_delete_percent: 100, ..options };
    let mut env = net.env(&options).await;
    let twice = doubled.then(|| Twice::install(&mut env.queue));
    let truth = RuleTruth::of(keys);
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
    println!("{keys} keys, doubled {doubled}: {} ms", result.duration_ms);
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    assert!(twice.is_none_or(|twice| twice.doubled() > preflight.tasks.len() as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rules_on_a_cluster() {
    let cluster = kit::cluster().await;
    Box::pin(ten_rules(cluster.urls(), KEYS, false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 200,000 keys"]
async fn soak_ten_rules() {
    for doubled in [false, true] {
        let (server, cluster) = (kit::standalone().await, kit::cluster().await);
        for urls in [vec![server.url()], cluster.urls()] {
            Box::pin(ten_rules(urls, 200_000, doubled)).await;
        }
    }
}

/// Each worker reads who was active when the run was planned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_ask_for_users() {
    let cluster = kit::cluster().await;
    let net = Net::start(Timing::default()).await;
    let options = rule_users::options(cluster.urls());
    let env = net.env(&options).await;
    rule_users::seed(&options.access, true).await;
    let preflight = kit::preflight_of(&options).await;
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    net::drop_ledgers(&options).await;
    rule_users::check(&options.access, &result).await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_of_a_run_with_rules_twice() {
    let server = kit::standalone().await;
    Box::pin(ten_rules(vec![server.url()], KEYS, true)).await;
}
