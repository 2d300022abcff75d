//! What a stage needs of the outside world: queue, store, the way to Redis, and time limits. Built once per
//! process; the only place where the modes differ.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::activity::ActivityCache;
use crate::alerts::AlertNotification;
use crate::backup::BackupTargets;
use crate::cluster::ConnectOptions;
use crate::events::{self, Event};
use crate::failpoint::FailPoints;
use crate::http::{Integrations, WebError, Webhook, webhook};
use crate::ids::{Alias, RunId};
use crate::limits;
use crate::nats::{Nats, NatsQueue, NatsStore};
use crate::pacing::Pacers;
use crate::queue::{MemoryQueue, Queue};
use crate::records::Records;
use crate::store::{MemoryStore, Store};
use crate::task_notes::TaskNotes;
use crate::telemetry::Telemetry;

/// How long after its life a batch without a receipt is waited for.
const BATCH_SLACK: Duration = Duration::from_secs(60);

/// The surroundings of a stage. Clones share everything.
#[derive(Clone)]
pub struct Context {
    /// The work queues.
    pub queue: Arc<dyn Queue>,
    /// The records.
    pub store: Arc<dyn Store>,
    /// What outlives a run: the history of runs, samples of the cache, alerts. Over NATS it is the same store.
    pub history_store: Arc<dyn Store>,
    /// How to reach each deployment. Never in a message.
    pub access: Arc<BTreeMap<Alias, ConnectOptions>>,
    /// Time limits and retry rules.
    pub timing: Timing,
    /// Where a test cuts workers off.
    pub failpoints: Arc<FailPoints>,
    /// Whether others read what is kept beside the records: events, history and audit trail. Within one process
    /// nobody does.
    pub distributed: bool,
    /// Scan tasks that may be handed out at a time. Their batches have to fit the queue together, because none
    /// of them counts before its task's report is stored, which happens when all are in the queue: scanners
    /// that wait for room would wait for each other.
    pub max_inflight_tasks: usize,
    /// Whom jobs tell about alerts and ask for counters, over HTTP. Empty until it is set.
    pub integrations: Arc<Integrations>,
    /// Where this process saves what it deletes, by job. Empty until it is set.
    pub backups: Arc<BackupTargets>,
    /// The metrics of this process.
    pub telemetry: Arc<Telemetry>,
    /// How fast this process works at each node.
    pub pacers: Arc<Pacers>,
    /// Who is active in the runs that this process works on.
    pub activities: Arc<ActivityCache>,
    /// Where scanners tell how far they are.
    pub notes: TaskNotes,
}

/// Time limits that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// See [`limits::ACK_WAIT`].
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
    /// See [`limits::NOTICE_PAUSE`].
    pub notification_retry_delay: Duration,
    /// How long records of runs are kept.
    pub retention: Duration,
    /// How long a batch without a receipt is waited for once its grace is over: its message must be lost then.
    pub batch_lost_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ack_wait: limits::ACK_WAIT,
            max_failures: limits::FAILURES_MAX,
            retry_delay: limits::RETRY_DELAY,
            retry_delay_max: limits::RETRY_DELAY_MAX,
            lease: limits::DRIVE_LEASE,
            primary_wait: limits::PRIMARY_WAIT,
            notification_retry_delay: limits::NOTICE_PAUSE,
            retention: Duration::MAX,
            batch_lost_after: limits::BATCH_LIFE + BATCH_SLACK,
        }
    }
}

impl Timing {
    /// The pause after the `failures`-th failure (from 1).
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let doubled = self.retry_delay.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.retry_delay_max)
    }
}

impl Context {
    /// Everything within this process.
    #[must_use]
    pub fn in_process(access: BTreeMap<Alias, ConnectOptions>, timing: Timing) -> Self {
        let queue =
            MemoryQueue::new(timing.ack_wait, limits::TASKS_QUEUE_BYTES_MAX, limits::BATCHES_QUEUE_BYTES_MAX);
        Self {
            queue: Arc::new(queue),
            store: Arc::new(MemoryStore::default()),
            history_store: Arc::new(MemoryStore::default()),
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
        }
    }

    /// With queue and store in NATS, shared with all who name the same prefix there.
    #[must_use]
    pub fn connect(nats: &Nats, access: BTreeMap<Alias, ConnectOptions>, timing: Timing) -> Self {
        let store: Arc<dyn Store> = Arc::new(NatsStore::new(nats.clone()));
        Self {
            queue: Arc::new(NatsQueue::new(nats.clone())),
            history_store: Arc::clone(&store),
            store,
            access: Arc::new(access),
            timing,
            failpoints: Arc::default(),
            distributed: true,
            max_inflight_tasks: nats.tasks_at_once_max(),
            integrations: Arc::default(),
            backups: Arc::new(BackupTargets::new([], Some(nats))),
            telemetry: Arc::default(),
            pacers: Arc::new(Pacers::new(true)),
            activities: Arc::default(),
            notes: TaskNotes::Nats(Box::new(nats.clone())),
        }
    }

    /// Tells subscribers, if there can be any. What cannot be told is no reason to stop a run.
    pub async fn emit_event(&self, event: &Event) {
        if self.distributed
            && let Err(e) = events::emit(&*self.store, event).await
        {
            tracing::warn!(error = %e, kind = event.kind.as_str(), "failed to tell an event");
        }
    }

    /// Posts a notice to one hook of its job, and counts it. Takes a minute at most.
    ///
    /// # Errors
    /// When the hook did not take it.
    pub async fn notify(&self, hook: &Webhook, notice: &AlertNotification) -> Result<(), WebError> {
        let posted = match self.integrations.client() {
            Ok(client) => webhook::post(client, hook, notice).await,
            Err(e) => Err(e),
        };
        self.telemetry.posted(&notice.alert.job, hook, posted.is_ok());
        posted
    }

    /// The way to database `db` of a deployment, if this process knows it.
    #[must_use]
    pub fn access(&self, alias: &Alias, db: u32) -> Option<ConnectOptions> {
        self.access.get(alias).map(|access| ConnectOptions { db, ..access.clone() })
    }

    /// The records of `run`.
    #[must_use]
    pub fn records(&self, run: RunId) -> Records {
        Records::new(Arc::clone(&self.store), run)
    }
}
