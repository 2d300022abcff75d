//! A service without NATS whose job is due before the memory of its server runs short. The clock of its process is set
//! forward, from one count of the keys to the next; the server and its memory are real.

use std::time::{Duration, Instant};

use coordinator::options::Options;
use coordinator::schedule::JobSchedule;
use coordinator::schedule::auto::Bounds;
use coordinator::schedule::auto::quiet::QuietWindows;
use coordinator::serve::ServedJob;
use jiff::SignedDuration;
use jiff::civil::date;
use jiff::tz::TimeZone;
use keysweep_model::time::{now_ms, set};
use keysweep_redis::{Batch, ConnectOptions};
use keysweep_servers::Server;
use keysweep_storage::{decisions, latest_count};
use keysweep_testkit::kit;
use keysweep_testkit::kit::service::{ServiceHere, job};

/// The server's memory limit, in bytes.
const LIMIT: u64 = 256 << 20;

/// What the application needs, in percent of the limit.
const NEEDED: f64 = 62.0;

/// By minutes after the start: how much the stale keys fill the memory until then, in percent of the limit, and how many runs
/// there have been afterwards. The second run is due an hour after the first by the growth, and the third would be two hours
/// later.
const STEPS: [(i64, f64, usize); 6] =
    [(30, 66.0, 1), (61, 70.0, 2), (90, 68.0, 2), (120, 73.0, 2), (150, 79.0, 2), (165, 80.5, 3)];

/// Writes large keys of a kind until the server uses so much of its memory.
async fn fill(access: &ConnectOptions, kind: &str, percent: f64) {
    let conns = kit::keys::conns(access).await;
    for round in 0.. {
        if usage(access).await >= percent {
            return;
        }
        let mut writes = Batch::new();
        for n in 0..5 {
            writes.add(&[b"SETRANGE", format!("{kind}:{round}:{n}").as_bytes(), b"100000", b"x"]);
        }
        conns[0].batch(writes).await.unwrap();
    }
}

/// The memory that the server uses, in percent of its limit.
async fn usage(access: &ConnectOptions) -> f64 {
    let info = kit::keys::info(access, "memory").await.concat();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    used.trim().parse::<f64>().unwrap() * 100.0 / LIMIT as f64
}

/// Waits until the keys were counted at this time, and so many runs have ended.
async fn counted(service: &ServiceHere, since_ms: u64, runs: usize) {
    let (store, began) = (service.file().store(""), Instant::now());
    loop {
        let latest = latest_count::of(&store, &service.job().options.job).await.unwrap();
        let ended = service.runs().await;
        let is_counted = latest.as_ref().is_some_and(|latest| latest.at_ms + 60_000 > since_ms);
        if is_counted && ended.len() == runs && ended.iter().all(|line| line.status.is_some()) {
            return;
        }
        let decisions = decisions::of(&store, &service.job().options.job).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(60), "{runs}: {latest:#?} {ended:#?} {decisions:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_run_starts_before_the_memory_runs_short() {
    super::in_own_process("memory_growth::hours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "sets the clock of its process: a_run_starts_before_the_memory_runs_short runs it"]
async fn hours() {
    let limit = LIMIT.to_string();
    let server = Server::start(&["--save", "", "--appendonly", "no", "--maxmemory", &limit]).await.unwrap();
    let options = Options { max_delete_percent: 100, ..kit::options(vec![server.url()]) };
    fill(&options.access, "needed", NEEDED).await;
    let bounds = Bounds {
        min_interval: Duration::from_secs(60),
        max_interval: Duration::from_secs(864_000),
        max_stale: Some(1_000_000),
        run_cost: None,
        quiet: QuietWindows::none(),
    };
    let job = ServedJob { schedule: JobSchedule::Auto(bounds), attempts: 1, ..job(&options) };
    let mut service = ServiceHere::new(job);
    // Just after a minute begins, so that no count falls between two steps.
    let begin = date(2040, 10, 8).at(0, 0, 1, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
    set(begin);
    service.start();
    counted(&service, now_ms(), 1).await;
    for (minutes, percent, runs) in STEPS {
        fill(&options.access, &format!("permissions:{minutes}"), percent).await;
        set(begin + SignedDuration::from_mins(minutes));
        counted(&service, now_ms(), runs).await;
    }
    service.stop().await;
    let decisions = decisions::of(&service.file().store(""), &options.job).await.unwrap();
    let last = &service.runs().await[2];
    let due = decisions
        .iter()
        .rfind(|decision| decision.law == "memory")
        .unwrap_or_else(|| panic!("{decisions:#?}"));
    let said = "run now: the memory of the fullest server is forecast to pass 80 % before the next look (80.";
    assert!(due.sentence.starts_with(said), "{decisions:#?}");
    assert_eq!(due.last_run.as_ref(), Some(&service.runs().await[1].started_at), "{decisions:#?}");
    assert!(last.cleaned_keys > 100, "{last:#?}");
    let left = usage(&options.access).await;
    assert!((left - NEEDED).abs() < 1.0, "{left} % of the memory is used after the run");
}
