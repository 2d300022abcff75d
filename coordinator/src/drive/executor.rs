//! Carries out the effects of the state machine in order, and applies their replies. Decides nothing.

use std::collections::VecDeque;

use keysweep_model::messages::{RunSpec, ScanTask};
use keysweep_model::result::CleanupResult;
use keysweep_model::time::now_ms;
use keysweep_model::trace::TraceParent;
use keysweep_model::wire;
use keysweep_runtime::context::Context;
use keysweep_storage::queue::Topic;
use keysweep_storage::records::Records;
use tokio::time::Instant;

use super::DriveError;
use super::detail::RunDetail;
use super::effect::{Effect, Notice, RunEvent};
use super::input::Input;
use super::node_queries::NodeQueries;
use super::progress::Progress;
use super::run_state::RunState;
use crate::run_events;

/// A state machine with its connections.
pub(super) struct Executor<'a> {
    state: RunState,
    context: &'a Context,
    spec: RunSpec,
    records: Records,
    /// This process, for people.
    process_id: &'a str,
    nodes: NodeQueries,
    /// The machine's time counts from here.
    started: Instant,
}

/// What an effect leads to.
enum Outcome {
    Done,
    Reply(Input),
    Finished(Box<CleanupResult>),
}

impl<'a> Executor<'a> {
    pub(super) fn new(context: &'a Context, state: RunState, process_id: &'a str) -> Self {
        let spec = state.spec.clone();
        let nodes = NodeQueries::new(context, &spec);
        let records = context.records(spec.run);
        Self { state, context, spec, records, process_id, nodes, started: Instant::now() }
    }

    /// When the next tick is due.
    pub(super) fn next_tick(&self) -> Instant {
        self.started + self.state.next_tick(self.started.elapsed())
    }

    /// The progress of the run, of which `keys` keys were planned.
    pub(super) fn progress(&self, keys: u64) -> Progress {
        self.state.progress(keys)
    }

    /// The run in detail.
    pub(super) fn detail(&self) -> RunDetail {
        self.state.detail(&self.context.pacers.of_run(self.spec.run))
    }

    /// Applies an input and carries out its effects, with those of their replies. Returns the result if the run has
    /// ended.
    ///
    /// # Errors
    /// When the records fail, or another process is the leader.
    pub(super) async fn step(&mut self, input: Input) -> Result<Option<Box<CleanupResult>>, DriveError> {
        let mut effects = VecDeque::from(self.state.apply(self.started.elapsed(), input));
        while let Some(effect) = effects.pop_front() {
            match self.carry_out(effect).await? {
                Outcome::Done => {}
                // At the end, so that the entries of the run log are appended in the order of their numbers.
                Outcome::Reply(reply) => effects.extend(self.state.apply(self.started.elapsed(), reply)),
                Outcome::Finished(result) => return Ok(Some(result)),
            }
        }
        Ok(None)
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<Outcome, DriveError> {
        let reply = match effect {
            Effect::Append { n, decision } => {
                (!self.records.append(n, &decision).await?).then_some(Input::AppendRefused)
            }
            Effect::Publish { task, id } => Some(self.publish(task, &id).await?),
            Effect::CreateReport(report) => {
                self.records.create_report(&report).await?;
                None
            }
            Effect::CreateReceipt(receipt) => {
                let created = self.records.create_receipt(&receipt).await?;
                created.then_some(Input::ReceiptCreated(receipt))
            }
            Effect::CreateGrant(grant) => {
                self.records.create_grant(&grant).await?;
                None
            }
            Effect::CreateCancel(cancel) => {
                self.records.create_cancel(&cancel).await?;
                None
            }
            Effect::EndBatch(batch) => {
                let outcome = self.records.end_untried(batch.batch).await?;
                Some(Input::BatchEnded { batch, outcome })
            }
            Effect::QueryNodes(request) => {
                let answers = self.nodes.query(&request).await;
                Some(Input::NodesQueried { request, answers })
            }
            Effect::QueryHistories(histories) => {
                Some(Input::HistoriesQueried(self.nodes.query_histories(histories).await))
            }
            Effect::StoreProgress(read) => {
                if let Err(e) = self.records.write_so_far(&read).await {
                    tracing::warn!(error = %e, "failed to store the progress of a run");
                }
                None
            }
            Effect::Emit(event) => {
                self.emit(event).await;
                None
            }
            Effect::Log(notice) => {
                self.log(&notice);
                None
            }
            Effect::Finish(result) => return Ok(Outcome::Finished(result)),
            Effect::Yield => return Err(DriveError::Fenced(self.spec.run)),
        };
        Ok(reply.map_or(Outcome::Done, Outcome::Reply))
    }

    async fn publish(&self, task: Box<ScanTask>, id: &str) -> Result<Input, DriveError> {
        let trace = self.context.telemetry.is_traced().then(|| TraceParent::of_run(task.run));
        let published = self.context.queue.publish(Topic::Tasks, id, wire::encode(&task)?, trace).await;
        if let Err(e) = &published {
            tracing::debug!(error = %e, "failed to publish a scan task, will try again");
        }
        Ok(Input::Published { task, accepted: published.is_ok() })
    }

    async fn emit(&self, event: RunEvent) {
        let event = match event {
            RunEvent::Started => run_events::started(&self.spec, self.process_id, now_ms()),
            RunEvent::TakenOver { epoch } => {
                run_events::taken_over(&self.spec, epoch, self.process_id, now_ms())
            }
            RunEvent::Progress(progress) => run_events::progress(&self.spec, &progress, now_ms()),
        };
        self.context.emit_event(&event).await;
    }

    fn log(&self, notice: &Notice) {
        let run = self.spec.run;
        match notice {
            Notice::TakenOver { epoch } => tracing::info!(%run, epoch, "took a run over"),
            Notice::Stopping { cause } => tracing::warn!(%run, cause, "stopping"),
            Notice::ReportRefused { task, cause } => tracing::warn!(%run, %task, "{cause}"),
            Notice::DeletionsLost { replaced, unconfirmed } => {
                tracing::warn!(%run, replaced, unconfirmed, "slots are scanned again: their deletions may be lost");
            }
        }
    }
}
