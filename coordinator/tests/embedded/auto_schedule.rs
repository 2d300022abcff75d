//! A service without NATS with a job that is due as its stale keys arrive: bursts start runs by the keys that the server
//! counts, a restarted server starts none, and every decision is kept and published.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coordinator::options::Options;
use coordinator::schedule::JobSchedule;
use coordinator::schedule::auto::Bounds;
use coordinator::schedule::auto::quiet::QuietWindows;
use coordinator::serve::{HttpAccess, HttpApi, KeptIn, ServeError, ServedJob, serve_here};
use keysweep_model::messages::Action;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Server;
use keysweep_servers::managed_process::wait_until_ready;
use keysweep_state::{FILE_NAME, StateFile};
use keysweep_storage::decisions::{self, DecisionRecord};
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::store;
use keysweep_testkit::kit;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How many stale keys there may be.
const THRESHOLD: u64 = 100;

/// A service with one job.
struct Scene {
    dir: PathBuf,
    options: Options,
    service: Option<(JoinHandle<Result<(), ServeError>>, CancellationToken)>,
}

impl Scene {
    /// With a server that has keys without TTL which no run deletes.
    async fn start(server: &Server) -> Self {
        let options = Options { max_delete_percent: 100, ..kit::options(vec![server.url()]) };
        let dir = std::env::temp_dir().join(format!("keysweep-auto-{}", options.job));
        let kept = (0..70).map(|n| match n {
            0..20 => format!("permissions:system:{n}").into_bytes(),
            _ => format!("other:{n}").into_bytes(),
        });
        kit::keys::ask(&options.access, "INCR", &kept.collect::<Vec<_>>()).await;
        let mut scene = Self { dir, options, service: None };
        scene.serve();
        scene
    }

    fn file(&self) -> StateFile {
        StateFile::open(&self.dir.join(FILE_NAME)).unwrap()
    }

    fn serve(&mut self) {
        let bounds = Bounds {
            min_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(86_400),
            max_stale: Some(THRESHOLD),
            run_cost: None,
            quiet: QuietWindows::none(),
        };
        let job = ServedJob {
            options: self.options.clone(),
            action: Action::Delete,
            allow_override: Vec::new(),
            schedule: JobSchedule::Auto(bounds),
            attempts: 1,
            backoff: Duration::from_millis(10),
            sample_every: Duration::from_secs(3_600),
            catch_up: false,
        };
        let timing = Timing { clock_check: Duration::from_millis(20), ..Timing::default() };
        let access = BTreeMap::from([(self.options.alias.clone(), self.options.access.clone())]);
        let context = Context::in_process(access, timing);
        let (file, shutdown) = (self.file(), CancellationToken::new());
        let until = shutdown.clone();
        let serving = tokio::spawn(async move {
            let (kept, (_, jobs)) = (KeptIn { file, scope: "" }, watch::channel(vec![job]));
            let http = HttpApi::new(HttpAccess::default());
            serve_here(&context, kept, jobs, "a test", until, &http).await
        });
        self.service = Some((serving, shutdown));
    }

    async fn stop(&mut self) {
        let (serving, shutdown) = self.service.take().expect("it is running");
        shutdown.cancel();
        serving.await.unwrap().unwrap();
    }

    /// Writes stale keys.
    async fn burst(&self, round: u32, keys: u64) {
        let keys: Vec<Vec<u8>> = (0..keys).map(|n| format!("permissions:{round}:{n}").into_bytes()).collect();
        kit::keys::ask(&self.options.access, "INCR", &keys).await;
    }

    async fn runs(&self) -> Vec<RunLine> {
        history::read(&self.file().store("")).await.unwrap()
    }

    async fn decisions(&self) -> Vec<DecisionRecord> {
        decisions::of(&self.file().store(""), &self.options.job).await.unwrap()
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
            let (runs, decisions) = (self.runs().await, self.decisions().await);
            if let Some(last) = decisions.last().filter(|last| runs.len() == number && follows(last, &runs)) {
                return last.clone();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{runs:#?} {decisions:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn events(&self) -> Vec<Value> {
        let prefix = format!("events/{}/decided/", self.options.job);
        let entries = store::all(&self.file().store(""), &prefix).await.unwrap();
        entries.iter().map(|entry| serde_json::from_slice(&entry.value).unwrap()).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
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
    assert_eq!(scene.runs().await.len(), 1, "{:#?}", scene.decisions().await);
    scene.burst(2, 50).await;
    let second = scene.after_run(2, false).await;
    let decisions = scene.decisions().await;
    let due = decisions.iter().rfind(|decision| decision.law == "surplus").unwrap();
    assert_eq!((due.surplus, due.threshold), (Some(THRESHOLD + 49), THRESHOLD), "{due:#?}");
    assert!(
        due.sentence.starts_with("run now: 149 stale by the keys without TTL (threshold 100)"),
        "{due:#?}"
    );
    assert_eq!(scene.runs().await[1].cleaned_keys, THRESHOLD + 49);
    assert_eq!((second.surplus, second.growth.is_some()), (Some(0), true), "{second:#?}");

    // Another service on the same file decides the same.
    scene.stop().await;
    scene.serve();
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
    assert_eq!(scene.runs().await.len(), 2, "{:#?}", scene.decisions().await);
    scene.stop().await;
    every_decision_is_published(&scene).await;
}

async fn every_decision_is_published(scene: &Scene) {
    let (decisions, events) = (scene.decisions().await, scene.events().await);
    assert!((5..=decisions::DECISIONS_KEPT).contains(&decisions.len()), "{decisions:#?}");
    let published: Vec<&Value> = events.iter().map(|event| &event["data"]).collect();
    let kept: Vec<Value> = decisions.iter().map(|decision| serde_json::to_value(decision).unwrap()).collect();
    assert_eq!(published, kept.iter().collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["type"] == "dev.keysweep.schedule.decided.v1"), "{events:#?}");
}
