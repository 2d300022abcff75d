//! The scanner's loop: one scan task, from the first request to its node to the stored report. A task that fails
//! halfway leaves nothing behind: its published batches count only once its report is stored, and only the first report
//! of a task is stored.

use std::time::Duration;

use keysweep_model::ids::{Alias, BatchId, RunId};
use keysweep_model::messages::{Action, ListedBatch, ReapBatch, RunSpec, ScanTask, TaskReport};
use keysweep_redis::{RedisError, RedisErrorKind, node};
use keysweep_runtime::context::Context;
use keysweep_runtime::failpoint::FailPoint;
use keysweep_runtime::heartbeat::Heartbeat;
use keysweep_runtime::redis_clients::RedisClients;
use keysweep_runtime::spec_cache::SpecCache;
use keysweep_runtime::worker::{self, Disposition, Failure, Handler};
use keysweep_storage::queue::{Delivery, QueueError, Topic};
use keysweep_storage::records::Records;
use keysweep_telemetry::spans::{self, Attribute, AttributeValue, Traced};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::classify::Classifier;
use crate::clean_node::skip;
use crate::limits::PACED_TASK_ACK_WAITS;
use crate::namespaces::NamespaceScan;
use crate::source::ReadSourceConn;
use crate::statistics::Statistics;
use crate::tally::Tally;
use crate::task_scan::{Scanned, TaskContext, TaskScan};
use crate::validate::{OwnershipSnapshot, handed_back, replication_id, unreadable};
use crate::walk::Walk;
use crate::{batching, fingerprints, kept_keys};

/// The handler of scan tasks. Several scanners may run in parallel.
pub struct Scanner {
    context: Context,
    clients: RedisClients,
    specs: SpecCache,
    shutdown: CancellationToken,
}

impl Scanner {
    /// Creates a scanner that stops at `shutdown`.
    #[must_use]
    pub fn new(context: Context, shutdown: CancellationToken) -> Self {
        let clients = RedisClients::new(&context);
        Self { specs: SpecCache::new(&context), clients, context, shutdown }
    }

    /// Processes scan tasks, up to `at_once` concurrently, until `shutdown` is cancelled.
    ///
    /// # Errors
    /// When the queue fails permanently.
    pub async fn run(&self, at_once: usize) -> Result<(), QueueError> {
        tokio::select! {
            ended = worker::run(&self.context, self, at_once, self.shutdown.clone()) => ended,
            () = self.context.activities.sweep(&self.context) => Ok(()),
        }
    }

    async fn scan(&self, task: &ScanTask, delivery: &Delivery) -> Result<Disposition, Failure> {
        let records = self.context.records(task.run);
        let Some(spec) = self.specs.get(task.run).await? else { return Ok(Disposition::Done) };
        if records.result().await?.is_some() {
            self.context.activities.forget(task.run).await;
            return Ok(Disposition::Done);
        }
        if records.report(task.task).await?.is_some() {
            return Ok(Disposition::Done);
        }
        let activity = self.context.activities.get(&records, &spec.rules).await?;
        let rules = self.specs.rules(&spec)?;
        let selector = Classifier::new(&spec.rules, activity.as_deref()).with_rules(rules.as_deref());
        let scanned = self.read(task, &spec, &selector, &records, delivery).await;
        let (report, batches) = match scanned {
            Ok(Some(scanned)) => scanned,
            Ok(None) => {
                let lost = TaskReport::lost(task, "the run was cancelled", false);
                return self.store(&spec, &records, lost, Vec::new(), delivery).await;
            }
            Err(fault) => {
                let fault = self.clients.refresh_and_classify(&task.alias, spec.db, &task.node, fault).await;
                if fault.kind != RedisErrorKind::Moved {
                    return Err(fault.into());
                }
                (handed_back(task), Vec::new())
            }
        };
        let batches = batches.iter().map(|batch| (batch, selector.action(batch.rule)));
        self.store(&spec, &records, report, batches.collect(), delivery).await
    }

    /// Reads the scope of a task. Returns `None` if the run was cancelled meanwhile.
    async fn read(
        &self,
        task: &ScanTask,
        spec: &RunSpec,
        selector: &Classifier<'_>,
        records: &Records,
        delivery: &Delivery,
    ) -> Result<Option<(TaskReport, Vec<ReapBatch>)>, RedisError> {
        let client = self.clients.get(&task.alias, spec.db).await?;
        let conn = client.conn(&task.node).await?;
        let source = ReadSourceConn::choose(&client, &conn, task, spec, selector).await?;
        let mut lister = source.lister(&task.scope);
        if task.skip {
            let report = skip(task, spec, selector, &source, &mut lister).await?;
            return Ok(Some((source.verify_unchanged(report).await?, Vec::new())));
        }
        let history = replication_id(&conn, task, spec).await?;
        let before = OwnershipSnapshot::take(&source, spec, &task.scope).await?;
        if let Some(report) = before.restarted(task) {
            return Ok(Some((report, Vec::new())));
        }
        let pacer = self.context.pacers.enter(spec, &client, source.node(), &self.context.telemetry).await;
        let mut walk = Walk::of(task, spec);
        let mut reading = TaskScan::new(tally(task, spec, self.context.is_kept()), &self.context);
        // A task that runs for too long looks lost: the keys not read by then are handed back.
        let until =
            (!pacer.is_free()).then(|| Instant::now() + self.context.timing.ack_wait * PACED_TASK_ACK_WAITS);
        let fields = node::field_ttls(source.conn(), spec.db).await?;
        let (telemetry, notes) = (&*self.context.telemetry, &self.context.notes);
        let work =
            TaskContext { task, spec, records, delivery, telemetry, notes, pacer: &pacer, until, fields };
        if !reading.scan_windows(&mut walk, source.conn(), &mut lister, selector, &work).await? {
            return Ok(None);
        }
        if reading.unreadable {
            let report = unreadable(task, reading.tally.lookups);
            return Ok(Some((source.verify_unchanged(report).await?, Vec::new())));
        }
        reading.tally.withhold_inactive(selector);
        let verifying =
            fingerprints::take(&self.context, &source, &client, &mut reading, selector, &work).await?;
        let Some(verifying) = verifying else { return Ok(None) };
        let after = OwnershipSnapshot::take(&source, spec, &task.scope).await?;
        if let Some(report) = after.restarted(task) {
            return Ok(Some((report, Vec::new())));
        }
        let now_ms = node::time_ms(&conn).await?;
        let Scanned { mut report, batches, kept } =
            reading.report(task, spec, &walk.reached(), &before, &after, now_ms);
        kept_keys::enter(&*self.context.history_store, task.run, &kept).await;
        *report.pacing = pacer.stats();
        report.replication_id = history;
        let mut report = source.verify_unchanged(report).await?;
        report.lookups += verifying;
        Ok(Some((report, batches)))
    }

    /// Publishes the batches, each with its action on stale keys, then stores the report. The report lists the batches;
    /// only listed batches count.
    async fn store(
        &self,
        spec: &RunSpec,
        records: &Records,
        mut report: TaskReport,
        batches: Vec<(&ReapBatch, Action)>,
        delivery: &Delivery,
    ) -> Result<Disposition, Failure> {
        // A task whose batches wait for queue space keeps its ack deadline extended; its run may be cancelled meanwhile.
        let mut heartbeat = Heartbeat::new(&self.context);
        for (batch, action) in batches {
            let payload = batch.encoded().map_err(|e| Failure::Message(e.to_string()))?;
            report.batches.push(ListedBatch::of(batch, action).sent_as(&payload));
            if !self.publish(batch.batch, payload, records, delivery, &mut heartbeat).await? {
                // Without the report, no published batch counts.
                return Ok(Disposition::Requeue(Duration::ZERO));
            }
        }
        self.context.failpoints.hit(FailPoint::BatchesPublished).await;
        let first = records.create_report(&report).await?;
        if first {
            self.context.telemetry.scanned(&spec.job, &spec.alias, &report.counts);
        }
        tracing::debug!(task = %report.task, first, scanned = report.counts.scanned, "scan task reported");
        self.context.failpoints.hit(FailPoint::ReportStored).await;
        Ok(Disposition::Done)
    }

    /// Publishes a batch and retries while the queue is full: this is the backpressure from reapers to scanners.
    /// Returns `false` if the process shuts down or the run is cancelled.
    async fn publish(
        &self,
        batch: BatchId,
        payload: Vec<u8>,
        records: &Records,
        delivery: &Delivery,
        heartbeat: &mut Heartbeat,
    ) -> Result<bool, Failure> {
        let (id, mut pause) = (batch.to_string(), Duration::from_millis(1));
        loop {
            match self.context.queue.publish(Topic::Batches, &id, payload.clone(), delivery.trace).await {
                Err(QueueError::Full) => self.context.telemetry.waited(Topic::Batches.as_str()),
                published => return Ok(published.map(|()| true)?),
            }
            if self.shutdown.is_cancelled() || !heartbeat.tick(records, delivery).await {
                return Ok(false);
            }
            sleep(pause).await;
            pause = (pause * 2).min(batching::FULL_PAUSE_MAX);
        }
    }
}

impl Handler for Scanner {
    type Message = ScanTask;

    const TOPIC: Topic = Topic::Tasks;

    fn identity(&self, task: &ScanTask) -> (RunId, String) {
        (task.run, format!("task/{}", task.task))
    }

    fn redis<'a>(&self, task: &'a ScanTask) -> &'a Alias {
        &task.alias
    }

    fn traced(&self, task: &ScanTask) -> (Traced, Vec<Attribute>) {
        let mut attributes = spans::at_node(&task.alias, &task.node, "scan");
        attributes.push(("keysweep.task.id", AttributeValue::Text(task.task.to_string())));
        attributes.push(("keysweep.task.expected_keys", AttributeValue::Number(task.keys)));
        (Traced::Task, attributes)
    }

    async fn handle(&self, task: &ScanTask, delivery: &Delivery) -> Result<Disposition, Failure> {
        self.context.failpoints.hit(FailPoint::TaskReceived).await;
        self.scan(task, delivery).await
    }

    async fn give_up(&self, task: &ScanTask, failure: &Failure) -> Result<(), Failure> {
        let node_failed = matches!(failure, Failure::Redis(_));
        self.context
            .records(task.run)
            .create_report(&TaskReport::lost(task, failure.to_string(), node_failed))
            .await?;
        Ok(())
    }
}

/// What a task counts; also the names of keys that qualify and stay, if the audit trail has a reader.
fn tally(task: &ScanTask, spec: &RunSpec, names: bool) -> Tally {
    let (whole, policy) = (spec.measure.whole, spec.rules.policy.as_ref());
    let configured_ttl_ms = spec.application.known_ttl_ms().unwrap_or_default();
    let mut tally = Tally::new(Statistics::new(task.keys, whole, configured_ttl_ms)).naming(names);
    if let Some(policy) = policy {
        tally = tally.with_examples(policy.examples);
    }
    if spec.namespaces {
        // Of keys that belong to no rule, only the names and TTLs matter.
        let scan = match policy {
            Some(policy) if policy.has_rest => NamespaceScan::unmeasured(),
            _ => NamespaceScan::new(task.keys, whole),
        };
        tally = tally.by_namespace(scan);
    }
    tally
}
