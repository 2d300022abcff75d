//! Undecodable messages, lost messages, and misconfigured workers: the run continues, and reports what happened.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use coordinator::drive::{Progress, drive};
use coordinator::limits::TASK_AGAIN_ACK_WAITS;
use keysweep_model::ids::{Alias, BatchId};
use keysweep_model::messages::{Action, Covered, ListedBatch, ScanCounts, TaskReport};
use keysweep_model::range::Scope;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::wire::{self, FORMAT, FORMAT_LATEST};
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::{Context, Timing};
use keysweep_runtime::limits::BATCH_LIFE;
use keysweep_servers::Server;
use keysweep_storage::queue::Topic;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use tokio::sync::watch;
use tokio::time::Instant;

fn timing() -> Timing {
    Timing {
        ack_wait: Duration::from_millis(500),
        max_failures: 3,
        retry_delay_max: Duration::from_millis(200),
        ..Timing::default()
    }
}

/// Undecodable payloads, and their error messages.
fn unreadable() -> [(Vec<u8>, String); 4] {
    let newer = {
        let mut task = wire::encode(&"a task of the next version").unwrap();
        task[0] = FORMAT_LATEST + 1;
        task
    };
    [
        (Vec::new(), "an empty message".to_owned()),
        (b"\xff\xfe garbage".to_vec(), "a message of format 255,".to_owned()),
        ([&[FORMAT], b"garbage".as_slice()].concat(), "failed to decode a message".to_owned()),
        (newer, format!("a message of format {},", FORMAT_LATEST + 1)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undecodable_messages_are_dead_lettered_and_named() {
    let (net, server) = (Net::start(timing()).await, kit::standalone().await);
    let options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(12_000, "");
    truth.seed(&options.access).await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    for topic in [Topic::Tasks, Topic::Batches] {
        for (n, (payload, _)) in unreadable().into_iter().enumerate() {
            env.queue.publish(topic, &format!("unreadable/{n}"), payload, None).await.unwrap();
        }
    }
    let workers = Workers::start(&env, Counts::PAIRS);
    net::until(async || net::dead_letters(&env).await.len() == 2 * unreadable().len()).await;
    let result = kit::in_time(net::driven(&env, &options, &preflight)).await;
    // Long enough for any redelivery.
    tokio::time::sleep(env.timing.ack_wait * 2).await;
    workers.stop().await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
    let letters = net::dead_letters(&env).await;
    for (payload, reason) in unreadable() {
        let reason = reason.as_str();
        for queue in ["tasks", "batches"] {
            let its = letters.iter().filter(|letter| letter.queue == queue && letter.payload == payload);
            let its: Vec<_> = its.collect();
            assert_eq!(its.len(), 1, "{reason}: once in {queue}, of {letters:?}");
            assert!(its[0].reason.contains(reason) && its[0].run.is_none(), "{:?}", its[0]);
        }
        // If the payload is not a message at all, each queue reports its own expectation.
        let of_it = result.issues.iter().filter(|issue| issue.contains(reason));
        let messages = of_it.map(|issue| issue.split(' ').next().unwrap().parse::<u64>().unwrap());
        assert_eq!(messages.sum::<u64>(), 2, "{reason}: {:?}", result.issues);
    }
    assert_eq!(letters.len(), 2 * unreadable().len(), "each was put aside once");
    net::check_empty(&env).await;
}

/// One run with as many misconfigured workers as correct ones; the misconfigured ones start first.
async fn with_misled_workers(
    server: &Server,
    wrong: BTreeMap<Alias, ConnectOptions>,
    misled: Counts,
) -> (GroundTruth, CleanupResult) {
    let net = Net::start(Timing { ack_wait: Duration::from_secs(1), ..Timing::default() }).await;
    let options = kit::options(vec![server.url()]);
    server.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    let truth = GroundTruth::mixture(30_000, "");
    truth.seed(&options.access).await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let mut elsewhere = net.env(&options).await;
    elsewhere.access = wrong.into();
    let mut workers = Workers::start(&elsewhere, misled);
    let held = net::submitted(&env, &options, &preflight, "a test").await;
    let conducting = Box::pin(net::conducted(&env, held));
    let joining = async {
        // Until one of them has failed.
        let failures = format!("failures/{}/", preflight.spec.run);
        let failed = async || env.store.next_after(&failures, 0).await.unwrap().is_some();
        if misled.scanners > 0 {
            net::until(failed).await;
            workers.add(&env, Counts { scanners: 1, reapers: 1, reporters: 1 });
        } else {
            workers.add(&env, Counts { scanners: 1, reapers: 0, reporters: 1 });
            net::until(failed).await;
            workers.add(&env, Counts { scanners: 0, reapers: 1, reporters: 0 });
        }
    };
    let (result, ()) = kit::in_time(async { tokio::join!(conducting, joining) }).await;
    println!("{misled:?}: {} ms, {:?}", result.duration_ms, result.issues);
    workers.stop().await;
    net::drop_ledgers(&options).await;
    (truth, result)
}

const SCANNER: Counts = Counts { scanners: 1, reapers: 0, reporters: 0 };
const REAPER: Counts = Counts { scanners: 0, reapers: 1, reporters: 0 };

fn main_is(url: String) -> BTreeMap<Alias, ConnectOptions> {
    BTreeMap::from([(Alias::new("main"), ConnectOptions::open(vec![url]))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_without_redis_leave_the_work_to_others() {
    let server = kit::standalone().await;
    let unused_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for wrong in [main_is(format!("redis://127.0.0.1:{unused_port}")), BTreeMap::new()] {
        for misled in [SCANNER, REAPER, Counts { reporters: 1, ..SCANNER }] {
            let (truth, result) = with_misled_workers(&server, wrong.clone(), misled).await;
            truth.check(&ConnectOptions::open(vec![server.url()]), &result).await;
        }
    }
}

/// Worse: it reaches another deployment by the alias, with keys of the same names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaper_that_reaches_another_server_does_nothing_there() {
    let (server, other, cluster) = (kit::standalone().await, kit::standalone().await, kit::cluster().await);
    for urls in [vec![other.url()], cluster.urls()] {
        let access = ConnectOptions::open(urls);
        let bystanders = GroundTruth::mixture(30_000, "");
        bystanders.seed(&access).await;
        let wrong = BTreeMap::from([(Alias::new("main"), access.clone())]);
        let (truth, result) = with_misled_workers(&server, wrong, REAPER).await;
        truth.check(&ConnectOptions::open(vec![server.url()]), &result).await;
        bystanders.check_keys(&access, false).await;
    }
}

/// It cannot distinguish another server from a restarted one, which ends the pass over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_that_reaches_another_server_makes_the_run_partial_and_named() {
    let (server, other) = (kit::standalone().await, kit::standalone().await);
    let net = Net::start(timing()).await;
    let options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(30_000, "");
    truth.seed(&options.access).await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let mut elsewhere = net.env(&options).await;
    elsewhere.access = main_is(other.url()).into();
    let mut workers = Workers::start(&elsewhere, SCANNER);
    workers.add(&env, Counts { scanners: 0, reapers: 1, reporters: 1 });
    let result = kit::in_time(net::driven(&env, &options, &preflight)).await;
    workers.stop().await;
    assert!(
        matches!(result.status, Status::Partial | Status::Failed) && !result.coverage.complete,
        "{result:#?}"
    );
    let named = |issue: &String| issue.contains("the server was restarted or replaced");
    assert!(result.issues.iter().any(named), "{:?}", result.issues);
    assert_eq!((result.cleaned_keys, result.accounting.balanced), (0, true));
    truth.check_keys(&options.access, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_task_whose_message_vanished_is_handed_out_again() {
    let net = Net::start(Timing { ack_wait: Duration::from_millis(300), ..Timing::default() }).await;
    let server = kit::standalone().await;
    let options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(12_000, "");
    truth.seed(&options.access).await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let held = net::submitted(&env, &options, &preflight, "a test").await;
    let begun = Instant::now();
    let conducting = Box::pin(net::conducted(&env, held));
    let losing = async {
        let mut pulled = Vec::new();
        while pulled.is_empty() {
            pulled = env.queue.pull(Topic::Tasks, 1, Duration::from_secs(1)).await.unwrap();
        }
        pulled[0].handle.ack().await.unwrap();
        Workers::start(&env, Counts::PAIRS)
    };
    let (result, workers) = kit::in_time(async { tokio::join!(conducting, losing) }).await;
    println!("with a task lost: {:?}", begun.elapsed());
    assert!(begun.elapsed() >= env.timing.ack_wait * TASK_AGAIN_ACK_WAITS, "it was waited for");
    workers.stop().await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
    net::check_empty(&env).await;
}

/// A run of one task whose report lists a batch of `keys` that is lost, and was `attempted` or not. In virtual time,
/// and without any server.
async fn with_a_batch_lost(keys: u64, attempted: bool) -> CleanupResult {
    let options = kit::options(Vec::new());
    let env = Context::in_process(BTreeMap::new(), Timing::default());
    let (spec, task) = kit::spec::standalone(&options, keys);
    let records = env.records(spec.run);
    records.create_plan(&spec, std::slice::from_ref(&task)).await.unwrap();
    let batch = BatchId::new();
    let Scope::Cursors(scope) = &task.scope else { panic!("{task:?}") };
    let report = TaskReport {
        covered: Covered::Ranges { pass: scope.pass, slots: None, ranges: scope.ranges.clone() },
        counts: ScanCounts { listed: keys, scanned: keys, stale: keys, ..ScanCounts::default() },
        batches: vec![ListedBatch { batch, keys, deletes: keys, rule: None, digest: None }],
        ..TaskReport::blank(&task)
    };
    records.create_report(&report).await.unwrap();
    if attempted {
        records.create_attempt(batch).await.unwrap();
    }
    let begun = Instant::now();
    let (progress, _) = watch::channel(Progress::start(keys));
    let reporting = reporter::report(&env, spec.run, keysweep_model::time::now_ms);
    let (driven, reported) = tokio::join!(drive(&env, spec.run, "a test", progress), reporting);
    let waited = begun.elapsed();
    assert!(waited > BATCH_LIFE && waited < BATCH_LIFE + Duration::from_secs(120), "{waited:?}");
    let driven = driven.unwrap();
    assert_eq!(driven, reported.unwrap());
    driven
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_message_vanished_is_counted_and_named() {
    for attempted in [false, true] {
        let result = Box::pin(with_a_batch_lost(7, attempted)).await;
        assert_eq!((result.status, result.action.as_str()), (Status::Partial, Action::Delete.name()));
        let accounting = result.accounting;
        let expected = if attempted { (0, 7) } else { (7, 0) };
        assert_eq!((accounting.unreached, accounting.unconfirmed), expected, "{accounting:?}");
        assert!(accounting.balanced && accounting.candidates == 7, "{accounting:?}");
        assert!(result.issues.iter().any(|issue| issue.contains("message was lost")), "{:?}", result.issues);
    }
}
