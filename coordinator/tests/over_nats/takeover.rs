//! One coordinator per job, in all cases: of two at the same time one is rejected; one that dies or is paused is
//! replaced by another, which continues the run; and late writes of the old one are rejected. Runs with and without
//! NATS exclude each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coordinator::drive::{DriveError, drive};
use coordinator::embedded::{self, RunError};
use coordinator::job_lock::LockError;
use coordinator::leader::{LeaderExit, run_as_leader};
use coordinator::lease::{self, LeasePhase};
use coordinator::options::Options;
use coordinator::preflight::Preflight;
use coordinator::run_phase::RunPhase;
use coordinator::serve::serve;
use coordinator::submit::{SubmitError, submit};
use keysweep_model::ids::TaskId;
use keysweep_model::messages::TaskFailure;
use keysweep_model::result::CleanupResult;
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::events::EVENTS;
use keysweep_storage::queue::Topic;
use keysweep_storage::records::{Decision, Record};
use keysweep_tasks::supervision::TaskGroup;
use keysweep_testkit::kit;
use keysweep_testkit::kit::gate::{Gate, freezing};
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LEASE: Duration = Duration::from_secs(2);

/// Enough for three tasks on each of three nodes, of which two at a time are published.
const KEYS: u64 = 60_000;

/// Much longer than a takeover takes.
const SLACK: Duration = Duration::from_secs(20);

fn timing() -> Timing {
    Timing { ack_wait: Duration::from_secs(5), lease: LEASE, ..Timing::default() }
}

/// A run whose tasks are read as permitted by the test.
struct Scene {
    net: Net,
    options: Options,
    truth: GroundTruth,
    planned: Preflight,
    /// The context of the workers.
    context: Context,
    gate: Arc<Gate>,
    workers: Workers,
    _cluster: kit::PooledCluster,
}

impl Scene {
    async fn start() -> Self {
        let (net, cluster) = (Net::start(timing()).await, kit::cluster().await);
        let options = kit::options(cluster.urls());
        let truth = GroundTruth::mixture(KEYS, "");
        truth.seed(&options.access).await;
        let planned = kit::preflight_of(&options).await;
        assert!(planned.tasks.len() > 8, "{} tasks", planned.tasks.len());
        let mut env = net.env(&options).await;
        let gate = Gate::install(&mut env.queue, Topic::Tasks);
        let workers = Workers::start(&env, Counts::PAIRS);
        Self { net, options, truth, planned, context: env, gate, workers, _cluster: cluster }
    }

    /// Returns when this many tasks have a report.
    async fn until_reported(&self, count: usize) {
        let records = self.context.records(self.planned.spec.run);
        net::until(async || net::reports(&records, &self.planned.tasks).await == count).await;
    }

    /// Returns when `who` has the lease of the job.
    async fn until_held_by(&self, who: &str) {
        let held = async || lease::read_lease(&*self.context.store, &self.options.job).await.unwrap();
        net::until(async || held().await.is_some_and(|(hold, _)| hold.process_id == who)).await;
    }

    /// Lets the run complete, and compares it with the ground truth.
    async fn end(self) -> CleanupResult {
        self.gate.open();
        let result = kit::in_time(net::followed(&self.context, &self.planned)).await;
        net::closed(&self.context, result.run_id).await;
        net::freed(&self.context, &self.options).await;
        self.workers.stop().await;
        net::drop_ledgers(&self.options).await;
        self.truth.check(&self.options.access, &result).await;
        result
    }

    /// Waits until the second coordinator has taken over the run, whose first one stopped at `gone` after two tasks;
    /// two more are done meanwhile. Returns the remaining tasks.
    async fn taken_over(&self, gone: Instant) -> Left {
        self.gate.allow(2);
        self.until_reported(4).await;
        let meanwhile = gone.elapsed();
        self.until_held_by("second").await;
        let taken = gone.elapsed();
        println!("taken over after {taken:?}; two tasks were done meanwhile, in {meanwhile:?}");
        assert!(taken < LEASE + SLACK, "{taken:?}");
        net::until(async || self.took().await.len() == 2).await;
        let records = self.context.records(self.planned.spec.run);
        let mut least = BTreeSet::new();
        for task in &self.planned.tasks {
            if records.report(task.task).await.unwrap().is_none() {
                least.insert(task.task);
            }
        }
        assert_eq!(least.len(), self.planned.tasks.len() - 4);
        let known = self.reported_before("second").await;
        assert!(known.len() >= 2, "{known:?}");
        let most =
            self.planned.tasks.iter().map(|task| task.task).filter(|task| !known.contains(task)).collect();
        Left { least, most }
    }

    /// The tasks that had a report when `who` was elected.
    async fn reported_before(&self, who: &str) -> BTreeSet<TaskId> {
        let (records, mut revision, mut reported) =
            (self.context.records(self.planned.spec.run), 0, BTreeSet::new());
        loop {
            let (at, record) = records.next_after(revision).await.unwrap().expect("it took the run");
            revision = at;
            match record {
                Some(Record::Report(report)) => {
                    reported.insert(report.task);
                }
                Some(Record::Decision { decision: Decision::LeaderElected { who: taker, .. }, .. })
                    if taker == who =>
                {
                    return reported;
                }
                _ => {}
            }
        }
    }

    /// The leaders of the run, in order, with their positions in the run log.
    async fn places(&self) -> Vec<(u64, String)> {
        let (records, mut revision, mut took) = (self.context.records(self.planned.spec.run), 0, Vec::new());
        while let Some((at, record)) = records.next_after(revision).await.unwrap() {
            revision = at;
            if let Some(Record::Decision { n, decision: Decision::LeaderElected { who, .. } }) = record {
                took.push((n, who));
            }
        }
        took
    }

    async fn took(&self) -> Vec<String> {
        self.places().await.into_iter().map(|(_, who)| who).collect()
    }

    async fn place_of(&self, coordinator: &str) -> u64 {
        let places = self.places().await;
        places.iter().find(|(_, who)| who == coordinator).expect("it took the run").0
    }
}

/// The tasks that a new leader has to publish. On a slow machine, a task may be reported between the election and the
/// publication, or the two tasks may take longer than the lease.
struct Left {
    /// Tasks without a report when its election was observed.
    least: BTreeSet<TaskId>,
    /// Tasks without a report that it could know of.
    most: BTreeSet<TaskId>,
}

/// Another coordinator: a service without jobs of its own, which takes up what others leave.
struct Service {
    task_group: TaskGroup,
    shutdown: CancellationToken,
    gate: Arc<Gate>,
}

impl Service {
    async fn start(scene: &Scene, who: &'static str) -> Self {
        let (nats, mut env) = (scene.net.connect().await, scene.net.env(&scene.options).await);
        let gate = Gate::install(&mut env.queue, Topic::Tasks);
        let (mut task_group, shutdown) = (TaskGroup::default(), CancellationToken::new());
        let stop = shutdown.clone();
        task_group.start(who, async move { serve(&env, &nats, Vec::new(), who, stop).await });
        Self { task_group, shutdown, gate }
    }

    /// Checks that it published the remaining tasks once, and none that it knew to be done.
    fn check(&self, left: &Left) {
        let published = self.gate.published();
        let handed_out: BTreeSet<TaskId> = published.iter().copied().collect();
        assert_eq!(handed_out.len(), published.len(), "each once");
        assert!(handed_out.is_superset(&left.least), "what was not done is done");
        assert!(handed_out.is_subset(&left.most), "what was done is not done again");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        assert_eq!(kit::in_time(self.task_group.join()).await, [], "how the service ended");
    }
}

fn held_by(error: SubmitError) -> String {
    match error {
        SubmitError::Run(RunError::Lock(held @ LockError::Held { .. })) => held.to_string(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_concurrent_submits_one_is_refused_with_the_holders_name() {
    let (net, server) = (Net::start(timing()).await, kit::standalone().await);
    let options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(3_000, "");
    truth.seed(&options.access).await;
    let who = |who: &str| Options { started_by: who.to_owned(), ..options.clone() };
    let (one, two) = (who("coordinator one"), who("coordinator two"));
    let (env_one, env_two) = (net.env(&one).await, net.env(&two).await);
    let (survey_one, survey_two) = (kit::preflight_of(&one).await, kit::preflight_of(&two).await);
    let (first, second) =
        tokio::join!(submit(&env_one, &one, &survey_one), submit(&env_two, &two, &survey_two));
    let (env, planned, by, refused) = match (first, second) {
        (Ok(_), Err(refused)) => (env_one, survey_one, "coordinator one", refused),
        (Err(refused), Ok(_)) => (env_two, survey_two, "coordinator two", refused),
        others => panic!("{others:?}"),
    };
    let text = held_by(refused);
    let run = planned.spec.run.to_string();
    assert!(text.contains(&format!("by {by} since 2")) && text.contains(&run), "{text}");
    let workers = Workers::start(&env, Counts::PAIRS);
    let held = net::taken(&env, &options, planned.spec.run, "a test").await;
    let result = kit::in_time(net::conducted(&env, held)).await;
    workers.stop().await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_coordinator_is_replaced() {
    let scene = Scene::start().await;
    let env = scene.net.env(&scene.options).await;
    let held = net::submitted(&env, &scene.options, &scene.planned, "first").await;
    let service = Service::start(&scene, "second").await;
    scene.gate.allow(2);
    let mut first = Box::pin(net::conducted(&env, held));
    tokio::select! {
        result = &mut first => panic!("{result:?}"),
        () = scene.until_reported(2) => {}
    }
    assert_eq!(scene.took().await, ["first"]);
    drop(first);
    let left = scene.taken_over(Instant::now()).await;
    check_events(&scene).await;
    assert_eq!(scene.took().await, ["first", "second"]);
    scene.end().await;
    service.check(&left);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_coordinator_yields_after_a_takeover() {
    let scene = Scene::start().await;
    let env = scene.net.env(&scene.options).await;
    let held = net::submitted(&env, &scene.options, &scene.planned, "first").await;
    let service = Service::start(&scene, "second").await;
    scene.gate.allow(2);
    let (frozen, freeze) = watch::channel(false);
    let never = CancellationToken::new();
    let first = freezing(run_as_leader(&env, held, &never), freeze);
    let second = async {
        scene.until_reported(2).await;
        frozen.send(true).unwrap();
        let left = scene.taken_over(Instant::now()).await;
        frozen.send(false).unwrap();
        left
    };
    let (first, left) = kit::in_time(Box::pin(async { tokio::join!(first, second) })).await;
    assert!(matches!(first.unwrap(), LeaderExit::LeaseLost), "it notices that it is out");
    assert_eq!(scene.took().await, ["first", "second"]);
    scene.end().await;
    service.check(&left);
    service.stop().await;
}

/// Only the records prevent its decisions: it does not watch its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_a_former_coordinator_are_refused() {
    let scene = Scene::start().await;
    let env = scene.net.env(&scene.options).await;
    let held = net::submitted(&env, &scene.options, &scene.planned, "first").await;
    let service = Service::start(&scene, "second").await;
    scene.gate.allow(2);
    let (frozen, freeze) = watch::channel(false);
    let run = scene.planned.spec.run;
    let (progress, _) = kit::progress(&scene.planned);
    let first = freezing(drive(&env, run, "first", progress), freeze);
    let second = async {
        let drives = CancellationToken::new();
        let until_frozen = async {
            scene.until_reported(2).await;
            frozen.send(true).unwrap();
            drives.cancel();
        };
        let (held, ()) = tokio::join!(held.renew_until(&*env.store, LEASE, &drives), until_frozen);
        let mut held = held.expect("it renews its lease until it is frozen");
        let left = scene.taken_over(Instant::now()).await;
        let records = env.records(run);
        let next = scene.place_of("first").await + 1;
        let loss = TaskFailure { cause: "too late".to_owned(), node_failed: false };
        let late = Decision::Abandon { tasks: Vec::new(), loss };
        assert!(!records.append(next, &late).await.unwrap(), "its next decision is refused");
        assert_eq!(scene.place_of("second").await, next, "because the second one stands there");
        assert!(!held.set_phase(&*env.store, LeasePhase::Driven).await.unwrap(), "and so is its hold");
        frozen.send(false).unwrap();
        left
    };
    let (first, left) = kit::in_time(Box::pin(async { tokio::join!(first, second) })).await;
    assert!(matches!(first, Err(DriveError::Fenced(fenced)) if fenced == run), "{first:?}");
    scene.end().await;
    service.check(&left);
    service.stop().await;
}

/// A run without NATS only has the lock in Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_with_and_without_nats_exclude_each_other() {
    let (net, cluster) = (Net::start(timing()).await, kit::cluster().await);
    let mut options = kit::options(cluster.urls());
    options.rules.grace_ms = 2_500;
    let truth = GroundTruth::mixture(3_000, "");
    truth.seed(&options.access).await;
    let (env, planned) = (net.env(&options).await, kit::preflight_of(&options).await);
    let embedded_preflight = kit::preflight_of(&options).await;
    let embedded_env = kit::env(&options, Timing::default());
    let (progress, mut seen) = kit::progress(&embedded_preflight);
    let first = kit::in_time(embedded::run(&embedded_env, &options, &embedded_preflight, progress));
    let second = async {
        seen.wait_for(|progress| progress.phase == RunPhase::Reaping).await.unwrap();
        let text = held_by(submit(&env, &options, &planned).await.unwrap_err());
        assert!(text.contains(&embedded_preflight.spec.run.to_string()), "{text}");
        let (hold, _) = lease::read_lease(&*env.store, &options.job).await.unwrap().unwrap();
        assert_eq!(hold.phase, LeasePhase::Free, "it gives the job back");
        assert_eq!(env.records(planned.spec.run).spec().await.unwrap(), None, "and stores no run");
    };
    let (first, ()) = tokio::join!(first, second);
    truth.check(&options.access, &first.unwrap()).await;
    empty(&cluster).await;
    truth.seed(&options.access).await;
    let planned = kit::preflight_of(&options).await;
    let held = net::submitted(&env, &options, &planned, "a test").await;
    // From its submission, and during the run.
    let check_refused = async || {
        let refused = embedded::run_cleanup_now(&options).await.unwrap_err();
        let RunError::Lock(LockError::Held { holder, .. }) = refused else { panic!("{refused}") };
        assert!(holder.contains(&planned.spec.run.to_string()), "{holder}");
    };
    check_refused().await;
    let workers = Workers::start(&env, Counts::PAIRS);
    let second = async {
        let records = env.records(planned.spec.run);
        net::until(async || net::reports(&records, &planned.tasks).await == planned.tasks.len()).await;
        check_refused().await;
    };
    let (result, ()) = tokio::join!(Box::pin(kit::in_time(net::conducted(&env, held))), second);
    workers.stop().await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
}

async fn empty(cluster: &kit::PooledCluster) {
    for node in cluster.nodes() {
        node.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    }
}

/// Subscribers receive the takeover event.
async fn check_events(scene: &Scene) {
    let key = format!("{EVENTS}{}/taken_over/{}/2", scene.options.job, scene.planned.spec.run);
    net::until(async || scene.context.store.get(&key).await.unwrap().is_some()).await;
}
