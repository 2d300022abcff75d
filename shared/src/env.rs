//! What a stage needs of the outside world: queue, store, the way to Redis, and time limits. Built once per
//! process; the only place where the modes differ.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::activity::Activities;
use crate::alerts::Notice;
use crate::backup::Places;
use crate::cluster::Access;
use crate::crash::CrashPlan;
use crate::events::{self, Event};
use crate::ids::{Alias, RunId};
use crate::limits;
use crate::nats::{Nats, NatsQueue, NatsStore};
use crate::pace::Pacers;
use crate::queue::{MemoryQueue, Queue};
use crate::records::Records;
use crate::store::{MemoryStore, Store};
use crate::task_notes::TaskNotes;
use crate::telemetry::Telemetry;
use crate::web::{Hook, Outside, WebError, webhook};

/// How long after its life a batch without a receipt is waited for.
const BATCH_SLACK: Duration = Duration::from_secs(60);

/// The surroundings of a stage. Clones share everything.
#[derive(Clone)]
pub struct Env {
    /// The work queues.
    pub queue: Arc<dyn Queue>,
    /// The records.
    pub store: Arc<dyn Store>,
    /// What outlives a run: the history of runs, samples of the cache, alerts. Over NATS it is the same store.
    pub past: Arc<dyn Store>,
    /// How to reach each deployment. Never in a message.
    pub access: Arc<BTreeMap<Alias, Access>>,
    /// Time limits and retry rules.
    pub timing: Timing,
    /// Where a test cuts workers off.
    pub crash: Arc<CrashPlan>,
    /// Whether others read what is kept beside the records: events, history and audit trail. Within one process
    /// nobody does.
    pub kept: bool,
    /// Scan tasks that may be handed out at a time. Their batches have to fit the queue together, because none
    /// of them counts before its task's report is stored, which happens when all are in the queue: scanners
    /// that wait for room would wait for each other.
    pub tasks_at_once_max: usize,
    /// Whom jobs tell about alerts and ask for counters, over HTTP. Empty until it is set.
    pub outside: Arc<Outside>,
    /// Where this process saves what it deletes, by job. Empty until it is set.
    pub backups: Arc<Places>,
    /// The metrics of this process.
    pub telemetry: Arc<Telemetry>,
    /// How fast this process works at each node.
    pub pacers: Arc<Pacers>,
    /// Who is active in the runs that this process works on.
    pub activities: Arc<Activities>,
    /// Where scanners tell how far they are.
    pub notes: TaskNotes,
}

/// Time limits that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// See [`limits::ACK_WAIT`].
    pub ack_wait: Duration,
    /// See [`limits::FAILURES_MAX`].
    pub failures_max: u32,
    /// See [`limits::RETRY_DELAY`].
    pub retry_delay: Duration,
    /// See [`limits::RETRY_DELAY_MAX`].
    pub retry_delay_max: Duration,
    /// See [`limits::DRIVE_LEASE`].
    pub lease: Duration,
    /// See [`limits::PRIMARY_WAIT`].
    pub primary_wait: Duration,
    /// See [`limits::NOTICE_PAUSE`].
    pub notice_pause: Duration,
    /// How long records of runs are kept.
    pub keep: Duration,
    /// How long a batch without a receipt is waited for once its grace is over: its message must be lost then.
    pub batch_lost: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ack_wait: limits::ACK_WAIT,
            failures_max: limits::FAILURES_MAX,
            retry_delay: limits::RETRY_DELAY,
            retry_delay_max: limits::RETRY_DELAY_MAX,
            lease: limits::DRIVE_LEASE,
            primary_wait: limits::PRIMARY_WAIT,
            notice_pause: limits::NOTICE_PAUSE,
            keep: Duration::MAX,
            batch_lost: limits::BATCH_LIFE + BATCH_SLACK,
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

impl Env {
    /// Everything within this process.
    #[must_use]
    pub fn in_process(access: BTreeMap<Alias, Access>, timing: Timing) -> Self {
        let queue =
            MemoryQueue::new(timing.ack_wait, limits::TASKS_QUEUE_BYTES_MAX, limits::BATCHES_QUEUE_BYTES_MAX);
        Self {
            queue: Arc::new(queue),
            store: Arc::new(MemoryStore::default()),
            past: Arc::new(MemoryStore::default()),
            access: Arc::new(access),
            timing,
            crash: Arc::default(),
            kept: false,
            tasks_at_once_max: usize::MAX,
            outside: Arc::default(),
            backups: Arc::default(),
            telemetry: Arc::default(),
            pacers: Arc::new(Pacers::new(false)),
            activities: Arc::default(),
            notes: TaskNotes::default(),
        }
    }

    /// With queue and store in NATS, shared with all who name the same prefix there.
    #[must_use]
    pub fn connect(nats: &Nats, access: BTreeMap<Alias, Access>, timing: Timing) -> Self {
        let store: Arc<dyn Store> = Arc::new(NatsStore::new(nats.clone()));
        Self {
            queue: Arc::new(NatsQueue::new(nats.clone())),
            past: Arc::clone(&store),
            store,
            access: Arc::new(access),
            timing,
            crash: Arc::default(),
            kept: true,
            tasks_at_once_max: nats.tasks_at_once_max(),
            outside: Arc::default(),
            backups: Arc::new(Places::new([], Some(nats))),
            telemetry: Arc::default(),
            pacers: Arc::new(Pacers::new(true)),
            activities: Arc::default(),
            notes: TaskNotes::Nats(Box::new(nats.clone())),
        }
    }

    /// Tells subscribers, if there can be any. What cannot be told is no reason to stop a run.
    pub async fn tell(&self, event: &Event) {
        if self.kept
            && let Err(e) = events::tell(&*self.store, event).await
        {
            tracing::warn!(error = %e, kind = event.kind.word(), "failed to tell an event");
        }
    }

    /// Posts a notice to one hook of its job, and counts it. Takes a minute at most.
    ///
    /// # Errors
    /// When the hook did not take it.
    pub async fn post(&self, hook: &Hook, notice: &Notice) -> Result<(), WebError> {
        let posted = match self.outside.client() {
            Ok(client) => webhook::post(client, hook, notice).await,
            Err(e) => Err(e),
        };
        self.telemetry.posted(&notice.alert.job, hook, posted.is_ok());
        posted
    }

    /// The way to database `db` of a deployment, if this process knows it.
    #[must_use]
    pub fn access(&self, alias: &Alias, db: u32) -> Option<Access> {
        self.access.get(alias).map(|access| Access { db, ..access.clone() })
    }

    /// The records of `run`.
    #[must_use]
    pub fn records(&self, run: RunId) -> Records {
        Records::new(Arc::clone(&self.store), run)
    }
}
