//! The service: it starts due and missed runs, retries failed ones, and answers requests.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator::options::Options;
use coordinator::schedule::auto::Bounds;
use coordinator::schedule::auto::quiet::QuietWindows;
use coordinator::schedule::{JobSchedule, Schedule};
use coordinator::serve::{RunAnswer, ServedJob, serve};
use jiff::Timestamp;
use keysweep_model::result::Status;
use keysweep_nats::setup::ensure;
use keysweep_nats::{Nats, NatsOptions, ServiceReply, ask};
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Server;
use keysweep_storage::events::EVENTS;
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::{decisions, store};
use keysweep_tasks::supervision::TaskGroup;
use keysweep_testkit::kit;
use keysweep_testkit::nats_server::NatsServer;
use reaper::Reaper;
use scanner::Scanner;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A service with workers, and all that they need.
struct Setup {
    _servers: (NatsServer, Server),
    nats: Nats,
    context: Context,
    options: Options,
    shutdown: CancellationToken,
    task_group: TaskGroup,
}

impl Setup {
    /// With keys and workers; the service does not run yet.
    async fn start() -> Self {
        let (broker, redis) = (NatsServer::start("").await.unwrap(), kit::standalone().await);
        let nats = Nats::connect(&NatsOptions::open(broker.url()), "keysweep-test", None).await.unwrap();
        ensure(&nats).await.unwrap();
        let options = kit::options(vec![redis.url()]);
        kit::ground_truth::GroundTruth::mixture(2_000, "").seed(&options.access).await;
        let access = BTreeMap::from([(options.alias.clone(), options.access.clone())]);
        let env = coordinator::nats_context(
            &nats,
            access,
            Timing { lease: Duration::from_secs(2), ..Timing::default() },
        );
        let shutdown = CancellationToken::new();
        let mut task_group = TaskGroup::default();
        let (scanner, reaper) =
            (Scanner::new(env.clone(), shutdown.clone()), Reaper::new(env.clone(), shutdown.clone()));
        task_group.start("scanner", async move { scanner.run(4).await });
        task_group.start("reaper", async move { reaper.run(4).await });
        let (reporting, until) = (env.clone(), shutdown.clone());
        task_group.start("reporter", async move { reporter::run(&reporting, until).await });
        Self { _servers: (broker, redis), nats, context: env, options, shutdown, task_group }
    }

    fn serve(&mut self, jobs: Vec<ServedJob>) {
        let (env, nats, shutdown) = (self.context.clone(), self.nats.clone(), self.shutdown.clone());
        self.task_group
            .start("service", async move { serve(&env, &nats, jobs, "the service", shutdown).await });
    }

    /// A job that is due every minute.
    fn job(&self) -> ServedJob {
        ServedJob {
            allow_override: vec!["rateLimit"],
            schedule: Schedule::parse("* * * * *", "UTC").unwrap().into(),
            ..kit::service::job(&self.options)
        }
    }

    async fn history(&self) -> Vec<RunLine> {
        history::read(&*self.context.store).await.unwrap()
    }

    /// The history once `done` returns true for it.
    async fn history_when(&self, done: impl Fn(&[RunLine]) -> bool) -> Vec<RunLine> {
        kit::in_time(async {
            loop {
                let lines = self.history().await;
                if done(&lines) {
                    return lines;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    async fn events(&self, kind: &str) -> Vec<Value> {
        let (mut events, mut revision) = (Vec::new(), 0);
        while let Some(entry) = self.context.store.next_after(EVENTS, revision).await.unwrap() {
            revision = entry.revision;
            let event: Value = serde_json::from_slice(&entry.value).unwrap();
            if event["type"] == format!("dev.keysweep.run.{kind}.v1") {
                events.push(event);
            }
        }
        events
    }

    /// The service's reply to `request`.
    async fn ask(&self, endpoint: &str, request: &Value) -> ServiceReply {
        kit::in_time(async {
            loop {
                match ask(&self.nats, endpoint, request.to_string().into_bytes()).await.unwrap() {
                    // It has just been started.
                    ServiceReply::NoResponder => tokio::time::sleep(Duration::from_millis(50)).await,
                    answer => return answer,
                }
            }
        })
        .await
    }

    async fn end(self) {
        self.shutdown.cancel();
        assert_eq!(kit::in_time(self.task_group.join()).await, []);
    }
}

fn given<T: serde::de::DeserializeOwned>(answer: &ServiceReply) -> T {
    let ServiceReply::Given(bytes) = answer else { panic!("{answer:?}") };
    serde_json::from_slice(bytes).unwrap()
}

/// The job was due for an hour without a running service.
async fn missed(catch_up: bool) -> Setup {
    let mut setup = Setup::start().await;
    let job = ServedJob { catch_up, ..setup.job() };
    let hour_ago = Timestamp::now().as_millisecond() - 3_600_000;
    setup.context.store.create(&format!("due/{}/{hour_ago}", setup.options.job), Vec::new()).await.unwrap();
    setup.serve(vec![job]);
    kit::in_time(async {
        while setup.events("missed").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let reported = setup.events("missed").await;
    assert_eq!(reported.len(), 1);
    let count = reported[0]["data"]["count"].as_u64().unwrap();
    assert!((59..=61).contains(&count), "{count}");
    assert_eq!(reported[0]["data"]["caughtUp"], catch_up);
    setup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_runs_are_reported_once_and_caught_up_if_configured() {
    let mut setup = missed(true).await;
    let lines = setup.history_when(|lines| lines.first().is_some_and(|line| line.status.is_some())).await;
    assert_eq!((lines[0].status, lines[0].cleaned_keys), (Some(Status::Completed), 200));
    assert!(lines[0].started_by.starts_with("schedule, late"), "{}", lines[0].started_by);
    // Another service starts: nothing was missed since.
    let job = setup.job();
    setup.serve(vec![job]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(setup.events("missed").await.len(), 1);
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_runs_are_only_reported_by_default() {
    let setup = missed(false).await;
    // The next minute may begin at any time, but not with this text.
    let late = |line: &RunLine| line.started_by.starts_with("schedule, late");
    assert!(!setup.history().await.iter().any(late));
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_attempt_is_retried_once() {
    let mut setup = Setup::start().await;
    let mut job = ServedJob { catch_up: true, ..setup.job() };
    // There is no listener.
    job.options.access.urls = vec!["redis://127.0.0.1:1".to_owned()];
    let hour_ago = Timestamp::now().as_millisecond() - 3_600_000;
    setup.context.store.create(&format!("due/{}/{hour_ago}", setup.options.job), Vec::new()).await.unwrap();
    setup.serve(vec![job]);
    setup.history_when(|lines| lines.len() >= 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let lines = setup.history().await;
    let first = &lines[0];
    assert!(lines.iter().all(|line| line.status == Some(Status::Failed)));
    assert!(first.cause.as_ref().is_some_and(|cause| cause.contains("127.0.0.1:1")), "{first:?}");
    assert_eq!((first.attempt.number, first.attempt.of, first.attempt.previous), (1, 2, None));
    assert_eq!((lines[1].attempt.number, lines[1].attempt.previous), (2, Some(first.run_id)));
    // A new minute may have started meanwhile, with its own first attempt.
    assert!(lines.iter().all(|line| line.attempt.number <= 2), "{lines:#?}");
    assert_eq!(setup.events("failed").await.len(), lines.len());
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_start_runs_and_ask_for_statistics() {
    let mut setup = Setup::start().await;
    let job = setup.job();
    setup.serve(vec![job]);
    let started: RunAnswer =
        given(&setup.ask("run", &json!({ "scanBatchSize": 50, "startedBy": "a script" })).await);
    let mine = |lines: &[RunLine]| lines.iter().find(|line| line.run_id == started.run_id).cloned();
    let lines = setup.history_when(|lines| mine(lines).is_some_and(|line| line.status.is_some())).await;
    let line = mine(&lines).unwrap();
    assert_eq!(
        (line.status, line.cleaned_keys, line.started_by.as_str()),
        (Some(Status::Completed), 200, "a script")
    );
    let stats: Value = given(&setup.ask("stats", &json!({})).await);
    assert!(stats["jobQueue"]["completed"].as_u64().unwrap() >= 1, "{stats}");
    assert_eq!(
        (&stats["redisHealth"]["status"], &stats["cacheHealth"]["errors"]),
        (&json!("healthy"), &Value::Null)
    );
    for (endpoint, request, code, word) in [
        ("run", json!({ "job": "other" }), 404, "other"),
        ("run", json!({ "scanBatchSize": 0 }), 400, "scanBatchSize"),
        ("run", json!({ "scanBatchsize": 1 }), 400, "unknown field"),
        ("run", json!({ "aggressiveCleanup": true }), 400, "inactive users"),
        ("run", json!({ "scanBatchSize": 200 }), 403, "`scanBatchSize` is `200`, and the job has `100`"),
        (
            "run",
            json!({ "rateLimit": 9, "scanBatchSize": 101 }),
            403,
            "`allow_override = [\"scanBatchSize\"]`",
        ),
        ("cancel", json!({ "runId": "01a20c5f-5c7e-723c-adcf-f38a83c36ec0" }), 404, "no run"),
        ("cancel", json!({}), 400, "runId"),
        ("stats", json!({ "job": "other" }), 404, "other"),
    ] {
        let ServiceReply::Refused(given, why) = setup.ask(endpoint, &request).await else {
            panic!("{endpoint} {request}")
        };
        assert!(given == code && why.contains(word), "{endpoint} {request}: {given} {why}");
    }
    setup.end().await;
}

/// Two services, one job: each due time has one run, whichever claims it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_start_one_run() {
    let mut setup = Setup::start().await;
    let hour_ago = Timestamp::now().as_millisecond() - 3_600_000;
    setup.context.store.create(&format!("due/{}/{hour_ago}", setup.options.job), Vec::new()).await.unwrap();
    for _ in 0..2 {
        let job = ServedJob { catch_up: true, ..setup.job() };
        setup.serve(vec![job]);
    }
    setup.history_when(|lines| lines.iter().any(|line| line.status.is_some())).await;
    let late = setup.history().await.into_iter().filter(|line| line.started_by.starts_with("schedule, late"));
    assert_eq!(late.count(), 1);
    assert_eq!(setup.events("missed").await.len(), 1);
    setup.end().await;
}

/// The first run of a job that is due as stale keys arrive, and the one after a burst.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_decide_the_same_and_start_one_run() {
    let mut setup = Setup::start().await;
    for _ in 0..2 {
        let bounds = Bounds {
            min_interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(86_400),
            max_stale: Some(100),
            run_cost: None,
            quiet: QuietWindows::none(),
        };
        let job = ServedJob { schedule: JobSchedule::Auto(bounds), ..setup.job() };
        setup.serve(vec![job]);
    }
    let ended = |lines: &[RunLine]| lines.iter().filter(|line| line.status.is_some()).count();
    setup.history_when(|lines| ended(lines) == 1).await;
    let burst: Vec<Vec<u8>> = (0..150).map(|n| format!("permissions:burst:{n}").into_bytes()).collect();
    kit::keys::ask(&setup.options.access, "INCR", &burst).await;
    setup.history_when(|lines| ended(lines) >= 2).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let cleaned: Vec<u64> = setup.history().await.iter().map(|line| line.cleaned_keys).collect();
    assert_eq!(cleaned, [200, 150]);
    let kept = decisions::of(&*setup.context.store, &setup.options.job).await.unwrap();
    let laws: Vec<&str> = kept.iter().map(|decision| decision.law.as_str()).collect();
    // The burst may come before anything else is decided after the first run.
    assert!(laws[0] == "first" && laws.contains(&"surplus"), "{kept:#?}");
    let prefix = format!("{EVENTS}{}/decided/", setup.options.job);
    let published = store::all(&*setup.context.store, &prefix).await.unwrap().len();
    assert_eq!(published, kept.len(), "each of them once: {kept:#?}");
    setup.end().await;
}
