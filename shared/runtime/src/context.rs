//! The dependencies of a stage: queue, store, Redis connections, and time limits. Built once per process, in
//! one process once per run. Embedded and distributed mode differ in what it contains, and in what `distributed` decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::limits;
use keysweep_backup::BackupTargets;
use keysweep_http::{Integrations, WebError, Webhook, webhook};
use keysweep_model::ids::{Alias, RunId};
use keysweep_pacing::Pacers;
use keysweep_redis::{ConnectOptions, RedisErrorKind};
use keysweep_storage::alerts::AlertNotification;
use keysweep_storage::audit::AuditTrail;
use keysweep_storage::events::{self, Event};
use keysweep_storage::queue::{MemoryQueue, Queue};
use keysweep_storage::records::Records;
use keysweep_storage::store::{MemoryStore, Store};
use keysweep_storage::task_notes::TaskNotes;
use keysweep_telemetry::Telemetry;
use strum::VariantArray;

use crate::activity::ActivityCache;
use crate::failpoint::FailPoints;
use crate::in_hand::InHand;

/// How long to wait for a receipt after the batch has expired.
const BATCH_SLACK: Duration = Duration::from_secs(60);

/// The dependencies of a stage. Clones share everything.
#[derive(Clone)]
pub struct Context {
    /// The work queues.
    pub queue: Arc<dyn Queue>,
    /// The records of runs.
    pub store: Arc<dyn Store>,
    /// Data that outlives a run: run history, counter snapshots, alerts, events, names of keys that were kept. Over NATS
    /// it is the same store.
    pub history_store: Arc<dyn Store>,
    /// Where the keys that runs delete are recorded by name; `None` if they are not.
    pub audit: Option<Arc<dyn AuditTrail>>,
    /// The connection options of each deployment. Never part of a message.
    pub access: Arc<BTreeMap<Alias, ConnectOptions>>,
    /// Time limits and retry rules.
    pub timing: Timing,
    /// The failpoints at which tests stop workers.
    pub failpoints: Arc<FailPoints>,
    /// Whether other processes work on the same runs, with settings of their own.
    pub distributed: bool,
    /// Scan tasks that may be in flight at a time. All of their batches must fit into the queue together: a batch acts
    /// only after its task's report is stored, and the report is stored after the last batch is queued. Scanners that
    /// wait for room would otherwise deadlock.
    pub max_inflight_tasks: usize,
    /// Webhooks for alerts and Prometheus servers for counters, by job. Empty until it is set.
    pub integrations: Arc<Integrations>,
    /// Where this process backs up the keys that it deletes, by job. Empty until it is set.
    pub backups: Arc<BackupTargets>,
    /// The metrics of this process.
    pub telemetry: Arc<Telemetry>,
    /// The rate limits of this process, by node.
    pub pacers: Arc<Pacers>,
    /// The active users of the runs that this process works on.
    pub activities: Arc<ActivityCache>,
    /// Where scanners publish their progress, and workers that they are there.
    pub notes: TaskNotes,
    /// The messages that this process is working on.
    pub in_hand: Arc<InHand>,
}

/// Time limits that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// See [`keysweep_storage::limits::ACK_WAIT`].
    pub ack_wait: Duration,
    /// See [`limits::FAILURES_MAX`].
    pub max_failures: u32,
    /// See [`limits::RETRY_DELAY`].
    pub retry_delay: Duration,
    /// See [`limits::RETRY_DELAY_MAX`].
    pub retry_delay_max: Duration,
    /// See [`limits::DRIVE_LEASE`].
    pub lease: Duration,
    /// See [`limits::PRIMARY_WAIT`].
    pub primary_wait: Duration,
    /// See [`limits::NOTIFICATION_PAUSE`].
    pub notification_retry_delay: Duration,
    /// The longest wait between two reads of the clock, while something is due later.
    pub clock_check: Duration,
    /// How long records of runs are kept.
    pub retention: Duration,
    /// How long to wait for a receipt once the batch's grace is over. After that, its message counts as lost.
    pub batch_lost_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ack_wait: keysweep_storage::limits::ACK_WAIT,
            max_failures: limits::FAILURES_MAX,
            retry_delay: limits::RETRY_DELAY,
            retry_delay_max: limits::RETRY_DELAY_MAX,
            lease: limits::DRIVE_LEASE,
            primary_wait: limits::PRIMARY_WAIT,
            notification_retry_delay: limits::NOTIFICATION_PAUSE,
            clock_check: limits::CLOCK_CHECK,
            retention: Duration::MAX,
            batch_lost_after: limits::BATCH_LIFE + BATCH_SLACK,
        }
    }
}

impl Timing {
    /// The delay after the `failures`-th failure (from 1): doubles each time, up to `retry_delay_max`.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let doubled = self.retry_delay.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.retry_delay_max)
    }
}

impl Context {
    /// Queue and store in memory, for embedded mode.
    #[must_use]
    pub fn in_process(access: BTreeMap<Alias, ConnectOptions>, timing: Timing) -> Self {
        let queue =
            MemoryQueue::new(timing.ack_wait, limits::TASKS_QUEUE_BYTES_MAX, limits::BATCHES_QUEUE_BYTES_MAX);
        Self {
            queue: Arc::new(queue),
            store: Arc::new(MemoryStore::default()),
            history_store: Arc::new(MemoryStore::default()),
            audit: None,
            access: Arc::new(access),
            timing,
            failpoints: Arc::default(),
            distributed: false,
            max_inflight_tasks: usize::MAX,
            integrations: Arc::default(),
            backups: Arc::default(),
            telemetry: Arc::default(),
            pacers: Arc::new(Pacers::new(false)),
            activities: Arc::default(),
            notes: TaskNotes::default(),
            in_hand: Arc::default(),
        }
    }

    /// Lets the counters of a job and its deployment begin at 0.
    pub fn count_from_zero(&self, job: &str, redis: &Alias) {
        self.telemetry.knows_job(job, redis);
        self.telemetry.knows_redis(redis, RedisErrorKind::VARIANTS.iter().map(Into::into));
    }

    /// Whether anyone can read what is kept next to the records: events, the history, names of keys. With no state file
    /// and no NATS, it is gone with the process.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.audit.is_some()
    }

    /// Publishes an event, if it is kept. A failure is logged and does not stop the run.
    pub async fn emit_event(&self, event: &Event) {
        if self.is_kept()
            && let Err(e) = events::emit(&*self.history_store, event).await
        {
            tracing::warn!(error = %e, kind = %event.kind, "failed to publish an event");
        }
    }

    /// Posts a notification to one webhook of its job, and counts the attempt. Takes a minute at most.
    ///
    /// # Errors
    /// When the webhook does not accept it.
    pub async fn notify(&self, hook: &Webhook, notice: &AlertNotification) -> Result<(), WebError> {
        let posted = match self.integrations.client() {
            Ok(client) => webhook::post(client, hook, notice).await,
            Err(e) => Err(e),
        };
        self.telemetry.posted(&notice.alert.job, hook.as_str(), posted.is_ok());
        posted
    }

    /// The connection options for database `db` of a deployment, if this process has them.
    #[must_use]
    pub fn access(&self, alias: &Alias, db: u32) -> Option<ConnectOptions> {
        self.access.get(alias).map(|access| ConnectOptions { db, ..access.clone() })
    }

    /// The records of `run`.
    #[must_use]
    pub fn records(&self, run: RunId) -> Records {
        Records::new(Arc::clone(&self.store), run)
    }

    /// What is left of the records of a run that has ended. Without NATS its process kept its spec and its result where the
    /// history is.
    #[must_use]
    pub fn records_left(&self, run: RunId) -> Records {
        let store = if self.distributed { &self.store } else { &self.history_store };
        Records::new(Arc::clone(store), run)
    }
}
