//! Runs that are slowed down: to protect latency, by a rate limit, or not at all.

use std::time::{Duration, Instant};

use coordinator::options::Options;
use keysweep_model::messages::{Cancel, CancelKind, PacingLimits};
use keysweep_model::result::{Status, Waited};
use keysweep_redis::Reply;
use keysweep_runtime::context::Timing;
use keysweep_servers::Server;
use keysweep_testkit::kit;
use keysweep_testkit::kit::foreground::Foreground;
use keysweep_testkit::kit::ground_truth::GroundTruth;

/// A run that must not affect other clients.
const GENTLE: PacingLimits = PacingLimits { latency_budget_ms: Some(1), keys_per_s_max: None };

/// A run at full speed, but for a limit.
fn limited(keys_per_s: u64) -> PacingLimits {
    PacingLimits { latency_budget_ms: None, keys_per_s_max: Some(keys_per_s) }
}

fn options(url: String, pacing: PacingLimits) -> Options {
    Options { pacing, ..kit::options(vec![url]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gentle_run_completes_and_reports_its_latency() {
    let server = kit::standalone().await;
    let options = options(server.url(), GENTLE);
    let truth = GroundTruth::mixture(60_000, "");
    truth.seed(&options.access).await;
    let before = Foreground::alone(&options.access, Duration::from_secs(1)).await;
    let foreground = Foreground::start(&options.access);
    let result = kit::run(&options).await;
    let during = foreground.stop();
    println!("before {before:?}\nduring {during:?}\n{:#?}", result.pacing);
    truth.check(&options.access, &result).await;
    let pacing = &result.pacing;
    assert_eq!(
        (pacing.mode.as_str(), pacing.latency_budget_ms, pacing.rate_limit),
        ("latency-budget", Some(1), None)
    );
    assert!(pacing.summary.starts_with("latency budget 1 ms; "), "{}", pacing.summary);
    assert!(pacing.waited_ms.latency > 0, "it does not begin at full speed");
    let [node] = pacing.nodes.as_slice() else { panic!("{pacing:?}") };
    assert!(node.probes > 0 && node.probe_ms_before > Some(0.0) && node.probe_ms_p99 > Some(0.0), "{node:?}");
    assert!(node.lowest_duty_cycle > 0.0 && node.lowest_duty_cycle < 1.0, "{node:?}");
    assert_eq!(pacing.slowdowns, node.slowdowns);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_of_a_cluster_is_probed() {
    let cluster = kit::cluster().await;
    let options = Options { pacing: GENTLE, ..kit::options(cluster.urls()) };
    let truth = GroundTruth::mixture(20_000, "");
    truth.seed(&options.access).await;
    let result = kit::run(&options).await;
    truth.check(&options.access, &result).await;
    assert_eq!(result.pacing.nodes.len(), 3, "{:?}", result.pacing);
    assert!(result.pacing.nodes.iter().all(|node| node.probe_ms_before.is_some()), "{:?}", result.pacing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_is_kept() {
    let server = kit::standalone().await;
    let options = options(server.url(), limited(4_000));
    let truth = GroundTruth::mixture(12_000, "");
    truth.seed(&options.access).await;
    let result = kit::run(&options).await;
    truth.check(&options.access, &result).await;
    let (keys, seconds) = (truth.all() as f64, result.duration_ms as f64 / 1_000.0);
    println!("{keys} keys in {seconds} s: {}", result.pacing.summary);
    // What two tasks ask for at once is read before it is taken off.
    assert!(keys / seconds <= 4_000.0 * 1.2, "{keys} keys in {seconds} s");
    assert!(result.pacing.waited_ms.rate_limit > 0, "{:?}", result.pacing);
    assert_eq!(result.pacing.waited_ms.latency, 0);
    assert_eq!((result.pacing.mode.as_str(), result.pacing.rate_limit), ("max-speed", Some(4_000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_held_back_for_long_hands_its_rest_back() {
    let server = kit::standalone().await;
    let options = options(server.url(), limited(2_000));
    let truth = GroundTruth::mixture(9_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    // Four ack deadlines are two seconds, and all of it takes more than four.
    let env = kit::env(&options, kit::hasty());
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    truth.check(&options.access, &result).await;
    let mut reports = 0;
    let (records, mut revision) = (env.records(preflight.spec.run), 0);
    while let Some((at, record)) = records.next_after(revision).await.unwrap() {
        revision = at;
        reports += usize::from(matches!(record, Some(keysweep_storage::records::Record::Report(_))));
    }
    assert!(reports > preflight.tasks.len(), "{reports} reports of {} tasks", preflight.tasks.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_can_be_cancelled() {
    let server = kit::standalone().await;
    let options = options(server.url(), limited(20));
    let truth = GroundTruth::mixture(5_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, Timing::default());
    let records = env.records(preflight.spec.run);
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let cancel = Cancel { kind: CancelKind::Asked, cause: "a test asked for it".to_owned() };
        records.create_cancel(&cancel).await.unwrap();
        Instant::now()
    };
    let (result, cancelled) = tokio::join!(kit::run_in(&env, &options, &preflight), cancel);
    let (result, took) = (result.unwrap(), cancelled.elapsed());
    assert_eq!(result.status, Status::Cancelled);
    // It would have waited for minutes.
    assert!(took < Duration::from_secs(20), "it ended {took:?} after it was cancelled");
    assert!(result.accounting.balanced, "{:?}", result.accounting);
    assert!(result.pacing.waited_ms.rate_limit < 60_000, "{:?}", result.pacing);
}

/// Batches that wait for their turn when the run is cancelled have begun: they know which of their keys they did not touch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gentle_run_that_is_cancelled_leaves_no_key_unconfirmed() {
    let server = kit::standalone().await;
    let mut options = options(server.url(), GENTLE);
    // All is read before the first deletion, and a batch takes many calls.
    (options.rules.grace_ms, options.rules.delete_batch_keys) = (4_000, 1_000);
    let truth = GroundTruth::mixture(60_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, Timing::default());
    let running = kit::run_in(&env, &options, &preflight);
    let cancelling = async {
        let conn = server.conn().await.unwrap();
        kit::in_time(async {
            while !matches!(conn.info_text("DBSIZE").await, Ok(Reply::Int(keys)) if keys.unsigned_abs() < truth.all()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let cancel = Cancel { kind: CancelKind::Asked, cause: "a test asked for it".to_owned() };
        env.records(preflight.spec.run).create_cancel(&cancel).await.unwrap();
    };
    let (result, ()) = tokio::join!(running, cancelling);
    let result = result.unwrap();
    let accounting = &result.accounting;
    assert!(
        accounting.deleted > 0 && accounting.unreached > 0,
        "it was cancelled in the middle: {accounting:?}"
    );
    assert_eq!((result.status, accounting.unconfirmed), (Status::Cancelled, 0), "{accounting:?}");
    let left = kit::keys::existing(&options.access, &truth.stale).await.len() as u64;
    assert_eq!(left, truth.stale.len() as u64 - accounting.deleted, "{accounting:?}");
    assert!(result.issues.iter().any(|issue| issue.contains("a test asked for it")), "{:?}", result.issues);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_full_speed_no_task_waits_and_no_probe_is_sent() {
    let server = kit::standalone().await;
    let options = options(server.url(), PacingLimits::default());
    let truth = GroundTruth::mixture(3_000, "");
    truth.seed(&options.access).await;
    let env = kit::env(&options, Timing::default());
    let result = kit::run_in(&env, &options, &kit::preflight_of(&options).await).await.unwrap();
    truth.check(&options.access, &result).await;
    let pacing = &result.pacing;
    assert_eq!(
        (pacing.mode.as_str(), pacing.waited_ms, pacing.slowdowns),
        ("max-speed", Waited::default(), 0)
    );
    assert!(pacing.nodes.is_empty() && env.pacers.duty_cycle_now().is_none(), "{pacing:?}");
    let text = env.telemetry.textfile();
    assert!(!text.contains("keysweep_probe_duration_seconds_count"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_no_probe_for_a_while_fails_nothing() {
    let server = Server::start(&["--enable-debug-command", "yes"]).await.expect("a server can be started");
    let options = options(server.url(), PacingLimits { keys_per_s_max: Some(5_000), ..GENTLE });
    let truth = GroundTruth::mixture(10_000, "");
    truth.seed(&options.access).await;
    let blocked = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let conn = options.access.connect_dedicated(&options.access.urls[0]).await.unwrap();
        // Longer than a probe may take.
        conn.info_text("DEBUG SLEEP 1.5").await.unwrap();
    };
    let (result, ()) = tokio::join!(kit::run(&options), blocked);
    truth.check(&options.access, &result).await;
    println!("{}", result.pacing.summary);
    assert!(result.pacing.slowdowns > 0, "{:?}", result.pacing);
    assert!(result.pacing.nodes.iter().any(|node| node.late_probes > 0), "{:?}", result.pacing);
}
