//! The lock of an embedded run: one run of a job at a time, whatever the end of its holder.

use std::time::{Duration, Instant};

use coordinator::drive::Progress;
use coordinator::embedded::{self, RunError};
use coordinator::exit;
use coordinator::job_lock::LockError;
use coordinator::limits::LOCK_LEASE;
use coordinator::options::Options;
use coordinator::run_phase::RunPhase;
use keysweep_model::ids::RunId;
use keysweep_model::messages::{Action, CancelKind};
use keysweep_model::result::Status;
use keysweep_model::slot::slot_of;
use keysweep_redis::Conn;
use keysweep_redis::lock::Holder;
use keysweep_runtime::context::Timing;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::{self, keys};
use tokio::sync::watch;

/// The key of the lock, as it stands in a deployment that serves everything.
fn lock_key(options: &Options) -> Vec<u8> {
    format!("keysweep:lock:{}", options.job).into_bytes()
}

/// The connection to the server that has the lock.
async fn keeper(options: &Options) -> Conn {
    let client = keysweep_redis::RedisClient::discover(options.access.clone()).await.unwrap();
    let slot = slot_of(&lock_key(options));
    client.conn(&client.topology().owner(slot).unwrap().node).await.unwrap()
}

async fn until_reaping(seen: &mut watch::Receiver<Progress>) {
    seen.wait_for(|progress| progress.phase == RunPhase::Reaping).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_is_refused_or_waits() {
    let cluster = kit::cluster().await;
    let mut options = kit::options(cluster.urls());
    options.rules.grace_ms = 2_500;
    let truth = GroundTruth::mixture(3_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, Timing::default());
    let (progress, mut seen) = kit::progress(&preflight);
    let first = kit::in_time(embedded::run(&env, &options, &preflight, progress));
    let second = kit::in_time(async {
        until_reaping(&mut seen).await;
        let refused = embedded::run_cleanup_now(&options).await.unwrap_err();
        let text = refused.to_string();
        assert_eq!(exit::of_error(&refused), exit::REFUSED);
        let RunError::Lock(LockError::Held { job, holder, lease_left }) = refused else { panic!("{text}") };
        assert_eq!(job, options.job);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let pid = format!("by process {} on `{}` since 2", std::process::id(), host.trim());
        assert!(holder.starts_with(&pid) && holder.contains(&preflight.spec.run.to_string()), "{holder}");
        assert!(text.contains(&holder) && text.contains("--lock-wait"), "{text}");
        assert!((1..=LOCK_LEASE.as_secs() + 1).contains(&lease_left), "{lease_left} s");
        // A run that only reads needs no lock, and one that waits gets it.
        let mut reading = options.clone();
        reading.rules.action = Action::Report;
        assert_eq!(embedded::run_cleanup_now(&reading).await.unwrap().status, Status::Completed);
        let mut waiting = options.clone();
        (waiting.lock_wait, waiting.rules.grace_ms) = (kit::HANG, 0);
        let waited = embedded::run_cleanup_now(&waiting).await.unwrap();
        assert_eq!((waited.status, waited.cleaned_keys), (Status::Completed, 0), "the first left nothing");
    });
    let (first, ()) = tokio::join!(first, second);
    truth.check_numbers(&first.unwrap(), Action::Delete);
    truth.check_keys(&options.access, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_of_a_dead_holder_runs_out() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(1_000, "");
    truth.seed(&options.access).await;
    let dead = Holder {
        run: RunId::new(),
        host: "gone".to_owned(),
        pid: 1,
        since: "2026-01-01T00:00:00Z".to_owned(),
    };
    let conn = keeper(&options).await;
    for (content, named) in [
        (serde_json::to_vec(&dead).unwrap(), "process 1 on `gone` since 2026-01-01"),
        (
            b"of another make".to_vec(),
            "by another program than keysweep, according to the value of the key `keysweep:lock:",
        ),
    ] {
        conn.command(&[b"SET", &lock_key(&options), &content, b"PX", b"1500"]).await.unwrap();
        let refused = embedded::run_cleanup_now(&options).await.unwrap_err().to_string();
        assert!(refused.contains(named), "{refused}");
    }
    let begun = Instant::now();
    options.lock_wait = kit::HANG;
    truth.check(&options.access, &kit::run(&options).await).await;
    assert!(begun.elapsed() > Duration::from_millis(500), "it waited for the lease to end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_never_ends_is_named_with_the_way_out() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    GroundTruth::mixture(10, "").seed(&options.access).await;
    let (conn, key) = (keeper(&options).await, lock_key(&options));
    let run = RunId::new();
    let holder = Holder { run, host: "h\u{1b}[2J\n".to_owned(), pid: 1, since: "2026-01-01".to_owned() };
    let ours = serde_json::to_vec(&holder).unwrap();
    for (words, named, lock_wait) in [
        (
            [b"SET", key.as_slice(), b"of another make"].to_vec(),
            "has a value that is not a lock of keysweep",
            kit::HANG,
        ),
        (
            vec![b"HSET", key.as_slice(), b"field", b"value"],
            "has a value that is not a lock of keysweep",
            kit::HANG,
        ),
        (
            vec![b"SET", key.as_slice(), ours.as_slice()],
            r"holds a lock that was taken by process 1 on `h\u{1b}[2J\n` since 2026",
            Duration::from_secs(1),
        ),
    ] {
        conn.command(&[b"DEL", &key]).await.unwrap();
        conn.command(&words).await.unwrap();
        options.lock_wait = lock_wait;
        let refused = embedded::run_cleanup_now(&options).await.unwrap_err();
        assert_eq!(exit::of_error(&refused), exit::REFUSED);
        let said = refused.to_string();
        let way_out = "has no expiry, which locks of keysweep always have: it never expires";
        assert!(said.contains("if no other program needs it, remove it with DEL"), "{said}");
        assert!(said.contains(named) && said.contains(way_out), "{said}");
        assert!(said.contains(&format!("`keysweep:lock:{}`", options.job)), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_lock_is_taken_away_stops_deleting() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    // Longer than it takes the run to notice: it looks every 5 s.
    options.rules.grace_ms = 60_000;
    let truth = GroundTruth::mixture(3_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, Timing::default());
    let (progress, mut seen) = kit::progress(&preflight);
    let conn = keeper(&options).await;
    let running = kit::in_time(embedded::run(&env, &options, &preflight, progress));
    let stealing = async {
        until_reaping(&mut seen).await;
        conn.command(&[b"SET", &lock_key(&options), b"thief", b"PX", b"60000"]).await.unwrap();
    };
    let (result, ()) = tokio::join!(running, stealing);
    let result = result.unwrap();
    let cancel = env.records(preflight.spec.run).cancel().await.unwrap().unwrap();
    assert_eq!((result.status, cancel.kind), (Status::Cancelled, CancelKind::LockLost));
    assert!(
        result.issues.iter().any(|issue| issue.contains("the lock of the job was lost")),
        "{:?}",
        result.issues
    );
    let mut expected = truth.accounting(Action::Delete);
    (expected.deleted, expected.unreached) = (0, expected.deleted);
    assert_eq!(result.accounting, expected);
    let own = keys::matching(&options.access, "keysweep:*").await;
    assert_eq!(own, [lock_key(&options)], "the thief's lock is left alone");
    conn.command(&[b"DEL", &lock_key(&options)]).await.unwrap();
    truth.check_keys(&options.access, false).await;
}
