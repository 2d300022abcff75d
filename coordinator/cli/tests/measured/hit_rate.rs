//! The reported hit rate is correct: an application with a known rate looks up keys during two runs. The rate by INFO
//! alone is wrong by tens of points in this time, because a run looks up every key.

use coordinator::options::Options;
use keysweep_model::messages::Lookups;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::counter_snapshot;
use keysweep_testkit::kit;
use keysweep_testkit::kit::application::Application;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::net::{self, Counts, Net};

/// Percentage of the application's lookups.
const TRUE_RATE: u64 = 45;

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn rate(lookups: Lookups) -> f64 {
    lookups.hits as f64 * 100.0 / (lookups.hits + lookups.misses) as f64
}

/// The sum of all current counters.
async fn counters(options: &Options) -> Lookups {
    let mut sum = Lookups::default();
    for text in kit::keys::info(&options.access, "stats").await {
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap()
        };
        sum += Lookups::of(number("keyspace_hits"), number("keyspace_misses"));
    }
    sum
}

/// Two runs over `keys` keys with the application running: the second one reports the time since the first.
async fn check(options: &Options, keys: u64, context: &Context, run: impl AsyncFn() -> CleanupResult) {
    GroundTruth::mixture(keys, "").seed(&options.access).await;
    let application = Application::start(&options.access, TRUE_RATE).await;
    let before = counters(options).await;
    let first = run().await;
    let second = run().await;
    let after = counters(options).await;
    application.stop().await;
    let naive = rate(Lookups::of(after.hits - before.hits, after.misses - before.misses));
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let truth = TRUE_RATE as f64;
    for result in [&first, &second] {
        assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
        let metrics = result.current_metrics;
        let reported = metrics.hit_rate.unwrap();
        println!(
            "truth {truth} %, reported {reported:.2} % of {}, naive {naive:.2} %",
            metrics.hits.unwrap() + metrics.misses.unwrap()
        );
        assert!((reported - truth).abs() <= 0.5, "reported {reported:.3} %");
    }
    assert!((naive - truth).abs() > 10.0, "INFO alone would do: {naive:.2} %");
    let since = second.metrics.hit_rates.since_last_run.unwrap();
    assert_eq!(since.hits, second.current_metrics.hits);
    let stored = counter_snapshot::of(&*context.history_store, &options.alias).await.unwrap();
    assert_eq!(stored.len(), 4, "each run begins and ends with a sample");
}

async fn embedded(options: &Options, keys: u64) {
    let env = kit::env(options, Timing::default());
    Box::pin(check(options, keys, &env, async || {
        kit::run_in(&env, options, &kit::preflight_of(options).await).await.unwrap()
    }))
    .await;
}

async fn over_nats(options: &Options, keys: u64) {
    let net = Net::start(Timing::default()).await;
    let env = net.env(options).await;
    let counts = Counts { scanners: 2, reapers: 2, reporters: 1 };
    check(options, keys, &env, async || {
        let preflight = kit::preflight_of(options).await;
        let result = Box::pin(net::run_in(&env, options, &preflight, counts)).await;
        net::freed(&env, options).await;
        result
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hit_rate_is_that_of_the_application() {
    let _turn = crate::TURN.lock().await;
    let server = kit::standalone().await;
    Box::pin(embedded(&kit::options(vec![server.url()]), 30_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hit_rate_is_that_of_the_application_on_workers_and_a_cluster() {
    let _turn = crate::TURN.lock().await;
    let cluster = kit::cluster().await;
    Box::pin(over_nats(&kit::options(cluster.urls()), 30_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: a million keys, four times"]
async fn soak_the_hit_rate_is_that_of_the_application() {
    let _turn = crate::TURN.lock().await;
    let keys = kit::soak_keys();
    let server = kit::standalone().await;
    Box::pin(embedded(&kit::options(vec![server.url()]), keys)).await;
    let server = kit::standalone().await;
    Box::pin(over_nats(&kit::options(vec![server.url()]), keys)).await;
    let cluster = kit::cluster().await;
    Box::pin(embedded(&kit::options(cluster.urls()), keys)).await;
}

/// Without an application there is no rate, not 0 % and not 100 %: no own lookup is left over, neither those of the
/// lock nor those of the permission check.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_traffic_there_is_no_rate() {
    let _turn = crate::TURN.lock().await;
    let server = kit::standalone().await;
    let options = kit::options(vec![server.url()]);
    GroundTruth::mixture(2_000, "").seed(&options.access).await;
    let env = kit::env(&options, Timing::default());
    for n in 0..3 {
        let result = kit::run_in(&env, &options, &kit::preflight_of(&options).await).await.unwrap();
        let rates = &result.metrics.hit_rates;
        let (metrics, since) = (result.current_metrics, rates.since_last_run.as_ref());
        assert_eq!(
            (metrics.hits, metrics.misses, metrics.hit_rate),
            (Some(0), Some(0), None),
            "run {n}: {since:?}"
        );
        assert_eq!(since.is_some(), n > 0);
        assert_eq!(rates.last_day.as_ref().unwrap().hit_rate, None, "run {n}");
        assert!(!result.recommendations.iter().any(|advice| advice.contains("hit rate")));
    }
}
