//! Runs with workers in separate processes: the same exact counts as in one process, one result, and the process that
//! started the run may end.

use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::Context;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;

use crate::cli::Ended;
use crate::fleet::slow_cluster::SlowCluster;
use crate::fleet::{self, ALL, Fleet, Role, WORKERS, trace};

/// Matching keys.
const KEYS: u64 = 50_000;

/// How long nodes are paused repeatedly where a run must last.
const PAUSE: Duration = Duration::from_millis(25);

/// A cluster with keys, a fleet, and the ground truth.
struct Scene {
    cluster: kit::PooledCluster,
    access: ConnectOptions,
    truth: GroundTruth,
    fleet: Fleet,
    context: Context,
}

impl Scene {
    async fn set(roles: &[(Role, usize)]) -> Self {
        Self::with(KEYS, roles).await
    }

    async fn with(keys: u64, roles: &[(Role, usize)]) -> Self {
        let cluster = kit::cluster().await;
        let access = ConnectOptions::open(cluster.urls());
        let mut truth = GroundTruth::mixture(keys, "");
        truth.add_binary();
        truth.seed(&access).await;
        let fleet = Fleet::start(&fleet::nats().await.url(), &cluster.urls(), roles);
        let env = fleet.records(&access).await;
        Self { cluster, access, truth, fleet, context: env }
    }

    /// Checks that `ended` printed the result of the run, and that it is correct.
    async fn check(&mut self, ended: &Ended) {
        trace::check(&self.fleet, &self.context, &self.access, &self.truth, ended).await;
        println!("{} ms", trace::result(ended).duration_ms);
        self.fleet.check_alive();
    }

    fn attach(&self, run: RunId) -> Ended {
        self.fleet.command(&["runs", "attach", &run.to_string(), "--json"]).run()
    }
}

const RUN: [&str; 3] = ["run", "--yes", "--json"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_a_service() {
    let mut scene = Scene::set(&ALL).await;
    let ended = scene.fleet.command(&RUN).run();
    scene.check(&ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes KEYSWEEP_SOAK_KEYS keys"]
async fn soak_a_run_with_a_service() {
    let mut scene = Scene::with(kit::soak_keys(), &ALL).await;
    let ended = scene.fleet.command(&RUN).run();
    scene.check(&ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_a_driver_gets_one() {
    let mut scene = Scene::set(&WORKERS).await;
    let ended = scene.fleet.command(&RUN).run();
    scene.check(&ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_started_and_followed_later() {
    for roles in [&ALL[..], &WORKERS] {
        let mut scene = Scene::set(roles).await;
        let started = scene.fleet.command(&["run", "--yes", "--json", "--detach"]).run();
        let run: RunId =
            serde_json::from_value(started.exits(0).json()["runId"].clone()).expect("a run's id");
        let ended = scene.attach(run);
        assert_eq!(trace::result(&ended).run_id, run);
        scene.check(&ended).await;
        // A late client gets the same.
        assert_eq!(scene.attach(run).exits(0).stdout, ended.stdout);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_continues_without_the_process_that_started_it() {
    for roles in [&ALL[..], &WORKERS] {
        let mut scene = Scene::set(roles).await;
        let running = scene.fleet.command(&RUN).start();
        let run = trace::stored(&scene.context).await;
        let slow_cluster = SlowCluster::on(&scene.cluster, PAUSE).await;
        trace::under_way(&scene.context, run, "report").await;
        running.kill();
        assert_eq!(scene.context.records(run).result().await.unwrap(), None, "it was killed in the middle");
        drop(slow_cluster);
        let ended = scene.attach(run);
        scene.check(&ended).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_workers_finish_inflight_work() {
    let mut scene = Scene::set(&ALL).await;
    let running = scene.fleet.command(&RUN).start();
    let run = trace::stored(&scene.context).await;
    let slow_cluster = SlowCluster::on(&scene.cluster, PAUSE).await;
    for (role, kind) in [
        (Role::Scanner, "report"),
        (Role::Reaper, "receipt"),
        (Role::Reporter, "report"),
        (Role::Coordinator, "report"),
    ] {
        trace::under_way(&scene.context, run, kind).await;
        let place = scene.fleet.of(role)[0];
        let ended = scene.fleet.terminate(place);
        ended.exits(0).log_contains(&["finishes the work in progress", " ends"]);
        println!("{} drained in {:?}", scene.fleet.name(place), ended.took);
    }
    // There was only one.
    let coordinator = scene.fleet.of(Role::Coordinator)[0];
    scene.fleet.restart(coordinator);
    drop(slow_cluster);
    let ended = running.end();
    scene.check(&ended).await;
}
