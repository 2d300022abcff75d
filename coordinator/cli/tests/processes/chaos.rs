//! The random-kill checker: during a run, workers, the coordinator and the NATS server are killed and restarted, and
//! workers are paused until their work was redelivered to others, all at times determined by a seed. The result must
//! be exactly the ground truth, and there must be one result.
//!
//! The seed determines the faults and their times, counted from the start of the run, but not the progress of the run.
//! So a failed seed may need several tries (`KEYSWEEP_CHAOS_SEED`).

use std::time::Duration;

use futures_util::{StreamExt, stream};
use keysweep_model::ids::RunId;
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::Context;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::nats_server::NatsServer;
use tokio::time::{Instant, sleep};

use crate::fleet::fault_injector::{FaultInjector, Tally};
use crate::fleet::slow_cluster::SlowCluster;
use crate::fleet::{ACK_WAIT, ALL, Fleet, trace};

/// Matching keys.
const KEYS: u64 = 50_000;

/// Bytes of stale keys' names. Long ones fill batches and tasks, so that there are many messages to lose, and tasks
/// that return a remainder.
const STALE_NAME_BYTES: usize = 5_000;

/// How long nodes are paused repeatedly: otherwise a run with so few keys ends before any fault.
const PAUSE: Duration = Duration::from_millis(20);

/// The maximum number of faults. After them the run is undisturbed, to distinguish one that hangs from one that cannot
/// make progress.
const FAULTS_MAX: usize = 40;

/// Exceeded only by a hang.
const HANG: Duration = Duration::from_secs(240);

/// The data set with binary names, and with long names of stale keys.
fn truth() -> GroundTruth {
    let mut truth = GroundTruth::mixture(KEYS, "");
    for name in &mut truth.stale {
        name.resize(STALE_NAME_BYTES, b'x');
    }
    truth.add_binary();
    truth
}

/// One run with the faults of `seed`, by processes of this version and of the binary `other`, if there is one: it starts
/// the run for every second seed.
async fn survive(seed: u64, other: Option<&str>) -> Tally {
    let rng = kit::seeded(seed);
    let (cluster, nats) =
        (kit::cluster().await, NatsServer::start("").await.expect("nats-server can be started"));
    let access = ConnectOptions::open(cluster.urls());
    let truth = truth();
    truth.seed(&access).await;
    let mut fleet = Fleet::mixed(&nats.url(), &cluster.urls(), &ALL, other);
    let env = fleet.records(&access).await;
    let started = Instant::now();
    let run = ["run", "--yes", "--json"];
    let run = if seed.is_multiple_of(2) { fleet.other_command(&run) } else { fleet.command(&run) };
    let mut running = run.start();
    let run = trace::stored(&env).await;
    let slow_cluster = SlowCluster::on(&cluster, PAUSE).await;
    let mut faults = FaultInjector::new(rng, FAULTS_MAX);
    while !running.has_ended() {
        assert!(started.elapsed() < HANG, "run {run} hangs\n{faults}\n{}", running.so_far());
        faults.advance(&mut fleet, &nats).await;
        fleet.check_alive();
        sleep(Duration::from_millis(20)).await;
    }
    drop(slow_cluster);
    let took = started.elapsed();
    faults.recover_all(&mut fleet, &nats).await;
    // Time for paused processes to cause harm, if they can.
    sleep(ACK_WAIT / 2).await;
    let ended = running.end_within(HANG);
    println!("{faults}{} faults in {took:.1?}: {}", faults.tally.all(), faults.tally);
    let (reports, receipts) = (count(&env, run, "report").await, count(&env, run, "receipt").await);
    println!("{reports} reports, {receipts} receipts");
    trace::check(&fleet, &env, &access, &truth, &ended).await;
    assert_eq!(trace::result(&ended).run_id, run);
    fleet.check_alive();
    faults.tally
}

/// The number of records of a kind in a run.
async fn count(context: &Context, run: RunId, kind: &str) -> usize {
    let (prefix, mut revision, mut count) = (format!("runs/{run}/{kind}/"), 0, 0);
    while let Some(entry) = context.store.next_after(&prefix, revision).await.unwrap() {
        (revision, count) = (entry.revision, count + 1);
    }
    count
}

/// One run per seed, two at a time, because they mostly wait. Each kind of fault must have occurred, or the test
/// proves too little.
async fn survive_all(seeds: impl Iterator<Item = u64>, other: Option<&str>) {
    let (mut sum, mut runs) = (Tally::default(), 0);
    let mut surviving = stream::iter(seeds.map(|seed| survive(seed, other))).buffer_unordered(2);
    while let Some(tally) = surviving.next().await {
        sum += tally;
        runs += 1;
    }
    println!("{runs} runs: {sum}");
    assert!(sum.every_kind(), "a kind of fault never occurred: {sum}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_twice_under_random_kills() {
    match kit::number("KEYSWEEP_CHAOS_SEED") {
        Some(seed) => drop(survive(seed, None).await),
        None => survive_all(1..=2, None).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes KEYSWEEP_SOAK_SEEDS runs of about half a minute"]
async fn soak_nothing_is_lost_or_done_twice_under_random_kills() {
    let first = kit::number("KEYSWEEP_CHAOS_SEED").unwrap_or(1_000);
    survive_all(first..first + kit::number("KEYSWEEP_SOAK_SEEDS").unwrap_or(50), None).await;
}

/// A rolling upgrade, and a downgrade: each process that is killed comes back as the other version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the binary of another commit: `cargo xtask upgrade` builds it"]
#[expect(clippy::disallowed_methods, reason = "what `cargo xtask upgrade` passes")]
async fn mixed_versions_lose_nothing_and_do_nothing_twice_under_random_kills() {
    let other = std::env::var("KEYSWEEP_OTHER_BINARY").expect("`KEYSWEEP_OTHER_BINARY` is its path");
    let first = kit::number("KEYSWEEP_CHAOS_SEED").unwrap_or(2_000);
    survive_all(first..first + kit::number("KEYSWEEP_SOAK_SEEDS").unwrap_or(10), Some(&other)).await;
}
