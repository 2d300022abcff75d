//! A scan task in progress: windows of its scope are listed, looked up and counted, until the end or until the task holds
//! enough candidates.

use keysweep_model::limits::WINDOW_BYTES_MAX;
use keysweep_model::messages::{ReapBatch, RunSpec, ScanTask, TaskReport, Verify};
use keysweep_pacing::Pacer;
use keysweep_redis::limits::FIELDS_KEYS_AT_ONCE;
use keysweep_redis::{Conn, RedisError, ScanConnection, WindowReply};
use keysweep_runtime::context::Context;
use keysweep_runtime::heartbeat::Heartbeat;
use keysweep_storage::audit::KeptEntry;
use keysweep_storage::queue::Delivery;
use keysweep_storage::records::Records;
use keysweep_storage::task_notes::{TaskNote, TaskNotes};
use keysweep_telemetry::{RequestKind, Telemetry};
use tokio::time::Instant;

use crate::batching::BatchShape;
use crate::classify::Classifier;
use crate::limits::{LANE_KEYS_MAX, TASK_NOTE_EVERY};
use crate::memory_sampling::{keys_per_write, measure_some};
use crate::tally::{Settlement, Tally};
use crate::validate::{OwnershipSnapshot, ValidatedScan};
use crate::walk::{ListedWindow, PageOutcome, Walk, WalkProgress};
use crate::{batching, fields};

/// What the steps of one scan task share.
pub(crate) struct TaskContext<'a> {
    pub(crate) task: &'a ScanTask,
    pub(crate) spec: &'a RunSpec,
    pub(crate) records: &'a Records,
    pub(crate) delivery: &'a Delivery,
    pub(crate) telemetry: &'a Telemetry,
    pub(crate) notes: &'a TaskNotes,
    pub(crate) pacer: &'a Pacer,
    /// When the task hands back its unread keys; `None` if nothing limits its duration.
    pub(crate) until: Option<Instant>,
    /// Whether the node has hashes whose fields may expire.
    pub(crate) fields: bool,
}

/// The result of a task whose scope was read.
pub(crate) struct Scanned {
    pub(crate) report: TaskReport,
    pub(crate) batches: Vec<ReapBatch>,
    pub(crate) kept: KeptEntry,
}

/// The state of a scan task in progress.
pub(crate) struct TaskScan {
    pub(crate) tally: Tally,
    approximate: bool,
    /// Whether a position cannot be listed.
    pub(crate) unreadable: bool,
    pub(crate) heartbeat: Heartbeat,
    /// When the task's progress was last published.
    noted: Instant,
}

impl TaskScan {
    /// Starts a task.
    pub(crate) fn new(tally: Tally, context: &Context) -> Self {
        Self {
            tally,
            approximate: false,
            unreadable: false,
            heartbeat: Heartbeat::new(context),
            noted: Instant::now(),
        }
    }

    /// Walks until the end, or until the task holds enough candidates. Returns `false` if the run was cancelled.
    pub(crate) async fn scan_windows(
        &mut self,
        walk: &mut Walk,
        conn: &Conn,
        lister: &mut ScanConnection,
        selector: &Classifier<'_>,
        work: &TaskContext<'_>,
    ) -> Result<bool, RedisError> {
        // The keys of `last` are looked up in the next write.
        let (mut last, mut next) = (ListedWindow::default(), ListedWindow::default());
        loop {
            let listings = match self.lists_more(&last, walk, work) {
                true => walk.next_listings(work.pacer.window_keys()),
                false => Vec::new(),
            };
            let done = listings.is_empty() && last.keys.is_empty();
            let at_once = keys_per_write(work.pacer.window_keys());
            if !self.measure(if done { 1 } else { at_once }, at_once, conn, work).await? {
                return Ok(false);
            }
            if done {
                return Ok(true);
            }
            let Some(permit) = self.heartbeat.acquire(work.pacer, work.records, work.delivery).await else {
                return Ok(false);
            };
            let sent = Instant::now();
            let look_up = last.keys().map(|(_, key)| key);
            lister.window(&listings, look_up, selector.lookup_kind(), &mut next.answers).await?;
            permit.done(next.answers.listed() as u64);
            work.telemetry.request(&work.spec.alias, RequestKind::Window, sent.elapsed());
            self.tally.lookups += next.answers.lookups();
            let looked_up = match selector.rule_set {
                None => self.look_up(&last, &mut next.answers, conn, selector, work).await?,
                Some(_) => self.look_up_by_rule(&last, &mut next.answers, conn, selector, work).await?,
            };
            if !looked_up {
                return Ok(false);
            }
            next.keys.clear();
            if !listings.is_empty() {
                match walk.process(&mut next) {
                    PageOutcome::Restart => {
                        self.approximate = true;
                        self.tally.restart();
                    }
                    PageOutcome::Unreadable => {
                        self.unreadable = true;
                        return Ok(true);
                    }
                    PageOutcome::Keys => self.tally.listed(&mut next, walk.may_repeat(), selector),
                }
            }
            std::mem::swap(&mut last, &mut next);
            self.note(work);
            if !self.heartbeat.tick(work.records, work.delivery).await {
                return Ok(false);
            }
        }
    }

    /// Whether more keys are listed while those of `last` are looked up.
    fn lists_more(&self, last: &ListedWindow, walk: &Walk, work: &TaskContext<'_>) -> bool {
        // All pending keys may become candidates.
        let pending: usize = last.keys.iter().map(|listed| listed.place.length()).sum();
        let is_full = self.tally.candidate_bytes + pending >= walk.candidate_bytes_max()
            || self.tally.remembered() >= LANE_KEYS_MAX
            || work.until.is_some_and(|until| Instant::now() >= until);
        // A page that exceeds a window, such as a bucket of the longest names, is looked up alone: with another one
        // beside it, this process might hold more bytes of replies than it may.
        !is_full && pending <= WINDOW_BYTES_MAX
    }

    /// Measures `at_once` of the keys that wait for it, as long as they are `enough`. Returns `false` if the run was
    /// cancelled.
    async fn measure(
        &mut self,
        enough: usize,
        at_once: usize,
        conn: &Conn,
        work: &TaskContext<'_>,
    ) -> Result<bool, RedisError> {
        while self.tally.statistics.are_enough(enough) {
            let permit = self.heartbeat.acquire(work.pacer, work.records, work.delivery).await;
            let Some(_permit) = permit else { return Ok(false) };
            self.tally.lookups += measure_some(&mut self.tally.statistics, at_once, conn).await?;
        }
        while let Some(scan) = self.tally.namespaces.as_mut().filter(|scan| scan.are_enough(enough)) {
            let permit = self.heartbeat.acquire(work.pacer, work.records, work.delivery).await;
            let Some(_permit) = permit else { return Ok(false) };
            self.tally.lookups += scan.measure_some(at_once, conn).await?;
        }
        Ok(true)
    }

    /// Counts the keys of `last` by their lookups in `answers`. Returns `false` if the run was cancelled.
    async fn look_up(
        &mut self,
        last: &ListedWindow,
        answers: &mut WindowReply,
        conn: &Conn,
        selector: &Classifier<'_>,
        work: &TaskContext<'_>,
    ) -> Result<bool, RedisError> {
        if work.fields
            && !self.query_fields(&fields::persistent(last, answers, selector), answers, conn, work).await?
        {
            return Ok(false);
        }
        self.tally.looked_up(last, answers.seen(), selector);
        Ok(true)
    }

    /// Distinguishes hashes whose fields expire from stale keys among `keys`, each with its index, and corrects `answers`.
    /// Returns `false` if the run was cancelled.
    pub(crate) async fn query_fields(
        &mut self,
        keys: &[(usize, &[u8])],
        answers: &mut WindowReply,
        conn: &Conn,
        work: &TaskContext<'_>,
    ) -> Result<bool, RedisError> {
        for keys in keys.chunks(FIELDS_KEYS_AT_ONCE) {
            let permit = self.heartbeat.acquire(work.pacer, work.records, work.delivery).await;
            let Some(_permit) = permit else { return Ok(false) };
            self.tally.lookups += fields::classify_hashes(conn, keys, answers).await?;
        }
        Ok(true)
    }

    /// Publishes the progress of the task at intervals.
    fn note(&mut self, work: &TaskContext<'_>) {
        if self.noted.elapsed() >= TASK_NOTE_EVERY {
            self.noted = Instant::now();
            let (run, task, read) = (work.task.run, work.task.task, self.tally.so_far());
            work.notes.publish(TaskNote { run, task, read });
        }
    }

    pub(crate) fn report(
        self,
        task: &ScanTask,
        spec: &RunSpec,
        reached: &WalkProgress,
        before: &OwnershipSnapshot,
        after: &OwnershipSnapshot,
        now_ms: u64,
    ) -> Scanned {
        let lookups = self.tally.lookups;
        let settled = ValidatedScan::of(&task.scope, reached, before, after, &self.tally.moved);
        let Settlement {
            counts,
            long_keys,
            candidates,
            statistics,
            kept,
            unnamed,
            namespaces,
            rules,
            rule_examples,
        } = self.tally.finish(|slot| settled.keep.as_ref().is_none_or(|keep| keep.contains(slot)));
        let batches = batching::batches(task, candidates, BatchShape::of(spec), now_ms);
        let report = TaskReport {
            covered: settled.covered,
            remainder: settled.rest,
            counts,
            long_keys,
            lookups,
            approximate: self.approximate || settled.approximate,
            statistics: Box::new(statistics),
            verified: spec.rules.verify == Verify::Value,
            namespaces,
            rules,
            rule_examples,
            ..TaskReport::blank(task)
        };
        let kept =
            KeptEntry { task: task.task, node: task.node.clone(), at_ms: now_ms, groups: kept, unnamed };
        Scanned { report, batches, kept }
    }
}
