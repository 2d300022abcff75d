//! A panic in a run, which is a bug of ours: the run has an error, is closed in the history, and leaves its job free.

use std::sync::Arc;

use keysweep_model::result::Status;
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::audit::EntryAudit;
use keysweep_storage::events::EVENTS;
use keysweep_storage::history;
use keysweep_storage::queue::Topic;
use keysweep_storage::store;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::intercept::Intercept;
use keysweep_testkit::kit::keys;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_panics_is_a_failed_one() {
    let server = kit::standalone().await;
    let options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(1_000, "");
    truth.seed(&options.access).await;
    let env = kit::env(&options, Timing::default());
    let panicking = Intercept::new(&env.queue).on_publish(|call| async move {
        assert!(call.topic != Topic::Tasks, "the bug of a test");
        call.forward().await
    });
    let audit = EntryAudit(Arc::clone(&env.history_store));
    let env = Context { queue: Arc::new(panicking), audit: Some(Arc::new(audit)), ..env };
    let preflight = kit::preflight_of(&options).await;
    let failed = kit::run_in(&env, &options, &preflight).await.unwrap_err().to_string();
    assert!(failed.contains("the bug of a test") && failed.contains("please report it"), "{failed}");
    let line = history::of(&*env.history_store, preflight.spec.run).await.unwrap().unwrap();
    assert_eq!(line.status, Some(Status::Failed), "{line:?}");
    assert!(line.cause.is_some_and(|cause| cause.contains("the bug of a test")));
    let events = store::all(&*env.history_store, EVENTS).await.unwrap();
    let failed = format!("/failed/{}", preflight.spec.run);
    assert!(events.iter().any(|event| event.key.ends_with(&failed)), "{events:?}");
    assert!(keys::matching(&options.access, "keysweep:*").await.is_empty(), "the lock is free");
    assert_eq!(keys::count(&options.access).await, truth.all());
}
