//! A service without NATS with a job that is due as its stale keys arrive: bursts start runs by the keys that the server
//! counts, a restarted server starts none, and every decision is kept and published.

use std::time::{Duration, Instant};

use coordinator::options::Options;
use coordinator::schedule::JobSchedule;
use coordinator::schedule::auto::Bounds;
use coordinator::schedule::auto::quiet::QuietWindows;
use coordinator::serve::ServedJob;
use keysweep_servers::Server;
use keysweep_servers::managed_process::wait_until_ready;
use keysweep_storage::decisions::{self, DecisionRecord};
use keysweep_storage::history::RunLine;
use keysweep_testkit::kit;
use keysweep_testkit::kit::service::{ServiceHere, job};
use serde_json::Value;

/// How many stale keys there may be.
const THRESHOLD: u64 = 100;

/// A service with one job.
struct Scene {
    service: ServiceHere,
}

impl Scene {
    /// With a server that has keys without TTL which no run deletes.
    async fn start(server: &Server) -> Self {
        let options = Options { max_delete_percent: 100, ..kit::options(vec![server.url()]) };
        let kept = (0..70).map(|n| match n {
            0..20 => format!("permissions:system:{n}").into_bytes(),
            _ => format!("other:{n}").into_bytes(),
        });
        kit::keys::ask(&options.access, "INCR", &kept.collect::<Vec<_>>()).await;
        let bounds = Bounds {
            min_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(86_400),
            max_stale: Some(THRESHOLD),
            run_cost: None,
            quiet: QuietWindows::none(),
        };
        let job = ServedJob { schedule: JobSchedule::Auto(bounds), attempts: 1, ..job(&options) };
        let mut service = ServiceHere::new(job);
        service.start();
        Self { service }
    }

    /// Writes stale keys.
    async fn burst(&self, round: u32, keys: u64) {
        let keys: Vec<Vec<u8>> = (0..keys).map(|n| format!("permissions:{round}:{n}").into_bytes()).collect();
        kit::keys::ask(&self.service.job().options.access, "INCR", &keys).await;
    }

    async fn decisions(&self) -> Vec<DecisionRecord> {
        decisions::of(&self.service.file().store(""), &self.service.job().options.job).await.unwrap()
    }

    /// What the decisions are, once `done` returns true for them.
    async fn decided(&self, what: &str, done: impl Fn(&[DecisionRecord]) -> bool) -> Vec<DecisionRecord> {
        let began = Instant::now();
        loop {
            let decisions = self.decisions().await;
            if done(&decisions) {
                return decisions;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{what}: {decisions:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The decision about what follows run `number`, from 1, once the surplus is known or held.
    async fn after_run(&self, number: usize, held: bool) -> DecisionRecord {
        let follows = |decision: &DecisionRecord, runs: &[RunLine]| {
            let started = runs.get(number - 1).map(|line| line.started_at.clone());
            decision.last_run == started && decision.held.is_some() == held
        };
        let began = Instant::now();
        loop {
            let (runs, decisions) = (self.service.runs().await, self.decisions().await);
            if let Some(last) = decisions.last().filter(|last| runs.len() == number && follows(last, &runs)) {
                return last.clone();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{runs:#?} {decisions:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_starts_a_run_and_a_restarted_server_starts_none() {
    let server = Server::start(&["--save", "", "--appendonly", "no"]).await.unwrap();
    let mut scene = Scene::start(&server).await;
    let first = scene.after_run(1, false).await;
    assert_eq!((first.law.as_str(), first.surplus), ("growth", Some(0)), "{first:#?}");
    assert_eq!(scene.decisions().await[0].law, "first");

    // Fewer than the threshold start no run.
    scene.burst(1, THRESHOLD - 1).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(scene.service.runs().await.len(), 1, "{:#?}", scene.decisions().await);
    scene.burst(2, 50).await;
    let second = scene.after_run(2, false).await;
    let decisions = scene.decisions().await;
    let due = decisions.iter().rfind(|decision| decision.law == "surplus").unwrap();
    assert_eq!((due.surplus, due.threshold), (Some(THRESHOLD + 49), THRESHOLD), "{due:#?}");
    assert!(
        due.sentence.starts_with("run now: 149 stale by the keys without TTL (threshold 100)"),
        "{due:#?}"
    );
    assert_eq!(scene.service.runs().await[1].cleaned_keys, THRESHOLD + 49);
    assert_eq!((second.surplus, second.growth.is_some()), (Some(0), true), "{second:#?}");

    // Another service on the same file decides the same.
    scene.service.stop().await;
    scene.service.start();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(scene.decisions().await.last(), Some(&second));

    // Another process counts, and has fewer keys, and then far more.
    server.kill().unwrap();
    scene.decided("no server answers", |all| all.last().is_some_and(|last| last.held.is_some())).await;
    server.start_again().unwrap();
    assert!(wait_until_ready(&server).await.is_ok());
    scene.burst(3, 5 * THRESHOLD).await;
    let other = |decision: &DecisionRecord| {
        decision.held.as_ref().is_some_and(|held| held.contains("other server processes"))
    };
    let held = scene.decided("the count is not used", |all| all.last().is_some_and(other)).await;
    assert_eq!(
        held.last().map(|last| (last.law.as_str(), last.surplus)),
        Some(("growth", None)),
        "{held:#?}"
    );
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(scene.service.runs().await.len(), 2, "{:#?}", scene.decisions().await);
    scene.service.stop().await;
    every_decision_is_published(&scene).await;
}

async fn every_decision_is_published(scene: &Scene) {
    let (decisions, events) = (scene.decisions().await, scene.service.events("decided").await);
    assert!((5..=decisions::DECISIONS_KEPT).contains(&decisions.len()), "{decisions:#?}");
    let published: Vec<&Value> = events.iter().map(|event| &event["data"]).collect();
    let kept: Vec<Value> = decisions.iter().map(|decision| serde_json::to_value(decision).unwrap()).collect();
    assert_eq!(published, kept.iter().collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["type"] == "dev.keysweep.schedule.decided.v1"), "{events:#?}");
}
