//! The scanner's loop: one scan task from the first look at its node to the stored report. A task leaves
//! nothing half-done behind: what it published does not count until its report is stored, and only the first
//! report of a task is.

use std::time::Duration;

use shared::audit::KeptEntry;
use shared::cluster::node;
use shared::cluster::{Answers, Conn, Fault, FaultKind, Lister};
use shared::crash::CrashPoint;
use shared::deployments::Deployments;
use shared::env::Env;
use shared::ids::{Alias, BatchId, RunId};
use shared::limits::{
    FIELDS_KEYS_AT_ONCE, LANE_KEYS_MAX, PACED_TASK_ACK_WAITS, TASK_CANDIDATE_BYTES_MAX, TASK_NOTE_EVERY,
};
use shared::messages::{ListedBatch, ReapBatch, RunSpec, ScanTask, TaskReport, Verify};
use shared::pace::Pacer;
use shared::pulse::Pulse;
use shared::queue::{Delivery, QueueError, Topic};
use shared::records::Records;
use shared::specs::Specs;
use shared::task_notes::{TaskNote, TaskNotes};
use shared::telemetry::{Asked, Telemetry};
use shared::worker::{self, Disposition, Failure, Handler};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::select::Selector;
use crate::settle::{Look, Settled, handed_back, unreadable};
use crate::skip::skip;
use crate::source::Source;
use crate::statistics::Statistics;
use crate::tally::{Settlement, Tally};
use crate::walk::{Reached, Taken, Walk, Window};
use crate::weighing::{at_once, weigh_some};
use crate::{batching, fields, fingerprints, kept};

/// A scanner: as many of them as wanted may work side by side.
pub struct Scanner {
    env: Env,
    deployments: Deployments,
    specs: Specs,
    shutdown: CancellationToken,
}

impl Scanner {
    /// A scanner in `env`.
    #[must_use]
    pub fn new(env: Env, shutdown: CancellationToken) -> Self {
        let deployments = Deployments::new(&env);
        Self { specs: Specs::new(&env), deployments, env, shutdown }
    }

    /// Works on scan tasks, `at_once` at a time, until told to shut down.
    ///
    /// # Errors
    /// When the queue fails for good.
    pub async fn run(&self, at_once: usize) -> Result<(), QueueError> {
        tokio::select! {
            ended = worker::run(&self.env, self, at_once, self.shutdown.clone()) => ended,
            () = self.env.activities.sweep(&self.env) => Ok(()),
        }
    }

    async fn scan(&self, task: &ScanTask, delivery: &Delivery) -> Result<Disposition, Failure> {
        let records = self.env.records(task.run);
        let Some(spec) = self.specs.get(task.run).await? else { return Ok(Disposition::Done) };
        if records.result().await?.is_some() {
            self.env.activities.forget(task.run).await;
            return Ok(Disposition::Done);
        }
        if records.report(task.task).await?.is_some() {
            return Ok(Disposition::Done);
        }
        let activity = self.env.activities.get(&records, &spec.rules).await?;
        let selector = Selector::new(&spec.rules, activity.as_deref());
        let scanned = self.read(task, &spec, &selector, (&records, delivery)).await;
        let (report, batches) = match scanned {
            Ok(Some(scanned)) => scanned,
            Ok(None) => {
                let lost = TaskReport::lost(task, "the run was cancelled", false);
                return self.store((&*spec, &records), lost, &[], delivery).await;
            }
            Err(fault) => {
                let fault = self.deployments.look_again(&task.alias, spec.db, &task.node, fault).await;
                if fault.kind != FaultKind::Moved {
                    return Err(fault.into());
                }
                (handed_back(task), Vec::new())
            }
        };
        self.store((&*spec, &records), report, &batches, delivery).await
    }

    /// Reads the scope of a task. `None` if the run was cancelled meanwhile.
    async fn read(
        &self,
        task: &ScanTask,
        spec: &RunSpec,
        selector: &Selector<'_>,
        (records, delivery): (&Records, &Delivery),
    ) -> Result<Option<(TaskReport, Vec<ReapBatch>)>, Fault> {
        let deployment = self.deployments.get(&task.alias, spec.db).await?;
        let conn = deployment.conn(&task.node).await?;
        let source = Source::choose(&deployment, &conn, task, spec).await?;
        let mut lister = source.lister(&task.scope);
        if task.skip {
            let report = skip(task, spec, selector, (&source, &mut lister)).await?;
            return Ok(Some((source.sign(report).await?, Vec::new())));
        }
        // A failover during the reading shows in the slots; this says which of the node's lives it was.
        let history = match task.round {
            0 => None,
            _ => Some(node::status(&conn, spec.db).await?.history),
        };
        let before = Look::take(&source, spec, &task.scope).await?;
        if let Some(report) = before.restarted(task) {
            return Ok(Some((report, Vec::new())));
        }
        let pacer = self.env.pacers.enter(spec, &deployment, source.node(), &self.env.telemetry).await;
        let mut walk = Walk::of(task, spec);
        let statistics = Statistics::new(
            task.keys,
            spec.measure.whole,
            spec.application.known_ttl_ms().unwrap_or_default(),
        );
        let mut reading = Reading {
            tally: Tally::new(statistics).naming(self.env.kept),
            approximate: false,
            unreadable: false,
            pulse: Pulse::new(&self.env),
            noted: Instant::now(),
        };
        // Going on for long would look as though the task were lost: what is not read by then is handed back.
        let until =
            (!pacer.is_free()).then(|| Instant::now() + self.env.timing.ack_wait * PACED_TASK_ACK_WAITS);
        let fields = node::field_ttls(source.conn(), spec.db).await?;
        let (telemetry, notes) = (&*self.env.telemetry, &self.env.notes);
        let work = Work { task, spec, records, delivery, telemetry, notes, pacer: &pacer, until, fields };
        if !reading.go_through(&mut walk, (source.conn(), &mut lister), selector, &work).await? {
            return Ok(None);
        }
        if reading.unreadable {
            let report = unreadable(task, reading.tally.lookups);
            return Ok(Some((source.sign(report).await?, Vec::new())));
        }
        reading.tally.hold_back(selector);
        let at = (&source, &deployment);
        let Some(verifying) = fingerprints::take(&self.env, at, &mut reading, &work).await? else {
            return Ok(None);
        };
        let after = Look::take(&source, spec, &task.scope).await?;
        if let Some(report) = after.restarted(task) {
            return Ok(Some((report, Vec::new())));
        }
        let now_ms = node::time_ms(&conn).await?;
        let Scanned { mut report, batches, kept } =
            reading.report(task, spec, &walk.reached(), &before, &after, now_ms);
        kept::enter(&*self.env.store, task.run, &kept).await;
        *report.pacing = pacer.tell();
        report.history = history;
        let mut report = source.sign(report).await?;
        report.lookups += verifying;
        Ok(Some((report, batches)))
    }

    /// Publishes the batches, and then the report, which lists them and so makes them count.
    async fn store(
        &self,
        (spec, records): (&RunSpec, &Records),
        mut report: TaskReport,
        batches: &[ReapBatch],
        delivery: &Delivery,
    ) -> Result<Disposition, Failure> {
        // A task whose batches wait for room stays ours, and its run may be stopped meanwhile.
        let mut pulse = Pulse::new(&self.env);
        for batch in batches {
            let payload = batch.encoded().map_err(|e| Failure::Message(e.to_string()))?;
            report.batches.push(ListedBatch::of(batch, spec.rules.action).sent_as(&payload));
            if !self.publish((batch.batch, payload), records, delivery, &mut pulse).await? {
                // Without its report, nothing of it counts.
                return Ok(Disposition::Later(Duration::ZERO));
            }
        }
        self.env.crash.pass(CrashPoint::BatchesPublished).await;
        let first = records.create_report(&report).await?;
        if first {
            self.env.telemetry.scanned(&spec.job, &spec.alias, &report.counts);
        }
        tracing::debug!(task = %report.task, first, scanned = report.counts.scanned, "scan task reported");
        self.env.crash.pass(CrashPoint::ReportStored).await;
        Ok(Disposition::Done)
    }

    /// Publishes a batch, waiting as long as the queue is full: that is how reapers slow scanners down. `false` if we
    /// are to shut down, or the run is to stop.
    async fn publish(
        &self,
        (batch, payload): (BatchId, Vec<u8>),
        records: &Records,
        delivery: &Delivery,
        pulse: &mut Pulse,
    ) -> Result<bool, Failure> {
        let (id, mut pause) = (batch.to_string(), Duration::from_millis(1));
        loop {
            match self.env.queue.publish(Topic::Batches, &id, payload.clone()).await {
                Err(QueueError::Full) => self.env.telemetry.waited(Topic::Batches),
                published => return Ok(published.map(|()| true)?),
            }
            if self.shutdown.is_cancelled() || !pulse.beat(records, delivery).await {
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

    async fn handle(&self, task: &ScanTask, delivery: &Delivery) -> Result<Disposition, Failure> {
        self.env.crash.pass(CrashPoint::TaskTaken).await;
        self.scan(task, delivery).await
    }

    async fn give_up(&self, task: &ScanTask, failure: &Failure) -> Result<(), Failure> {
        let node_failed = matches!(failure, Failure::Redis(_));
        self.env
            .records(task.run)
            .create_report(&TaskReport::lost(task, failure.to_string(), node_failed))
            .await?;
        Ok(())
    }
}

/// What a task at work has to do with.
pub(crate) struct Work<'a> {
    pub(crate) task: &'a ScanTask,
    pub(crate) spec: &'a RunSpec,
    pub(crate) records: &'a Records,
    pub(crate) delivery: &'a Delivery,
    pub(crate) telemetry: &'a Telemetry,
    notes: &'a TaskNotes,
    pub(crate) pacer: &'a Pacer,
    /// When the task hands back what it has not read; `None` if nothing holds it back.
    until: Option<Instant>,
    /// Whether the node has hashes whose fields may expire.
    fields: bool,
}

/// What a task that was read comes to.
struct Scanned {
    report: TaskReport,
    batches: Vec<ReapBatch>,
    kept: KeptEntry,
}

/// A task at work.
pub(crate) struct Reading {
    pub(crate) tally: Tally,
    approximate: bool,
    unreadable: bool,
    pub(crate) pulse: Pulse,
    /// When it told last how far it is.
    noted: Instant,
}

impl Reading {
    /// Walks until the end, or until enough candidates are held. `false`: the run was cancelled.
    async fn go_through(
        &mut self,
        walk: &mut Walk,
        (conn, lister): (&Conn, &mut Lister),
        selector: &Selector<'_>,
        work: &Work<'_>,
    ) -> Result<bool, Fault> {
        // The keys of the last one are about to be looked up.
        let (mut last, mut next) = (Window::default(), Window::default());
        loop {
            // They may all become candidates.
            let pending: usize = last.keys.iter().map(|listed| listed.place.length()).sum();
            let full = self.tally.candidate_bytes + pending >= TASK_CANDIDATE_BYTES_MAX;
            let full = full || self.tally.remembered() >= LANE_KEYS_MAX;
            let full = full || work.until.is_some_and(|until| Instant::now() >= until);
            let listings = if full { Vec::new() } else { walk.ask(work.pacer.window_keys()) };
            let done = listings.is_empty() && last.keys.is_empty();
            let at_once = at_once(work.pacer.window_keys());
            let enough = if done { 1 } else { at_once };
            while self.tally.statistics.are_enough(enough) {
                let turn = self.pulse.turn(work.pacer, work.records, work.delivery).await;
                let Some(_turn) = turn else { return Ok(false) };
                self.tally.lookups += weigh_some(&mut self.tally.statistics, at_once, conn).await?;
            }
            if done {
                return Ok(true);
            }
            let Some(turn) = self.pulse.turn(work.pacer, work.records, work.delivery).await else {
                return Ok(false);
            };
            let asked = Instant::now();
            let look_up = last.keys().map(|(_, key)| key);
            lister.window(&listings, look_up, selector.ask(), &mut next.answers).await?;
            turn.done(next.answers.listed() as u64);
            work.telemetry.asked(&work.spec.alias, Asked::Window, asked.elapsed());
            self.tally.lookups += next.answers.lookups();
            if work.fields && !self.ask_fields(&last, &mut next.answers, (conn, selector), work).await? {
                return Ok(false);
            }
            self.tally.looked_up(&last, next.answers.seen(), selector);
            next.keys.clear();
            if !listings.is_empty() {
                match walk.take(&mut next) {
                    Taken::Restart => {
                        self.approximate = true;
                        self.tally.restart();
                    }
                    Taken::Unreadable => {
                        self.unreadable = true;
                        return Ok(true);
                    }
                    Taken::Keys => self.tally.listed(&mut next, walk.may_repeat(), selector),
                }
            }
            std::mem::swap(&mut last, &mut next);
            self.note(work);
            if !self.pulse.beat(work.records, work.delivery).await {
                return Ok(false);
            }
        }
    }

    /// Tells hashes whose fields expire from stale keys in what `answers` has seen. `false`: the run was cancelled.
    async fn ask_fields(
        &mut self,
        last: &Window,
        answers: &mut Answers,
        (conn, selector): (&Conn, &Selector<'_>),
        work: &Work<'_>,
    ) -> Result<bool, Fault> {
        for keys in fields::lasting(last, answers, selector).chunks(FIELDS_KEYS_AT_ONCE) {
            let turn = self.pulse.turn(work.pacer, work.records, work.delivery).await;
            let Some(_turn) = turn else { return Ok(false) };
            self.tally.lookups += fields::settle(conn, keys, answers).await?;
        }
        Ok(true)
    }

    /// Tells now and then how far the task is.
    fn note(&mut self, work: &Work<'_>) {
        if self.noted.elapsed() >= TASK_NOTE_EVERY {
            self.noted = Instant::now();
            let (run, task, read) = (work.task.run, work.task.task, self.tally.so_far());
            work.notes.tell(TaskNote { run, task, read });
        }
    }

    fn report(
        self,
        task: &ScanTask,
        spec: &RunSpec,
        reached: &Reached,
        before: &Look,
        after: &Look,
        now_ms: u64,
    ) -> Scanned {
        let lookups = self.tally.lookups;
        let settled = Settled::of(&task.scope, reached, before, after, &self.tally.moved);
        let Settlement { counts, long_keys, candidates, statistics, kept, unnamed } =
            self.tally.settle(|slot| settled.keep.as_ref().is_none_or(|keep| keep.contains(slot)));
        let group_keys_max = spec.rules.delete_batch_keys as usize;
        let batches = batching::batches(task, candidates, group_keys_max, spec.rules.grace_ms, now_ms);
        let report = TaskReport {
            covered: settled.covered,
            rest: settled.rest,
            counts,
            long_keys,
            lookups,
            approximate: self.approximate || settled.approximate,
            statistics: Box::new(statistics),
            verified: spec.rules.verify == Verify::Value,
            ..TaskReport::blank(task)
        };
        let kept =
            KeptEntry { task: task.task, node: task.node.clone(), at_ms: now_ms, groups: kept, unnamed };
        Scanned { report, batches, kept }
    }
}
