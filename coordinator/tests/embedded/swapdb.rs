//! Databases that are swapped (SWAPDB) while candidates wait for their grace: the names are the same, the keys are
//! not.

use coordinator::embedded;
use coordinator::run_phase::RunPhase;
use keysweep_model::result::Status;
use keysweep_redis::{ConnectOptions, Reply};
use keysweep_runtime::context::Timing;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_swapped_database_stay() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    options.rules.grace_ms = 1_500;
    let truth = GroundTruth::mixture(1_000, "");
    truth.seed(&options.access).await;
    let other = ConnectOptions { db: 1, ..options.access.clone() };
    truth.seed(&other).await;
    let conn = server.conn().await.unwrap();
    let there = async || match conn.info_text("KEYS permissions:*").await.unwrap() {
        Reply::Array(keys) => keys.len(),
        reply => panic!("{reply:?}"),
    };
    let before = there().await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, Timing::default());
    let (progress, mut seen) = kit::progress(&preflight);
    let running = kit::in_time(embedded::run(&env, &options, &preflight, progress));
    let swapping = async {
        seen.wait_for(|progress| progress.phase == RunPhase::Reaping).await.unwrap();
        conn.info_text("SWAPDB 0 1").await.unwrap();
    };
    let (result, ()) = tokio::join!(Box::pin(running), swapping);
    let result = result.unwrap();
    assert_eq!((result.status, result.cleaned_keys), (Status::Partial, 0), "{:?}", result.issues);
    let named = |issue: &String| issue.contains("SWAPDB was called there since the run was planned");
    assert!(result.issues.iter().any(named), "{:?}", result.issues);
    assert_eq!(there().await, before, "nothing was deleted");
}
