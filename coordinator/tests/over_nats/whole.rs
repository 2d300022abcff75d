//! Settings of a run that workers must respect: comparison of values, and the maximum runtime.

use std::time::{Duration, Instant};

use coordinator::options::Options;
use keysweep_model::messages::{Action, PacingLimits, Verify};
use keysweep_model::result::Status;
use keysweep_runtime::context::Timing;
use keysweep_servers::Seeder;
use keysweep_servers::managed_process::wait_until_ready;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use keysweep_testkit::kit::{self, keys};

/// The scanner's fingerprint is sent in the batch to another process, which spares values that were written in
/// between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_delete_only_values_that_the_scanner_saw() {
    let (net, cluster) = (Net::start(Timing::default()).await, kit::cluster().await);
    let mut options = kit::options(cluster.urls());
    (options.rules.verify, options.rules.grace_ms) = (Verify::Value, 4_000);
    let truth = GroundTruth::mixture(1_000, "");
    truth.seed(&options.access).await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let workers = Workers::start(&env, Counts::PAIRS);
    let (records, count) = (env.records(preflight.spec.run), preflight.tasks.len());
    let (again, left) = truth.stale.split_at(truth.stale.len() / 2);
    let writing = async {
        net::until(async || net::reports(&records, &preflight.tasks).await == count).await;
        let mut seeder = Seeder::open(&options.access).await.unwrap();
        for key in again {
            seeder.set(key, b"read,write,other", None).await.unwrap();
        }
        seeder.finish().await.unwrap();
        let there = keys::existing(&options.access, &truth.stale).await.len();
        assert_eq!(there, truth.stale.len(), "all of it within the grace");
    };
    let driving = Box::pin(net::driven(&env, &options, &preflight));
    let (result, ()) = kit::in_time(Box::pin(async { tokio::join!(driving, writing) })).await;
    net::closed(&env, result.run_id).await;
    workers.stop().await;
    let accounting = &result.accounting;
    assert_eq!((result.status, accounting.balanced), (Status::Completed, true), "{:?}", result.issues);
    let expected = (left.len() as u64, again.len() as u64);
    assert_eq!((accounting.deleted, accounting.spared), expected, "{accounting:?}");
    assert_eq!(keys::existing(&options.access, again).await.len(), again.len());
    assert_eq!(keys::existing(&options.access, left).await.len(), 0);
}

/// A distributed run that exceeds its maximum runtime ends then, and its result reports what was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maximum_runtime_ends_a_distributed_run() {
    let (net, cluster) = (Net::start(Timing::default()).await, kit::cluster().await);
    let pacing = PacingLimits { latency_budget_ms: None, keys_per_s_max: Some(1_500) };
    let max_runtime = Some(Duration::from_secs(4));
    let mut options =
        Options { pacing, max_runtime, max_delete_percent: 100, ..kit::options(cluster.urls()) };
    options.rules.delete_batch_keys = 20;
    let mut truth = GroundTruth::mixture(6_000, "");
    (0..6_000).for_each(|n| truth.add(kit::ground_truth::Class::Stale, format!("permissions:more:{n}")));
    truth.seed(&options.access).await;
    let (env, begun) = (net.env(&options).await, Instant::now());
    let preflight = kit::preflight_of(&options).await;
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    let took = begun.elapsed();
    println!("{took:?}: {:?}, {:?}", result.accounting, result.issues);
    assert!((4..14).contains(&took.as_secs()), "{took:?}");
    assert_eq!((result.status, options.rules.action), (Status::Cancelled, Action::Delete));
    let said = "the time that --max-runtime allows is over";
    assert!(result.issues.iter().any(|issue| issue.contains(said)), "{:?}", result.issues);
    let gone = (truth.stale.len() - keys::existing(&options.access, &truth.stale).await.len()) as u64;
    assert_eq!((result.accounting.deleted, result.accounting.balanced), (gone, true), "{result:?}");
    assert!(gone < truth.stale.len() as u64, "it is not over sooner");
    for kept in [&truth.fresh, &truth.protected, &truth.other] {
        assert_eq!(keys::existing(&options.access, kept).await.len(), kept.len());
    }
}

/// Workers go on from run to run. A standalone server that was restarted in between is another process, which the next run is
/// planned for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_find_a_server_that_was_restarted_between_two_runs() {
    let (net, server) = (Net::start(kit::hasty()).await, kit::standalone().await);
    let options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(500, "");
    let env = net.env(&options).await;
    let workers = Workers::start(&env, Counts { scanners: 1, reapers: 1, reporters: 1 });
    for _ in 0..2 {
        truth.seed(&options.access).await;
        let preflight = kit::preflight_of(&options).await;
        let result = kit::in_time(net::driven(&env, &options, &preflight)).await;
        net::closed(&env, result.run_id).await;
        net::freed(&env, &options).await;
        net::drop_ledgers(&options).await;
        truth.check(&options.access, &result).await;
        server.kill().unwrap();
        server.start_again().unwrap();
        assert!(wait_until_ready(&server).await.is_ok());
    }
    workers.stop().await;
    assert_eq!(net::dead_letters(&env).await, []);
}
