//! The progress of a run while its tasks are being read.

use std::time::Duration;

use coordinator::drive::Progress;
use coordinator::embedded;
use coordinator::options::Options;
use keysweep_model::messages::PacingLimits;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use tokio::time::sleep;

/// Every state of a run that a watcher sees who looks every 100 ms.
async fn watched(options: &Options) -> (Vec<Progress>, keysweep_model::result::CleanupResult) {
    let (env, preflight) = (embedded::context(options), kit::preflight_of(options).await);
    let (sender, receiver) = kit::progress(&preflight);
    let mut running = Box::pin(embedded::run(&env, options, &preflight, sender));
    let mut seen = Vec::new();
    loop {
        tokio::select! {
            result = &mut running => return (seen, result.expect("the run has a result")),
            () = sleep(Duration::from_millis(100)) => seen.push(*receiver.borrow()),
        }
    }
}

/// A hundredth of the speed, at which a task takes longer than the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_moves_while_no_task_is_done() {
    let server = kit::standalone().await;
    let pacing = PacingLimits { latency_budget_ms: None, keys_per_s_max: Some(1_500) };
    let options = Options { pacing, ..kit::options(vec![server.url()]) };
    let truth = GroundTruth::mixture(12_000, "");
    truth.seed(&options.access).await;
    let (seen, result) = kit::in_time(watched(&options)).await;
    truth.check(&options.access, &result).await;
    let mut listed: Vec<u64> =
        seen.iter().filter(|at| at.totals.tasks_reported == 0).map(|at| at.read.listed).collect();
    listed.dedup();
    assert!(listed.len() >= 3, "it stood still: {listed:?}");
    assert!(seen.windows(2).all(|pair| pair[0].read.listed <= pair[1].read.listed), "it went back");
    let keys = truth.all();
    for at in &seen {
        let (read, exact) = (at.read, at.totals.counts);
        assert!(read.listed >= exact.passed() && read.listed <= keys && read.stale >= exact.stale, "{at:?}");
    }
}
