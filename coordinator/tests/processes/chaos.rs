//! The random-kill checker: while a run goes on, workers, the coordinator and the NATS server are killed and
//! started again, and workers are frozen until their work has been given to others, all at moments that a seed
//! decides. The result has to be the truth, number by number, and there is one.
//!
//! The seed fixes which blows fall and when, counted from the start of the run; how far the run is by then, it
//! does not. So a seed that failed may have to be tried several times (`KEYSWEEP_CHAOS_SEED`).

use std::time::Duration;

use crate::fleet::blows::{Blows, Tally};
use crate::fleet::brake::Brake;
use crate::fleet::{ACK_WAIT, ALL, Fleet, trace};
use crate::kit;
use crate::kit::truth::Truth;
use futures_util::{StreamExt, stream};
use shared::cluster::ConnectOptions;
use shared::context::Context;
use shared::ids::RunId;
use shared::servers::NatsServer;
use tokio::time::{Instant, sleep};

/// Matching keys.
const KEYS: u64 = 50_000;

/// Bytes of stale keys' names. Long ones fill batches and tasks, so that there are many messages to lose, and tasks
/// that hand back a rest.
const STALE_NAME_BYTES: usize = 5_000;

/// How long nodes pause, again and again: without that, a run of so few keys is over before anything hits it.
const PAUSE: Duration = Duration::from_millis(20);

/// How many blows fall at most. From then on the run is left in peace, so that one which hangs is told from one
/// which has no chance.
const BLOWS_MAX: usize = 40;

/// Nothing here takes as long: only a hang does.
const HANG: Duration = Duration::from_secs(240);

/// The mixture with binary names, and with long names for what is to go.
fn truth() -> Truth {
    let mut truth = Truth::mixture(KEYS, "");
    for name in &mut truth.stale {
        name.resize(STALE_NAME_BYTES, b'x');
    }
    truth.add_binary();
    truth
}

/// One run under the blows of `seed`.
async fn survive(seed: u64) -> Tally {
    let rng = kit::seeded(seed);
    let (cluster, nats) =
        (kit::cluster().await, NatsServer::start("").await.expect("nats-server can be started"));
    let access = ConnectOptions::open(cluster.urls());
    let truth = truth();
    truth.seed(&access).await;
    let mut fleet = Fleet::start(&nats.url(), &cluster.urls(), &ALL);
    let env = fleet.records(&access).await;
    let started = Instant::now();
    let mut running = fleet.command(&["run", "--yes", "--json"]).start();
    let run = trace::stored(&env).await;
    let brake = Brake::on(&cluster, PAUSE).await;
    let mut blows = Blows::new(rng, BLOWS_MAX);
    while !running.has_ended() {
        assert!(started.elapsed() < HANG, "run {run} hangs\n{blows}\n{}", running.so_far());
        blows.fall(&mut fleet, &nats).await;
        fleet.check_alive();
        sleep(Duration::from_millis(20)).await;
    }
    drop(brake);
    let took = started.elapsed();
    blows.heal(&mut fleet, &nats).await;
    // Time for those who were frozen to do harm, if they can.
    sleep(ACK_WAIT / 2).await;
    let ended = running.end_within(HANG);
    println!("{blows}{} blows in {took:.1?}: {}", blows.tally.all(), blows.tally);
    let (reports, receipts) = (count(&env, run, "report").await, count(&env, run, "receipt").await);
    println!("{reports} reports, {receipts} receipts");
    trace::check(&fleet, &env, &access, &truth, &ended).await;
    assert_eq!(trace::result(&ended).run_id, run);
    fleet.check_alive();
    blows.tally
}

/// How many records of a kind a run has.
async fn count(context: &Context, run: RunId, kind: &str) -> usize {
    let (prefix, mut revision, mut count) = (format!("runs/{run}/{kind}/"), 0, 0);
    while let Some(entry) = context.store.next_after(&prefix, revision).await.unwrap() {
        (revision, count) = (entry.revision, count + 1);
    }
    count
}

/// One run per seed, two at a time, because they wait most of the time. All sorts of blows must have fallen, or this
/// proves less than it seems to.
async fn survive_all(seeds: impl Iterator<Item = u64>) {
    let (mut sum, mut runs) = (Tally::default(), 0);
    let mut surviving = stream::iter(seeds.map(survive)).buffer_unordered(2);
    while let Some(tally) = surviving.next().await {
        sum += tally;
        runs += 1;
    }
    println!("{runs} runs: {sum}");
    assert!(sum.every_sort(), "some blow never fell: {sum}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_twice_under_random_kills() {
    match kit::number("KEYSWEEP_CHAOS_SEED") {
        Some(seed) => drop(survive(seed).await),
        None => survive_all(1..=5).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes KEYSWEEP_SOAK_SEEDS runs of about half a minute"]
async fn soak_nothing_is_lost_or_done_twice_under_random_kills() {
    let first = kit::number("KEYSWEEP_CHAOS_SEED").unwrap_or(1_000);
    survive_all(first..first + kit::number("KEYSWEEP_SOAK_SEEDS").unwrap_or(50)).await;
}
