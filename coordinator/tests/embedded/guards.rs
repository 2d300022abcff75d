//! The guards of a run: read-only dry runs, limits on deletions and time, cancellation, and the limit on concurrent
//! work per node. The lock has its own file.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use coordinator::drive::drive;
use coordinator::embedded::RunError;
use coordinator::exit;
use coordinator::run_phase::RunPhase;
use keysweep_model::messages::{Action, Cancel, CancelKind};
use keysweep_model::result::{Extent, Status};
use keysweep_pacing::limits::TASKS_PER_NODE;
use keysweep_redis::{ConnectOptions, Reply};
use keysweep_runtime::context::Timing;
use keysweep_storage::queue::Topic;
use keysweep_testkit::kit::ground_truth::{Class, GroundTruth};
use keysweep_testkit::kit::queues::{InflightTasks, broken};
use keysweep_testkit::kit::{self, keys};

/// A grace that no test waits for.
const LONG_GRACE_MS: u64 = 60_000;

/// The commands that all nodes have executed since the last call.
async fn commands(access: &ConnectOptions) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for text in keys::info(access, "commandstats").await {
        let names = text.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
        all.extend(names.map(str::to_owned));
    }
    for conn in keys::conns(access).await {
        conn.info_text("CONFIG RESETSTAT").await.unwrap();
    }
    all
}

/// Those of `commands` that may write, as the server itself says; scripts may.
async fn writing(access: &ConnectOptions, commands: &BTreeSet<String>) -> BTreeSet<String> {
    let conn = keys::conns(access).await.remove(0);
    let Reply::Array(list) = conn.info_text("ACL CAT write").await.unwrap() else {
        panic!("no list of commands")
    };
    let mut writes: BTreeSet<String> = ["eval", "evalsha", "script|load", "fcall"].map(str::to_owned).into();
    writes.extend(list.into_iter().filter_map(|name| match name {
        Reply::BulkString(name) => String::from_utf8(name).ok(),
        Reply::SimpleString(name) => Some(name),
        _ => None,
    }));
    commands.intersection(&writes).cloned().collect()
}

/// A program that calls the library gets the report, too, and its result also where none can be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_call_writes_its_report() {
    let server = kit::standalone().await;
    let directory =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("called-{}", std::process::id()));
    let mut options = kit::options(vec![server.url()]);
    options.report_dir = Some(directory.clone());
    let result = kit::run(&options).await;
    let page = directory.join(&options.job).join(format!("{}.html", result.run_id));
    assert!(std::fs::read_to_string(&page).unwrap().contains("Completed"));
    options.report_dir = Some(page);
    assert_eq!(kit::run(&options).await.status, Status::Completed);
    std::fs::remove_dir_all(directory).unwrap();
}

/// Keys that a protected pattern keeps are a figure; what a dry run only reports is an alarm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protected_keys_raise_no_alarm() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    let mut truth = GroundTruth::default();
    (0..20).for_each(|n| truth.add(Class::Protected, format!("permissions:system:{n}")));
    truth.seed(&options.access).await;
    let result = kit::run(&options).await;
    assert_eq!((result.stale_ttl_keys, result.stale_unprotected_keys), (20, Some(0)));
    assert_eq!((&result.issues, &result.alerts), (&Vec::new(), &Vec::new()));
    (0..11).for_each(|n| truth.add(Class::Stale, format!("permissions:{n}")));
    truth.seed(&options.access).await;
    (options.rules.action, options.dry_run) = (Action::Report, true);
    let result = kit::run(&options).await;
    let bug = "Found 11 keys without TTL - this indicates a caching bug (20 more are protected)";
    assert_eq!(result.issues, [bug]);
    let alerts: Vec<_> = result.alerts.iter().map(|alert| alert.alert.as_str()).collect();
    assert_eq!(alerts, ["stale-keys"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sends_no_write_command() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = kit::options(urls);
        let truth = GroundTruth::mixture(5_000, "");
        truth.seed(&options.access).await;
        commands(&options.access).await;
        (options.rules.action, options.dry_run) = (Action::Report, true);
        truth.check_numbers(&kit::run(&options).await, Action::Report);
        let seen = commands(&options.access).await;
        assert_eq!(writing(&options.access, &seen).await, BTreeSet::new(), "of {seen:?}");
        assert!(seen.contains("pttl"), "{seen:?}");
        // That this would show a write: a run that deletes.
        (options.rules.action, options.dry_run) = (Action::Delete, false);
        truth.check_numbers(&kit::run(&options).await, Action::Delete);
        let seen = commands(&options.access).await;
        let writes = writing(&options.access, &seen).await;
        assert!(["evalsha", "unlink", "set"].iter().all(|name| writes.contains(*name)), "{writes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_deletions_are_refused_before_the_first() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = kit::options(urls);
        let mut truth = GroundTruth::mixture(2_000, "");
        (0..3_000).for_each(|n| truth.add(Class::Stale, format!("permissions:more:{n}")));
        truth.seed(&options.access).await;
        let refused = kit::in_time(coordinator::embedded::run_cleanup_now(&options)).await.unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("3200 of 5020") && text.contains("--max-delete-percent 64"), "{text}");
        assert_eq!(exit::of_error(&refused), exit::REFUSED);
        let RunError::TooMany { candidates, matching, limit: 50, allow: 64, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!((candidates, matching), (3_200, 5_020));
        truth.check_keys(&options.access, false).await;
        // The limit that it names is one that it accepts.
        options.max_delete_percent = 64;
        truth.check(&options.access, &kit::run(&options).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_finds_more_than_it_may_delete_stops_and_balances() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = kit::options(urls);
        (options.max_delete_percent, options.rules.grace_ms) = (20, LONG_GRACE_MS);
        let early = GroundTruth::mixture(10_000, "");
        early.seed(&options.access).await;
        let preflight = kit::preflight_of(&options).await;
        // They come after the survey, so that its estimate is far too low.
        let mut late = GroundTruth::default();
        (0..20_000).for_each(|n| late.add(Class::Stale, format!("permissions:late:{n}")));
        let mut seeder = keysweep_servers::Seeder::open(&options.access).await.unwrap();
        for key in &late.stale {
            seeder.set(key, b"", None).await.unwrap();
        }
        seeder.finish().await.unwrap();
        let env = kit::env(&options, Timing::default());
        let result = kit::run_in(&env, &options, &preflight).await.unwrap();
        let cancel = env.records(preflight.spec.run).cancel().await.unwrap().expect("it was cancelled");
        assert_eq!((cancel.kind, result.status), (CancelKind::Guard, Status::Cancelled));
        assert!(cancel.cause.contains("--max-delete-percent"), "{}", cancel.cause);
        assert_eq!(exit::of_result(&result, Some(cancel.kind)), exit::REFUSED);
        let accounting = result.accounting;
        assert!(accounting.balanced && accounting.deleted == 0, "{accounting:?}");
        assert!(accounting.unreached > preflight.estimate.cap(20).unwrap(), "{accounting:?}");
        assert_eq!(accounting.unreached + accounting.protected, accounting.candidates);
        for truth in [&early, &late] {
            assert_eq!(keys::existing(&options.access, &truth.stale).await.len(), truth.stale.len());
        }
        assert_eq!(keys::matching(&options.access, "keysweep:*").await.len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_cancelled_in_the_middle() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    options.rules.grace_ms = LONG_GRACE_MS;
    let truth = GroundTruth::mixture(20_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, Timing::default());
    let (progress, mut seen) = kit::progress(&preflight);
    let running = kit::in_time(coordinator::embedded::run(&env, &options, &preflight, progress));
    let cancelling = async {
        seen.wait_for(|progress| progress.phase == RunPhase::Reaping).await.unwrap();
        let cancel = Cancel { kind: CancelKind::Asked, cause: "a test asked for it".to_owned() };
        env.records(preflight.spec.run).create_cancel(&cancel).await.unwrap();
        Instant::now()
    };
    let (result, cancelled) = tokio::join!(running, cancelling);
    let (result, took) = (result.unwrap(), cancelled.elapsed());
    assert!(took < Duration::from_secs(20), "it ended {took:?} after it was cancelled");
    let mut expected = truth.accounting(Action::Delete);
    (expected.deleted, expected.unreached) = (0, expected.deleted);
    assert_eq!((result.accounting, result.status), (expected, Status::Cancelled));
    assert!(result.issues.iter().any(|issue| issue.contains("a test asked for it")), "{:?}", result.issues);
    assert_eq!(result.current_metrics.total_keys, Some(truth.scanned()), "everything was read");
    truth.check_keys(&options.access, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cancelled_at_once_reads_nothing() {
    let cluster = kit::cluster().await;
    let options = kit::options(cluster.urls());
    let truth = GroundTruth::mixture(5_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, Timing::default());
    let cancel = Cancel { kind: CancelKind::Asked, cause: "before it began".to_owned() };
    env.records(preflight.spec.run).create_cancel(&cancel).await.unwrap();
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    assert_eq!((result.status, result.cleaned_keys), (Status::Cancelled, 0));
    assert!(result.accounting.balanced && !result.coverage.complete);
    let now = result.current_metrics;
    assert_eq!((now.total_keys, now.avg_ttl, result.coverage.extent), (None, None, Some(Extent::Nothing)));
    let reported = env.telemetry.textfile();
    assert!(!reported.contains("keysweep_matching_keys{"), "an unknown figure is not 0: {reported}");
    truth.check_keys(&options.access, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_when_its_time_is_over() {
    let cluster = kit::cluster().await;
    let mut options = kit::options(cluster.urls());
    (options.rules.grace_ms, options.max_runtime) = (LONG_GRACE_MS, Some(Duration::from_secs(3)));
    let truth = GroundTruth::mixture(5_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = kit::env(&options, Timing::default());
    let begun = Instant::now();
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    let cancel = env.records(preflight.spec.run).cancel().await.unwrap().unwrap();
    assert_eq!((cancel.kind, result.status), (CancelKind::Runtime, Status::Cancelled));
    assert_eq!((result.accounting.balanced, result.cleaned_keys), (true, 0));
    truth.check_keys(&options.access, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_run_counts_from_its_plan_with_any_driver() {
    let server = kit::standalone().await;
    let (mut options, begun) = (kit::options(vec![server.url()]), Instant::now());
    options.max_runtime = Some(Duration::from_secs(4));
    let preflight = kit::preflight_of(&options).await;
    let (env, run) = (kit::env(&options, Timing::default()), preflight.spec.run);
    let records = env.records(run);
    tokio::time::sleep(Duration::from_secs(1)).await;
    preflight.store(&records).await.unwrap();
    // No worker runs, so only its time ends it.
    let first = drive(&env, run, "the first", kit::progress(&preflight).0);
    assert!(tokio::time::timeout(Duration::from_secs(2), Box::pin(first)).await.is_err());
    assert!(records.cancel().await.unwrap().is_none());
    let second = drive(&env, run, "the second", kit::progress(&preflight).0);
    let stopped = async {
        while records.cancel().await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = kit::in_time(stopped) => {}
        driven = Box::pin(second) => panic!("it ended by itself: {driven:?}"),
    }
    assert_eq!(records.cancel().await.unwrap().unwrap().kind, CancelKind::Runtime);
    let took = begun.elapsed().as_secs_f64();
    assert!((4.0..5.0).contains(&took), "{took}");
    // What was planned may not be begun any more.
    let late = kit::run_in(&env, &options, &preflight).await.unwrap_err();
    assert!(late.out_of_time() && exit::of_error(&late) == exit::PARTIAL, "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_gets_more_tasks_at_a_time_than_its_limit() {
    let cluster = kit::cluster().await;
    let options = kit::options(cluster.urls());
    // Enough for several tasks per node.
    let truth = GroundTruth::mixture(120_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    assert!(preflight.nodes.iter().all(|node| node.tasks > TASKS_PER_NODE as u64), "{:?}", preflight.nodes);
    let mut env = kit::env(&options, Timing::default());
    let population = InflightTasks::install(&mut env);
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    truth.check(&options.access, &result).await;
    let most: Vec<usize> = population.most().into_values().collect();
    assert_eq!(most, [TASKS_PER_NODE; 3], "the limit is used, and kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_breaks_ends_the_run_with_an_error_and_frees_the_lock() {
    let server = kit::standalone().await;
    let options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(1_000, "");
    truth.seed(&options.access).await;
    for topic in [Topic::Tasks, Topic::Batches] {
        let preflight = kit::preflight_of(&options).await;
        let mut env = kit::env(&options, Timing::default());
        env.queue = broken(&env.queue, topic);
        let error = kit::run_in(&env, &options, &preflight).await.unwrap_err();
        assert!(matches!(error, RunError::Stage(..)), "{error}");
        truth.check_keys(&options.access, false).await;
    }
    truth.check(&options.access, &kit::run(&options).await).await;
}
