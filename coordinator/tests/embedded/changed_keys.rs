//! Keys that change between their classification as stale and their deletion: they are spared or vanished, and counted
//! as such. And actions that delete nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coordinator::options::Options;
use coordinator::run_phase::RunPhase;
use keysweep_model::messages::Action;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::Timing;
use keysweep_servers::Seeder;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::{self, keys};

/// How long keys are left alone after they were seen: time enough to change some.
pub const GRACE_MS: u64 = 2_500;

/// A TTL that outlives every test.
const TTL: &[u8] = b"3600000";

/// A run of `options`, in which `change` is done once everything has been scanned and nothing been deleted.
pub async fn run_and_change(options: &Options, change: impl AsyncFnOnce()) -> CleanupResult {
    let preflight = kit::preflight_of(options).await;
    let env = kit::env(options, Timing::default());
    let (progress, mut seen) = kit::progress(&preflight);
    let running = kit::in_time(coordinator::embedded::run(&env, options, &preflight, progress));
    let changing = kit::in_time(async {
        let scanned = seen.wait_for(|progress| progress.phase == RunPhase::Reaping).await.unwrap();
        assert_eq!(scanned.totals.accounting.deleted, 0, "the grace is not over");
        drop(scanned);
        change().await;
    });
    let (result, ()) = tokio::join!(running, changing);
    result.unwrap()
}

/// Gives 50 stale keys a TTL, rewrites 50 with one, deletes and recreates 50 with one, deletes 50.
async fn change_some(access: &ConnectOptions, stale: &[Vec<u8>]) {
    let mut seeder = Seeder::open(access).await.unwrap();
    for (n, key) in stale[..200].iter().enumerate() {
        match n / 50 {
            0 => seeder.command(key, &[b"PEXPIRE", key, TTL]).await.unwrap(),
            1 => seeder.command(key, &[b"SET", key, b"new", b"PX", TTL]).await.unwrap(),
            2 => {
                seeder.command(key, &[b"DEL", key]).await.unwrap();
                seeder.command(key, &[b"HSET", key, b"field", b"new"]).await.unwrap();
                seeder.command(key, &[b"PEXPIRE", key, TTL]).await.unwrap();
            }
            _ => seeder.command(key, &[b"DEL", key]).await.unwrap(),
        }
    }
    seeder.finish().await.unwrap();
}

async fn changed_keys_are_spared(urls: Vec<String>) {
    let mut options = kit::options(urls);
    options.rules.grace_ms = GRACE_MS;
    let mut truth = GroundTruth::mixture(6_000, "");
    truth.seed(&options.access).await;
    let stale = truth.stale.clone();
    let begun = Instant::now();
    let result = run_and_change(&options, async || change_some(&options.access, &stale).await).await;
    assert!(begun.elapsed() >= Duration::from_millis(GRACE_MS), "the grace was kept");
    let mut expected = truth.accounting(Action::Delete);
    (expected.spared, expected.vanished, expected.deleted) = (150, 50, 400);
    assert_eq!(result.accounting, expected);
    assert_eq!((result.status, result.cleaned_keys), (Status::Completed, 400));
    assert_eq!(result.scanned_keys, truth.scanned());
    assert_eq!(result.current_metrics.total_keys, Some(truth.scanned() - 450));
    // What was spared is one more key with a TTL from now on; what vanished never was.
    truth.fresh.extend(truth.stale.drain(..200).take(150));
    truth.check_keys(&options.access, true).await;
    let ttls = keys::ask(&options.access, "PTTL", &stale[..150]).await;
    assert!(ttls.iter().all(|ttl| *ttl > 60_000), "a spared key keeps the TTL that it was given");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_change_before_their_deletion_are_spared_on_a_cluster() {
    let cluster = kit::cluster().await;
    Box::pin(changed_keys_are_spared(cluster.urls())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_change_before_their_deletion_are_spared_on_a_standalone_server() {
    let server = kit::standalone().await;
    Box::pin(changed_keys_are_spared(vec![server.url()])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expire_gives_a_ttl_within_the_jitter_and_deletes_nothing() {
    const TTL_MS: u64 = 600_000;
    const JITTER_MS: u64 = 300_000;
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = kit::options(urls);
        options.rules.action = Action::Expire { ttl_ms: TTL_MS, jitter_ms: JITTER_MS };
        let truth = GroundTruth::mixture(6_000, "");
        truth.seed(&options.access).await;
        let before = keysweep_model::time::now_ms();
        let result = kit::run(&options).await;
        let after = keysweep_model::time::now_ms();
        truth.check_numbers(&result, options.rules.action);
        truth.check_keys(&options.access, false).await;
        // PEXPIRETIME would say it, but for Redis 6.2.
        let asked = keysweep_model::time::now_ms();
        let left = keys::ask(&options.access, "PTTL", &truth.stale).await;
        let answered = keysweep_model::time::now_ms();
        let left: Vec<u64> = left.into_iter().map(i64::unsigned_abs).collect();
        let (first, last) = (*left.iter().min().unwrap(), *left.iter().max().unwrap());
        assert!(
            answered + first >= before + TTL_MS && asked + last <= after + TTL_MS + JITTER_MS,
            "{first} {last}, {before} {after} {asked} {answered}"
        );
        assert!(last - first > JITTER_MS / 2, "the jitter spreads them: {first} to {last}");
        let again = kit::run(&options).await;
        assert_eq!(
            (again.accounting.expired, again.status),
            (0, Status::Completed),
            "nothing is left to repair"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_and_dry_run_touch_nothing() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = kit::options(urls);
        options.rules.action = Action::Report;
        let truth = GroundTruth::mixture(6_000, "");
        truth.seed(&options.access).await;
        for dry_run in [false, true] {
            options.dry_run = dry_run;
            let result = kit::run(&options).await;
            truth.check_numbers(&result, Action::Report);
            assert_eq!((result.dry_run, result.cleaned_keys), (dry_run, 0));
            truth.check_keys(&options.access, false).await;
            let ttls = keys::ask(&options.access, "PTTL", &truth.stale).await;
            assert!(ttls.iter().all(|ttl| *ttl == -1), "no stale key was given a TTL");
        }
    }
}

/// What the application of [`set_then_expire`] has done.
struct Written {
    keys: Vec<Vec<u8>>,
    /// The longest time between the two commands.
    longest: Duration,
}

/// An application that writes new keys, a few thousand a second, each with SET and, up to 50 ms later, PEXPIRE.
async fn set_then_expire(access: &ConnectOptions, seed: u64, stop: &AtomicBool) -> Written {
    let mut rng = kit::seeded(seed);
    let mut seeder = Seeder::open(access).await.unwrap();
    let mut open: VecDeque<(Instant, Instant, Vec<u8>)> = VecDeque::new();
    let (begun, mut written) = (Instant::now(), Written { keys: Vec::new(), longest: Duration::ZERO });
    while !stop.load(Ordering::Relaxed) || !open.is_empty() {
        let due = (begun.elapsed().as_secs_f64() * 3_000.0) as usize;
        while written.keys.len() < due && !stop.load(Ordering::Relaxed) {
            let key = format!("permissions:live:{}", written.keys.len()).into_bytes();
            let now = Instant::now();
            seeder.set(&key, b"read", None).await.unwrap();
            open.push_back((now, now + Duration::from_millis(rng.u64(0..50)), key.clone()));
            written.keys.push(key);
        }
        seeder.finish().await.unwrap();
        for _ in 0..open.len() {
            let Some((set_at, at, key)) = open.pop_front() else { break };
            if at > Instant::now() {
                open.push_back((set_at, at, key));
                continue;
            }
            seeder.command(&key, &[b"PEXPIRE", &key, TTL]).await.unwrap();
            written.longest = written.longest.max(set_at.elapsed());
        }
        seeder.finish().await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_sets_and_then_expires_loses_nothing() {
    let cluster = kit::cluster().await;
    let mut options = kit::options(cluster.urls());
    options.rules.grace_ms = 1_000;
    let (stop, access) = (Arc::new(AtomicBool::new(false)), options.access.clone());
    let (tell, written) = tokio::sync::oneshot::channel();
    let mut task_group = TaskGroup::default();
    let stopped = Arc::clone(&stop);
    task_group.start("application", async move {
        tell.send(set_then_expire(&access, 7, &stopped).await).map_err(|_| "the receiver is gone")
    });
    let (mut runs, mut spared) = (0, 0);
    // As often as it takes to come in between, which is nearly always the first time.
    while runs < 2 || spared == 0 && runs < 10 {
        let truth = GroundTruth::mixture(20_000, &format!("{runs}:"));
        let mut seeder = Seeder::open(&options.access).await.unwrap();
        for key in &truth.stale {
            seeder.set(key, b"", None).await.unwrap();
        }
        for key in &truth.fresh {
            seeder.set(key, b"", Some(3_600_000)).await.unwrap();
        }
        seeder.finish().await.unwrap();
        let result = kit::run(&options).await;
        assert_eq!(
            (result.status, result.cleaned_keys),
            (Status::Completed, truth.stale.len() as u64),
            "{result:#?}"
        );
        runs += 1;
        spared += result.accounting.spared;
    }
    stop.store(true, Ordering::Relaxed);
    let written = written.await.unwrap();
    assert_eq!(task_group.join().await, []);
    let ttls = keys::ask(&options.access, "PTTL", &written.keys).await;
    let lost = ttls.iter().filter(|ttl| **ttl <= 0).count();
    println!("{} keys written, {spared} seen in between and spared, in {runs} runs", written.keys.len());
    assert!(written.longest < Duration::from_secs(1), "this machine stalled for {:?}", written.longest);
    assert_eq!(lost, 0, "of {}", written.keys.len());
    assert!(spared > 0, "no run ever came in between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_more_writes_makes_the_run_partial() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    options.rules.grace_ms = GRACE_MS;
    let truth = GroundTruth::mixture(6_000, "");
    truth.seed(&options.access).await;
    let conn = server.conn().await.unwrap();
    let refuse = async || drop(conn.info_text("CONFIG SET min-replicas-to-write 1").await.unwrap());
    let result = run_and_change(&options, refuse).await;
    let mut expected = truth.accounting(Action::Delete);
    (expected.failed, expected.deleted) = (expected.deleted, 0);
    assert_eq!(result.accounting, expected);
    assert_eq!((result.status, result.cleaned_keys), (Status::Partial, 0));
    assert!(result.issues.iter().any(|issue| issue.contains("NOREPLICAS")), "{:?}", result.issues);
    // Its lock stays as well, until the lease ends.
    let (all, left) = (truth.all(), keys::count(&options.access).await);
    assert_eq!(
        (keys::existing(&options.access, &truth.stale).await.len(), left),
        (truth.stale.len(), all + 1)
    );
}
