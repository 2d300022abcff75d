//! Nothing is counted or deleted twice, and nothing is lost, when every message is delivered twice and when workers
//! die at the worst moments.

use std::time::Duration;

use coordinator::restore::RestoreRequest;
use keysweep_runtime::context::Timing;
use keysweep_runtime::failpoint::{FailPoint, FailPoints};
use keysweep_testkit::kit;
use keysweep_testkit::kit::backup::{self, Folder};
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::queues::Twice;

/// Few, but enough for two scan tasks even on a standalone server.
const KEYS: u64 = 12_000;

/// Where workers are cut off, and whether a run comes there a second time. The reporter makes one result: it
/// passes its points once, unless it was cut off at them before.
const POINTS: [(FailPoint, bool); 10] = [
    (FailPoint::TaskReceived, true),
    (FailPoint::BatchesPublished, true),
    (FailPoint::ReportStored, true),
    (FailPoint::BatchReceived, true),
    (FailPoint::BackupWritten, true),
    (FailPoint::ScriptsRun, true),
    (FailPoint::ReceiptPending, true),
    (FailPoint::ReceiptStored, true),
    (FailPoint::ResultPending, false),
    (FailPoint::ResultStored, false),
];

/// Redelivery after half a second, so that a worker cut off does not hold the test up.
fn timing() -> Timing {
    Timing { ack_wait: Duration::from_millis(500), ..Timing::default() }
}

/// Every delivery twice, with `grace_ms`.
pub async fn delivered_twice(urls: Vec<String>, keys: u64, grace_ms: u64) {
    let mut options = kit::options(urls);
    options.rules.grace_ms = grace_ms;
    let mut env = kit::env(&options, timing());
    let twice = Twice::install(&mut env.queue);
    let truth = GroundTruth::mixture(keys, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    truth.check(&options.access, &result).await;
    let messages = preflight.tasks.len() as u64;
    assert!(twice.doubled() > messages, "{} deliveries were doubled, of {messages} tasks", twice.doubled());
}

/// One run in which a worker is cut off at the `visit`-th visit of `point`. Every other run saves what it deletes: all of
/// that, and nothing else, could be put back then.
pub async fn cut_off(urls: Vec<String>, point: FailPoint, visit: u32, happens: bool) {
    let mut options = kit::options(urls);
    options.rules.grace_ms = 50;
    let folder = Folder::new();
    let saves = point == FailPoint::BackupWritten || visit == 2;
    if saves {
        options = backup::saving(options, &folder);
    }
    let truth = GroundTruth::mixture(KEYS, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let (env, plan) = kit::with_crash(kit::env(&options, timing()), FailPoints::at(point, visit));
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    assert_eq!(plan.has_fired(), happens, "whether {point:?} was visited {visit} times");
    truth.check(&options.access, &result).await;
    if saves {
        let order = RestoreRequest { dry_run: true, ..backup::order(&options, &folder) };
        let account = backup::restore(&order).await;
        assert_eq!((account.restorable, account.unconfirmed), (result.cleaned_keys, 0), "{account:?}");
        assert_eq!((account.read, account.damaged), (account.restorable + account.older, 0), "{account:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_twice_on_a_standalone_server() {
    let server = kit::standalone().await;
    delivered_twice(vec![server.url()], 20_000, 0).await;
}

#[test]
fn every_point_is_in_the_table() {
    assert_eq!(POINTS.map(|(point, _)| point), FailPoint::ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_point_on_a_standalone_server() {
    for (point, again) in POINTS {
        for (visit, happens) in [(1, true), (2, again)] {
            println!("{point:?}, visit {visit}");
            let server = kit::standalone().await;
            cut_off(vec![server.url()], point, visit, happens).await;
        }
    }
}
