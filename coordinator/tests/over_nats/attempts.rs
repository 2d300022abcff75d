//! The request of a run also applies to what follows it: a further attempt, a takeover by another service, a catch-up
//! run. A changed job file, which may request more, has no effect on it.

use std::time::Duration;

use coordinator::options::Options;
use coordinator::serve::{RunAnswer, ServedJob, serve};
use jiff::Timestamp;
use keysweep_model::ids::RunId;
use keysweep_model::messages::{Action, RunSpec, TaskReport};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_nats::{Nats, ServiceReply, ask};
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Server;
use keysweep_storage::records::{Decision, Record, Records};
use keysweep_tasks::supervision::TaskGroup;
use keysweep_testkit::kit;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use keysweep_testkit::kit::population::{self, Population};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Enough that their caches take several tasks.
const USERS: u64 = 1_500;

const REPORTER: Counts = Counts { scanners: 0, reapers: 0, reporters: 1 };
const OTHERS: Counts = Counts { scanners: 2, reapers: 2, reporters: 0 };

/// NATS, a server with users' caches, and no scanners yet.
struct Scene {
    net: Net,
    _server: Server,
    options: Options,
    population: Population,
    context: Context,
    nats: Nats,
    workers: Workers,
}

/// A service that runs until dropped.
struct Service {
    task_group: TaskGroup,
    shutdown: CancellationToken,
}

impl Service {
    async fn end(self) {
        self.shutdown.cancel();
        assert_eq!(kit::in_time(self.task_group.join()).await, []);
    }
}

impl Scene {
    /// The job removes as much as possible.
    async fn set() -> Self {
        let timing = Timing { lease: Duration::from_secs(2), ..Timing::default() };
        let (net, server) = (Net::start(timing).await, kit::standalone().await);
        let options = population::options(vec![server.url()], population::zset());
        let population = Population::of(USERS);
        population.seed(&options.access).await;
        let (env, nats) = (net.env(&options).await, net.connect().await);
        let workers = Workers::start(&env, REPORTER);
        Self { net, _server: server, options, population, context: env, nats, workers }
    }

    fn job(&self, options: &Options) -> ServedJob {
        ServedJob { catch_up: true, ..kit::service::job(options) }
    }

    fn serve(&self, job: ServedJob, who: &'static str) -> Service {
        let (env, nats, shutdown) = (self.context.clone(), self.nats.clone(), CancellationToken::new());
        let (mut task_group, until) = (TaskGroup::default(), shutdown.clone());
        task_group.start("service", async move { serve(&env, &nats, vec![job], who, until).await });
        Service { task_group, shutdown }
    }

    /// The service's reply to a request to start a run.
    async fn ask(&self, request: &Value) -> ServiceReply {
        let asked = async || match ask(&self.nats, "run", request.to_string().into_bytes()).await.unwrap() {
            // It has just been started.
            ServiceReply::NoResponder => None,
            answer => Some(answer),
        };
        kit::in_time(net::found(asked)).await
    }

    /// Starts a run.
    async fn request(&self, request: &Value) -> RunId {
        match self.ask(request).await {
            ServiceReply::Given(bytes) => serde_json::from_slice::<RunAnswer>(&bytes).unwrap().run_id,
            answer => panic!("{request}: {answer:?}"),
        }
    }

    async fn spec(&self, run: RunId) -> RunSpec {
        self.context.records(run).spec().await.unwrap().expect("the run was planned")
    }

    /// Fails a run: none of its tasks could be read.
    async fn fail(&self, run: RunId) {
        let records = self.context.records(run);
        for task in &planned(&records).await {
            records.create_report(&TaskReport::lost(task, "a test", true)).await.unwrap();
        }
        assert_eq!(net::closed(&self.context, run).await.status, Some(Status::Failed));
    }

    /// The attempt that follows `run`.
    async fn next_attempt(&self, run: RunId) -> RunSpec {
        let next = async || {
            let lines = keysweep_storage::history::read(&*self.context.store).await.unwrap();
            lines.into_iter().find(|line| line.attempt.previous == Some(run)).map(|line| line.run_id)
        };
        let next = kit::in_time(net::found(next)).await;
        self.spec(next).await
    }

    /// The result of a run whose tasks are read from now on.
    async fn read(&mut self, run: RunId) -> CleanupResult {
        self.workers.add(&self.context, OTHERS);
        net::closed(&self.context, run).await;
        self.context.records(run).result().await.unwrap().expect("the run has a result")
    }

    /// Checks that exactly these numbers of keys were deleted.
    async fn check(&self, result: &CleanupResult, (stale, inactive): (bool, bool)) {
        assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
        let deleted = [(stale, &self.population.stale), (inactive, &self.population.inactive)];
        let deleted: usize = deleted.iter().filter(|(gone, _)| *gone).map(|(_, keys)| keys.len()).sum();
        assert_eq!(result.cleaned_keys, deleted as u64);
        net::drop_ledgers(&self.options).await;
        self.population.check_keys(&self.options.access, (stale, inactive)).await;
    }

    async fn end(self, services: Vec<Service>) {
        for service in services {
            service.end().await;
        }
        self.workers.stop().await;
        drop(self.net);
    }
}

/// All tasks of a planned run.
async fn planned(records: &Records) -> Vec<keysweep_model::messages::ScanTask> {
    let (mut tasks, mut revision) = (Vec::new(), 0);
    while let Some((at, record)) = records.next_after(revision).await.unwrap() {
        revision = at;
        if let Some(Record::Decision { decision: Decision::Tasks { tasks: some, .. }, .. }) = record {
            tasks.extend(some);
        }
    }
    assert!(!tasks.is_empty());
    tasks
}

/// A request asks for less than the job. Its first attempt fails; the second one must do the same.
async fn asked_again(request: Value, gone: (bool, bool), check: impl FnOnce(&RunSpec, &mut Population)) {
    let mut scene = Scene::set().await;
    let service = scene.serve(scene.job(&Options { aggressive: true, ..scene.options.clone() }), "a service");
    let run = scene.request(&request).await;
    let first = scene.spec(run).await;
    check(&first, &mut scene.population);
    scene.fail(run).await;
    let second = scene.next_attempt(run).await;
    println!("{request}");
    assert!(second.has_same_request(&first), "{first:#?} {second:#?}");
    assert_eq!((second.attempt.number, second.attempt.of), (2, 2));
    assert_eq!(
        (second.scheduled, second.display_name.clone()),
        (first.scheduled, first.display_name.clone())
    );
    let result = scene.read(second.run).await;
    scene.check(&result, gone).await;
    scene.end(vec![service]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_removes_no_inactive_users_that_the_request_left_out() {
    Box::pin(asked_again(json!({ "aggressiveCleanup": false }), (true, false), |spec, _| {
        assert!(spec.rules.inactive.is_none());
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_has_the_threshold_of_the_request() {
    // Users who were seen 400 days ago are active then, and those who were never seen are not.
    let days = 500;
    Box::pin(asked_again(json!({ "inactivityThresholdDays": days }), (true, true), |spec, population| {
        assert_eq!(spec.rules.inactive.as_ref().unwrap().threshold_ms, days * population::DAY_MS);
        let unseen = |key: &Vec<u8>| key.starts_with(b"permissions:\xff");
        let (unseen, seen): (Vec<_>, Vec<_>) = population.inactive.drain(..).partition(unseen);
        assert_eq!(unseen.len() as u64, 2 * USERS / 10);
        (population.inactive, population.active) = (unseen, [population.active.as_slice(), &seen].concat());
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_at_a_dry_run_is_one() {
    let request = json!({
        "dryRun": true, "scanBatchSize": 77, "rateLimit": 1_000_000, "allowNoActive": false, "maxSpeed": false,
        "latencyBudget": "7ms",
    });
    Box::pin(asked_again(request, (false, false), |spec, _| {
        assert!(spec.dry_run && spec.rules.action == Action::Report);
        assert_eq!((spec.rules.scan_batch_keys, spec.pacing.keys_per_s_max), (77, Some(1_000_000)));
        assert_eq!(spec.pacing.latency_budget_ms, Some(7));
    }))
    .await;
}

/// The service that leads the run ends, and the job of the next one asks for more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_over_run_keeps_its_request() {
    let mut scene = Scene::set().await;
    let service = scene.serve(scene.job(&scene.options), "the first");
    let run = scene.request(&json!({ "aggressiveCleanup": false })).await;
    let first = scene.spec(run).await;
    service.end().await;
    let mut more = scene.options.clone();
    (more.max_delete_percent, more.rules.protect) = (100, Vec::new());
    let service = scene.serve(scene.job(&more), "the second");
    // Its attempt fails in turn, and the successor starts the next one.
    scene.fail(run).await;
    let second = scene.next_attempt(run).await;
    assert!(second.has_same_request(&first), "{first:#?} {second:#?}");
    let result = scene.read(second.run).await;
    scene.check(&result, (true, false)).await;
    assert_eq!(result.accounting.protected, 0, "those have a TTL");
    scene.end(vec![service]).await;
}

/// The same, and the run itself continues: it is not planned again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_run_keeps_its_request() {
    let mut scene = Scene::set().await;
    let service = scene.serve(scene.job(&scene.options), "the first");
    let run = scene.request(&json!({ "aggressiveCleanup": false })).await;
    service.end().await;
    let service = scene.serve(scene.job(&scene.options), "the second");
    // A request for more meanwhile is rejected, and does not change it.
    let answer = scene.ask(&json!({})).await;
    let ServiceReply::Refused(409, why) = answer else { panic!("{answer:?}") };
    assert!(why.contains(&run.to_string()), "{why}");
    let result = scene.read(run).await;
    scene.check(&result, (true, false)).await;
    scene.end(vec![service]).await;
}

/// A catch-up run fails; the next attempt has the job of the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_at_a_missed_run_asks_for_the_same() {
    let mut scene = Scene::set().await;
    let due = Timestamp::now().as_millisecond() - 2 * 366 * 86_400_000;
    scene.context.store.create(&format!("due/{}/{due}", scene.options.job), Vec::new()).await.unwrap();
    let less = Options { aggressive: false, ..scene.options.clone() };
    let service = scene.serve(scene.job(&less), "the first");
    let late = async || {
        let lines = keysweep_storage::history::read(&*scene.context.store).await.unwrap();
        lines.into_iter().find(|line| line.started_by.starts_with("schedule, late")).map(|line| line.run_id)
    };
    let run = kit::in_time(net::found(late)).await;
    let first = scene.spec(run).await;
    assert!(first.scheduled && first.rules.inactive.is_none());
    // Another service, with a job that asks for more, sees it fail.
    service.end().await;
    let service = scene.serve(scene.job(&scene.options), "the second");
    scene.fail(run).await;
    let second = scene.next_attempt(run).await;
    assert!(second.has_same_request(&first) && second.scheduled, "{first:#?} {second:#?}");
    let result = scene.read(second.run).await;
    scene.check(&result, (true, false)).await;
    scene.end(vec![service]).await;
}
