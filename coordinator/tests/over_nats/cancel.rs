//! A distributed run that is cancelled while it deletes: deletion stops at once, and the result lists exactly the
//! deleted keys.

use std::time::Duration;

use keysweep_model::messages::{Cancel, CancelKind};
use keysweep_model::result::Status;
use keysweep_runtime::context::Timing;
use keysweep_storage::queue::Topic;
use keysweep_testkit::kit::gate::pace;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use keysweep_testkit::kit::{self, keys};

/// The time after which no key may be deleted.
const STOP: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_stops_within_two_seconds() {
    let (net, cluster) = (Net::start(Timing::default()).await, kit::cluster().await);
    let mut options = kit::options(cluster.urls());
    options.max_delete_percent = 100;
    let mut truth = GroundTruth::mixture(60_000, "");
    (0..40_000).for_each(|n| truth.add(kit::ground_truth::Class::Stale, format!("permissions:more:{n}")));
    truth.seed(&options.access).await;
    let (mut env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    // One batch of at most 4,000 keys per 200 ms and reaper: much slower than the test needs.
    pace(&mut env.queue, Topic::Batches, Duration::from_millis(200));
    let workers = Workers::start(&env, Counts { scanners: 2, reapers: 1, reporters: 1 });
    let records = env.records(preflight.spec.run);
    let stopping = async {
        net::until(async || keys::count(&options.access).await < truth.all()).await;
        let cancel = Cancel { kind: CancelKind::Asked, cause: "a test asked for it".to_owned() };
        records.create_cancel(&cancel).await.unwrap();
        tokio::time::sleep(STOP).await;
        keys::existing(&options.access, &truth.stale).await.len()
    };
    let driving = Box::pin(net::driven(&env, &options, &preflight));
    let (result, left) = kit::in_time(Box::pin(async { tokio::join!(driving, stopping) })).await;
    net::closed(&env, result.run_id).await;
    workers.stop().await;
    // Longer than any redelivery: no deletion follows.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let existing = keys::existing(&options.access, &truth.stale).await.len();
    assert_eq!(existing, left, "nothing is deleted later than {STOP:?} after the cancel");
    let (gone, all) = ((truth.stale.len() - left) as u64, truth.stale.len() as u64);
    println!("{gone} of {all} stale keys were deleted before the run stopped");
    assert!(gone > 0 && gone < all, "it was cancelled in the middle");
    let accounting = result.accounting;
    assert_eq!((result.status, result.cleaned_keys, accounting.deleted), (Status::Cancelled, gone, gone));
    assert!(accounting.balanced, "{accounting:?}");
    assert_eq!(accounting.candidates, gone + accounting.unreached + accounting.protected, "{accounting:?}");
    assert!(result.issues.iter().any(|issue| issue.contains("a test asked for it")), "{:?}", result.issues);
    for kept in [&truth.fresh, &truth.protected, &truth.other] {
        assert_eq!(keys::existing(&options.access, kept).await.len(), kept.len());
    }
    net::drop_ledgers(&options).await;
    assert_eq!(keys::count(&options.access).await, truth.all() - gone, "nothing of our own is left");
}
