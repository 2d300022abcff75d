//! Runs over a real nats-server within one process: the workers of each role as tasks, and a coordinator that submits,
//! leads and follows a run, like the commands.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use coordinator::follow::follow;
use coordinator::leader::{LeaderExit, run_as_leader};
use coordinator::lease::{self, Lease, LeasePhase, LeaseRecord};
use coordinator::options::Options;
use coordinator::preflight::Preflight;
use coordinator::submit::submit;
use keysweep_model::ids::RunId;
use keysweep_model::result::CleanupResult;
use keysweep_nats::{Nats, NatsOptions, setup};
use keysweep_runtime::context::{Context, Timing};
use keysweep_runtime::failpoint::FailPoints;
use keysweep_runtime::limits::BATCH_LIFE;
use keysweep_storage::dead_letter::{self, DeadLetter};
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::queue::Topic;
use keysweep_storage::records::Records;
use keysweep_tasks::supervision::TaskGroup;
use reaper::Reaper;
use scanner::Scanner;
use tokio_util::sync::CancellationToken;

use super::{in_time, keys, progress};
use crate::nats_server::NatsServer;

/// The polling interval.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// A nats-server, and its settings.
pub struct Net {
    pub server: NatsServer,
    pub access: NatsOptions,
    pub timing: Timing,
}

impl Net {
    /// Starts a server, with these time limits.
    pub async fn start(timing: Timing) -> Self {
        let server = NatsServer::start("").await.expect("a nats-server can be started");
        let access = NatsOptions { ack_wait: timing.ack_wait, ..NatsOptions::open(server.url()) };
        Self { server, access, timing }
    }

    /// A new connection, like that of a process. Waits for the server.
    pub async fn connect(&self) -> Nats {
        let nats = Nats::connect(&self.access, "keysweep-test", None).await.unwrap();
        setup::ensure(&nats).await.unwrap();
        nats
    }

    /// The context of one process.
    pub async fn env(&self, options: &Options) -> Context {
        let access = BTreeMap::from([(options.alias.clone(), options.access.clone())]);
        coordinator::nats_context(&self.connect().await, access, self.timing)
    }
}

/// The number of workers of each role.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub scanners: usize,
    pub reapers: usize,
    pub reporters: usize,
}

impl Counts {
    /// Two of each, so that work can move to another one.
    pub const PAIRS: Self = Self { scanners: 2, reapers: 2, reporters: 2 };
}

/// Running workers. Dropping them aborts them.
pub struct Workers {
    task_group: TaskGroup,
    shutdown: CancellationToken,
    envs: Vec<Context>,
}

impl Workers {
    /// No workers.
    pub fn none() -> Self {
        Self { task_group: TaskGroup::default(), shutdown: CancellationToken::new(), envs: Vec::new() }
    }

    /// Starts `counts` workers in `env`.
    pub fn start(context: &Context, counts: Counts) -> Self {
        let mut workers = Self::none();
        workers.add(context, counts);
        workers
    }

    /// Starts more workers. Each handles one message at a time, and is restarted when it is stopped as planned.
    pub fn add(&mut self, context: &Context, counts: Counts) {
        self.envs.push(context.clone());
        for n in 0..counts.scanners {
            self.role(context, format!("scanner {n}"), |env, shutdown| async move {
                Scanner::new(env, shutdown).run(1).await
            });
        }
        for n in 0..counts.reapers {
            self.role(context, format!("reaper {n}"), |env, shutdown| async move {
                Reaper::new(env, shutdown).run(1).await
            });
        }
        for n in 0..counts.reporters {
            self.role(context, format!("reporter {n}"), |env, shutdown| async move {
                reporter::run(&env, shutdown).await
            });
        }
    }

    fn role<E: Display + Send + 'static, F: Future<Output = Result<(), E>> + Send + 'static>(
        &mut self,
        context: &Context,
        name: String,
        start: impl Fn(Context, CancellationToken) -> F + Send + 'static,
    ) {
        let (env, shutdown) = (context.clone(), self.shutdown.clone());
        self.task_group.start(name, async move {
            loop {
                tokio::select! {
                    exit = start(env.clone(), shutdown.clone()) => return exit,
                    () = env.failpoints.fired() => println!("a worker is cut off"),
                }
            }
        });
    }

    /// Lets them finish their work; none of them may have failed.
    pub async fn stop(self) {
        self.shutdown.cancel();
        assert_eq!(in_time(self.task_group.join()).await, [], "how workers ended");
        for env in self.envs {
            in_time(env.queue.close()).await;
        }
    }
}

/// Submits the plan, and acquires the lease of its run.
pub async fn submitted(context: &Context, options: &Options, plan: &Preflight, who: &str) -> Lease {
    let run = submit(context, options, plan).await.expect("the job is free").run();
    assert_eq!(run, plan.spec.run, "it is our run that waits");
    taken(context, options, run, who).await
}

/// Acquires the lease of a job in any state, if it is of `run`.
pub async fn taken(context: &Context, options: &Options, run: RunId, who: &str) -> Lease {
    let (there, revision) =
        lease::read_lease(&*context.store, &options.job).await.unwrap().expect("there is a hold");
    assert_eq!(there.run, run);
    let hold = LeaseRecord::begin(run, options.alias.clone(), LeasePhase::Driven, who);
    let held = lease::take(&*context.store, &options.job, Some(revision), hold).await.unwrap();
    held.expect("the lease is free")
}

/// Leads a run to its result, as its only coordinator.
pub async fn conducted(context: &Context, held: Lease) -> CleanupResult {
    match run_as_leader(context, held, &CancellationToken::new()).await.expect("the store answers") {
        LeaderExit::Ended(result) => *result,
        other => panic!("the run was not ended by us: {other:?}"),
    }
}

/// The result of a run that other processes drive.
pub async fn followed(context: &Context, plan: &Preflight) -> CleanupResult {
    let (progress, _) = progress(plan);
    follow(&context.records(plan.spec.run), &progress).await.expect("the records answer")
}

/// Submits the plan; leads and follows the run concurrently.
pub async fn driven(context: &Context, options: &Options, plan: &Preflight) -> CleanupResult {
    let held = submitted(context, options, plan, "a test").await;
    let (conducted, followed) =
        tokio::join!(Box::pin(conducted(context, held)), Box::pin(followed(context, plan)));
    assert_eq!(conducted, followed, "there is one result");
    conducted
}

/// One run in `env` with its own workers, from submission to the result.
pub async fn run_in(context: &Context, options: &Options, plan: &Preflight, counts: Counts) -> CleanupResult {
    let workers = Workers::start(context, counts);
    let result = in_time(driven(context, options, plan)).await;
    closed(context, plan.spec.run).await;
    workers.stop().await;
    result
}

/// Waits until the history entry of the run is closed: the reporter's last step.
pub async fn closed(context: &Context, run: RunId) -> RunLine {
    let closed = async || {
        let lines = history::read(&*context.store).await.unwrap();
        lines.into_iter().find(|line| line.run_id == run && line.status.is_some())
    };
    in_time(found(closed)).await
}

/// Waits until the driver of a job's run has released it, including the lock in Redis.
pub async fn freed(context: &Context, options: &Options) {
    let look = async || lease::read_lease(&*context.store, &options.job).await.unwrap();
    until(async || look().await.is_some_and(|(hold, _)| hold.phase == LeasePhase::Free)).await;
}

/// Polls `look` until it returns a value.
pub async fn found<T>(look: impl AsyncFn() -> Option<T>) -> T {
    loop {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Polls `look` until it returns `true`.
pub async fn until(look: impl AsyncFn() -> bool) {
    in_time(found(async || look().await.then_some(()))).await;
}

/// The reports of a run.
pub async fn reports(records: &Records, tasks: &[keysweep_model::messages::ScanTask]) -> usize {
    let mut reports = 0;
    for task in tasks {
        reports += usize::from(records.report(task.task).await.unwrap().is_some());
    }
    reports
}

/// `env` with a planned stop of a worker.
pub fn with_crash(context: &Context, plan: FailPoints) -> Context {
    Context { failpoints: Arc::new(plan), ..context.clone() }
}

/// All dead letters.
pub async fn dead_letters(context: &Context) -> Vec<DeadLetter> {
    let (mut letters, mut revision) = (Vec::new(), 0);
    while let Some((at, letter)) = dead_letter::next(&*context.store, revision).await.unwrap() {
        revision = at;
        letters.push(letter);
    }
    letters
}

/// Checks that the queues are empty, now and after the ack deadline.
pub async fn check_empty(context: &Context) {
    let wait = context.timing.ack_wait + Duration::from_millis(500);
    for topic in [Topic::Tasks, Topic::Batches] {
        let left = context.queue.pull(topic, 1, wait).await.unwrap();
        let left: Vec<String> = left.iter().map(|left| left.payload.escape_ascii().to_string()).collect();
        assert_eq!(left, [""; 0], "{topic:?} are left");
    }
}

/// Removes the ledgers that a distributed run leaves, which would expire with their batches.
pub async fn drop_ledgers(options: &Options) {
    let ledgers = keys::matching(&options.access, "keysweep:ledger:*").await;
    let longest = i64::try_from(BATCH_LIFE.as_millis()).unwrap() + 60_000;
    for ttl in keys::ask(&options.access, "PTTL", &ledgers).await {
        assert!((1..=longest).contains(&ttl), "a ledger lives for {ttl} ms");
    }
    keys::ask(&options.access, "UNLINK", &ledgers).await;
}
