//! A service without NATS in this process, with a job and a state file of its own. It can be stopped and started again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use coordinator::options::Options;
use coordinator::schedule::{JobSchedule, Schedule};
use coordinator::serve::{HttpAccess, HttpApi, KeptIn, ServedJob, serve_here};
use coordinator::ttl_advice::TtlLooks;
use keysweep_model::messages::Action;
use keysweep_runtime::context::{Context, Timing};
use keysweep_state::{FILE_NAME, StateFile};
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::store;
use keysweep_tasks::supervision::TaskGroup;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A job with `options` that is never due during a test, and is tried twice.
pub fn job(options: &Options) -> ServedJob {
    ServedJob {
        options: options.clone(),
        action: Action::Delete,
        allow_override: Vec::new(),
        schedule: JobSchedule::from(Schedule::parse("0 0 1 1 *", "UTC").unwrap()),
        attempts: 2,
        backoff: Duration::from_millis(10),
        sample_every: Duration::from_secs(3_600),
        ttl_looks: TtlLooks::default(),
        catch_up: false,
    }
}

/// The service. Dropping it removes its state file.
pub struct ServiceHere {
    dir: PathBuf,
    job: ServedJob,
    running: Option<(TaskGroup, CancellationToken)>,
}

impl ServiceHere {
    /// A service that is not started yet.
    pub fn new(job: ServedJob) -> Self {
        let name = format!("keysweep-service-{}-{}", std::process::id(), job.options.job);
        Self { dir: std::env::temp_dir().join(name), job, running: None }
    }

    /// The job.
    pub fn job(&self) -> &ServedJob {
        &self.job
    }

    /// The state file.
    pub fn file(&self) -> StateFile {
        StateFile::open(&self.dir.join(FILE_NAME)).unwrap()
    }

    /// Starts it.
    pub fn start(&mut self) {
        let timing = Timing { clock_check: Duration::from_millis(20), ..Timing::default() };
        let options = &self.job.options;
        let access = BTreeMap::from([(options.alias.clone(), options.access.clone())]);
        let context = Context::in_process(access, timing);
        let (file, job, shutdown) = (self.file(), self.job.clone(), CancellationToken::new());
        let until = shutdown.clone();
        let mut tasks = TaskGroup::default();
        tasks.start("the service", async move {
            let (kept, (_, jobs)) = (KeptIn { file, scope: "" }, watch::channel(vec![job]));
            let http = HttpApi::new(HttpAccess::default());
            serve_here(&context, kept, jobs, "a test", until, &http).await
        });
        self.running = Some((tasks, shutdown));
    }

    /// Stops it, and waits until it has ended.
    pub async fn stop(&mut self) {
        let (tasks, shutdown) = self.running.take().expect("it is running");
        shutdown.cancel();
        assert_eq!(tasks.join().await, []);
    }

    /// The runs in its history.
    pub async fn runs(&self) -> Vec<RunLine> {
        history::read(&self.file().store("")).await.unwrap()
    }

    /// The events of a kind that it has published, the oldest first.
    pub async fn events(&self, kind: &str) -> Vec<Value> {
        let prefix = format!("events/{}/{kind}/", self.job.options.job);
        let entries = store::all(&self.file().store(""), &prefix).await.unwrap();
        entries.iter().map(|entry| serde_json::from_slice(&entry.value).unwrap()).collect()
    }
}

impl Drop for ServiceHere {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
