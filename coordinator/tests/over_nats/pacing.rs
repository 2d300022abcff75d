//! All workers of a distributed run keep to its rate limits.

use coordinator::options::Options;
use keysweep_model::messages::PacingLimits;
use keysweep_runtime::context::Timing;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::net::{self, Counts, Net};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_keep_to_the_budget_and_the_rate_limit_of_a_run() {
    let (net, cluster) = (Net::start(Timing::default()).await, kit::cluster().await);
    let pacing = PacingLimits { latency_budget_ms: Some(2), keys_per_s_max: Some(9_000) };
    let options = Options { pacing, ..kit::options(cluster.urls()) };
    let truth = GroundTruth::mixture(12_000, "");
    truth.seed(&options.access).await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    truth.check_numbers(&result, options.rules.action);
    truth.check_keys_of_workers(&options.access).await;
    let (keys, seconds) = (truth.all() as f64, result.duration_ms as f64 / 1_000.0);
    println!("{keys} keys in {seconds} s: {}", result.pacing.summary);
    assert!(keys / seconds <= 9_000.0 * 1.2, "{keys} keys in {seconds} s");
    let pacing = &result.pacing;
    assert_eq!(
        (pacing.mode.as_str(), pacing.latency_budget_ms, pacing.rate_limit),
        ("latency-budget", Some(2), Some(9_000))
    );
    assert!(pacing.waited_ms.rate_limit > 0 && pacing.nodes.len() == 3, "{pacing:?}");
    net::drop_ledgers(&options).await;
}
