//! The metrics of a process that executes a run: they match its result, and failures are visible.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coordinator::statistics::cleanup_statistics;
use keysweep_model::messages::{Action, HitRateSource};
use keysweep_model::result::Status;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Server;
use keysweep_storage::queue::{QueueError, Topic};
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::intercept::Intercept;

/// The sum of all samples of a metric whose labels contain `part`.
fn sum(context: &Context, name: &str, part: &str) -> f64 {
    let text = context.telemetry.textfile();
    let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(part));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[track_caller]
fn check(context: &Context, name: &str, part: &str, expected: u64) {
    assert_eq!(sum(context, name, part), expected as f64, "{name} {part}\n{}", context.telemetry.textfile());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_of_a_run_equal_its_result() {
    let server = Server::start(&["--maxmemory", "1gb"]).await.expect("a server can be started");
    let options = kit::options(vec![server.url()]);
    GroundTruth::mixture(3_000, "").seed(&options.access).await;
    let mut env = kit::env(&options, Timing::default());
    let refused = AtomicBool::new(false);
    env.queue = Arc::new(Intercept::new(&env.queue).on_publish(move |call| {
        let is_full = call.topic == Topic::Batches && !refused.swap(true, Ordering::SeqCst);
        async move { if is_full { Err(QueueError::Full) } else { call.forward().await } }
    }));
    let result = kit::run_in(&env, &options, &kit::preflight_of(&options).await).await.unwrap();
    assert_eq!(result.status, Status::Completed);
    let job = format!("cleanup_job=\"{}\",redis=\"main\"", options.job);
    let listed = result.nodes.iter().map(|node| node.listed_keys).sum();
    check(&env, "keysweep_keys_listed_total", &job, listed);
    check(&env, "keysweep_keys_scanned_total", &job, result.scanned_keys);
    check(&env, "keysweep_keys_stale_total", &job, result.stale_ttl_keys);
    check(&env, "keysweep_keys_protected_total", &job, result.accounting.protected);
    check(&env, "keysweep_keys_reaped_total", "outcome=\"deleted\"", result.cleaned_keys);
    check(&env, "keysweep_keys_reaped_total", &job, result.cleaned_keys);
    check(&env, "keysweep_runs_total", "outcome=\"completed\"", 1);
    check(&env, "keysweep_run_duration_seconds_count", &job, 1);
    check(&env, "keysweep_matching_keys", &job, result.current_metrics.total_keys.unwrap());
    check(&env, "keysweep_queue_full_waits_total", "queue=\"batches\"", 1);
    assert!(result.cleaned_keys > 0 && result.accounting.protected > 0);
    for (name, part) in [
        ("keysweep_deliveries_total", "queue=\"tasks\",outcome=\"done\""),
        ("keysweep_deliveries_total", "queue=\"batches\",outcome=\"done\""),
        ("keysweep_redis_request_duration_seconds_count", "request=\"window\""),
        ("keysweep_redis_request_duration_seconds_count", "request=\"script\""),
        ("keysweep_average_ttl_seconds", &job),
    ] {
        assert!(sum(&env, name, part) > 0.0, "{name} {part}\n{}", env.telemetry.textfile());
    }
    cleanup_statistics(&env, &options.alias, None, &HitRateSource::Redis, None).await.unwrap();
    assert!(sum(&env, "keysweep_memory_used_ratio", "redis=\"main\"") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_and_redeliveries_show() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    // Such a run takes no lock, so it comes as far as its tasks.
    (options.dry_run, options.rules.action) = (true, Action::Report);
    GroundTruth::mixture(1_000, "").seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, kit::hasty());
    server.kill().unwrap();
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    assert_eq!(result.status, Status::Failed);
    assert!(
        sum(&env, "keysweep_redis_failures_total", "kind=\"unreachable\"") >= 3.0,
        "{}",
        env.telemetry.textfile()
    );
    for (name, part) in [
        ("keysweep_deliveries_total", "queue=\"tasks\",outcome=\"failed\""),
        ("keysweep_deliveries_total", "queue=\"tasks\",outcome=\"dead_lettered\""),
        ("keysweep_redeliveries_total", "queue=\"tasks\""),
    ] {
        assert!(sum(&env, name, part) > 0.0, "{name} {part}\n{}", env.telemetry.textfile());
    }
    check(&env, "keysweep_runs_total", "outcome=\"failed\"", 1);
}
