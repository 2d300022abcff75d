//! Drives one run: hands out its tasks, plans again what came back, watches the guards, and sees it to its
//! result. Everything that it knows, it reads from the records, so another driver could go on.

use std::collections::BTreeMap;
use std::time::Duration;

use reporter::{Fold, Totals};
use shared::cluster::{Deployment, Fault};
use shared::env::Env;
use shared::ids::{NodeId, TaskId};
use shared::limits::REPLANS_MAX;
use shared::messages::{Action, Cancel, CancelKind, Loss, Rest, RestReason, ScanTask, TaskReport};
use shared::queue::{QueueError, Topic, publish_patiently};
use shared::range::{Scope, SlotListing};
use shared::records::{Record, RecordError, Records};
use shared::result::CleanupResult;
use shared::slot::SlotSet;
use shared::wire::{self, WireError};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::plan::Planner;
use crate::state::{RunEvent, RunState, next};
use crate::survey::{Survey, replan};

/// Why a run could not be driven to its end.
#[derive(Debug, Error)]
pub enum DriveError {
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A message failed.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// How far a run is, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its state.
    pub state: RunState,
    /// Keys that the plan expects to list.
    pub keys: u64,
    /// The sums so far.
    pub totals: Totals,
}

impl Progress {
    /// Before the first task.
    #[must_use]
    pub fn start(keys: u64) -> Self {
        Self { state: RunState::Planned, keys, totals: Totals::default() }
    }
}

/// What stops a run by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guards {
    /// Keys that may be deleted.
    pub deletions_max: Option<u64>,
    /// The time that it may take.
    pub runtime_max: Option<Duration>,
}

/// How long a run that can do nothing else looks again.
const TICK: Duration = Duration::from_millis(50);

/// What the driver waits for.
enum Event {
    Record(Box<Record>),
    Tick,
}

/// Stores the run of `survey` and drives it to its result.
///
/// # Errors
/// When records or queue fail for good.
pub async fn drive(
    env: &Env,
    survey: &Survey,
    guards: Guards,
    progress: watch::Sender<Progress>,
) -> Result<CleanupResult, DriveError> {
    let records = env.records(survey.spec.run);
    records.create_spec(&survey.spec).await?;
    records.create_tasks(None, &survey.tasks).await?;
    let mut driver = Driver {
        env,
        survey,
        guards,
        deployment: None,
        dispatch: Dispatch::default(),
        handed_on: BTreeMap::new(),
        fold: Fold::default(),
        state: RunState::Planned,
        started: Instant::now(),
        records: records.clone(),
    };
    let mut watch = records.watch().await?;
    loop {
        driver.check_runtime().await?;
        driver.release().await?;
        let event = tokio::select! {
            record = watch.next() => Event::Record(Box::new(record?)),
            () = sleep(TICK) => Event::Tick,
        };
        match event {
            Event::Record(record) => {
                if let Record::Result(result) = *record {
                    driver.advance(RunEvent::Result(result.status));
                    return Ok(*result);
                }
                driver.handle(&record).await?;
            }
            Event::Tick => {}
        }
        progress.send_modify(|progress| {
            progress.state = driver.state;
            progress.totals = driver.fold.totals();
        });
    }
}

struct Driver<'a> {
    env: &'a Env,
    survey: &'a Survey,
    guards: Guards,
    /// Connected when something has to be planned again.
    deployment: Option<Deployment>,
    dispatch: Dispatch,
    /// Slots of passes that have been planned again.
    handed_on: BTreeMap<TaskId, SlotSet>,
    fold: Fold,
    state: RunState,
    started: Instant,
    records: Records,
}

impl Driver<'_> {
    async fn handle(&mut self, record: &Record) -> Result<(), DriveError> {
        self.fold.apply(record);
        match record {
            Record::Tasks { list, .. } => self.take_in(&list.tasks).await?,
            Record::Report(report) => self.reported(report).await?,
            Record::Cancel(cancel) => {
                tracing::warn!(cause = cancel.cause, "stopping");
                let withdrawn = self.dispatch.withdraw(None);
                self.seal(
                    &withdrawn,
                    &Loss { cause: "the run was cancelled".to_owned(), node_failed: false },
                )
                .await?;
            }
            Record::Receipt(_) | Record::Spec(_) | Record::Lookups { .. } | Record::Result(_) => {}
        }
        self.check_deletions().await?;
        if self.state == RunState::Scanning && self.fold.scanned() {
            self.advance(RunEvent::Scanned);
        }
        if self.state == RunState::Reaping && self.fold.complete() {
            self.advance(RunEvent::Reaped);
        }
        Ok(())
    }

    fn advance(&mut self, event: RunEvent) {
        match next(self.state, event) {
            Ok(state) => self.state = state,
            Err(e) => tracing::error!(error = %e, "a bug, please report it"),
        }
    }

    /// Lines up tasks of a list; those that were planned too often are given up instead.
    async fn take_in(&mut self, tasks: &[ScanTask]) -> Result<(), DriveError> {
        if self.state == RunState::Planned {
            self.advance(RunEvent::Released);
        }
        let stopped = self.fold.cancel().is_some();
        for task in tasks {
            let cause = if stopped {
                "the run was cancelled".to_owned()
            } else if task.replans > REPLANS_MAX {
                format!("its slots did not hold still, or nobody served them, {REPLANS_MAX} times")
            } else {
                let pause = self.env.timing.pause(task.replans);
                let pause = if task.replans == 0 { Duration::ZERO } else { pause };
                self.dispatch.add(task.clone(), self.started.elapsed() + pause);
                continue;
            };
            self.seal(std::slice::from_ref(task), &Loss { cause, node_failed: false }).await?;
        }
        Ok(())
    }

    async fn reported(&mut self, report: &TaskReport) -> Result<(), DriveError> {
        self.dispatch.reported(report.task);
        if let Some(loss) = report.lost.as_ref().filter(|loss| loss.node_failed) {
            let withdrawn = self.dispatch.withdraw(Some(&report.node));
            self.seal(&withdrawn, loss).await?;
        }
        if !report.rest.is_empty() {
            let tasks = self.follow(report).await;
            self.records.create_tasks(Some(report.task), &tasks).await?;
        }
        Ok(())
    }

    /// Reports that tasks will not be read.
    async fn seal(&self, tasks: &[ScanTask], loss: &Loss) -> Result<(), DriveError> {
        for task in tasks {
            let report = TaskReport { lost: Some(loss.clone()), ..TaskReport::blank(task) };
            self.records.create_report(&report).await?;
        }
        Ok(())
    }

    /// The tasks that read the rest of a task.
    async fn follow(&mut self, report: &TaskReport) -> Vec<ScanTask> {
        let replans = self.fold.replans(report.task);
        let again = report.rest.iter().any(|rest| rest.reason == RestReason::Unstable);
        let planner = Planner {
            run: report.run,
            alias: self.survey.spec.alias.clone(),
            replans: if again { replans + 1 } else { replans },
        };
        let mut tasks = Vec::new();
        for rest in &report.rest {
            match self.follow_rest(&planner, &report.node, rest).await {
                Ok(followed) => tasks.extend(followed),
                Err(fault) => {
                    // Tried again as it was, after a pause, and not for ever.
                    tracing::warn!(error = %fault, "planned again without looking");
                    self.deployment = None;
                    let planner = Planner { replans: replans + 1, ..planner.clone() };
                    tasks.push(planner.task(&report.node, rest.scope.clone(), 0));
                }
            }
        }
        tasks
    }

    async fn follow_rest(
        &mut self,
        planner: &Planner,
        node: &NodeId,
        rest: &Rest,
    ) -> Result<Vec<ScanTask>, Fault> {
        if let (RestReason::Full, Scope::Cursors(_)) = (rest.reason, &rest.scope) {
            return Ok(vec![planner.task(node, rest.scope.clone(), 0)]);
        }
        let slots = self.not_handed_on(rest);
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        let giant = if rest.reason == RestReason::Giant { slots.clone() } else { SlotSet::new() };
        let listing = (rest.reason == RestReason::Unordered).then_some(SlotListing::KeysInSlot);
        let deployment = self.deployment().await?;
        let (mut tasks, unserved) = replan(deployment, planner, &slots, &giant, listing).await?;
        if !unserved.is_empty() {
            let scope = Scope::Slots { slots: unserved, listing: SlotListing::KeysInSlot };
            tasks.push(planner.task(node, scope, 0));
        }
        Ok(tasks)
    }

    /// The slots of a rest that are still to be planned again. Every part of a pass over giant slots hands back
    /// a slot that moved as a whole, so only the first part's word counts: otherwise each would start a pass of
    /// its own, and so on.
    fn not_handed_on(&mut self, rest: &Rest) -> SlotSet {
        let slots = rest.scope.slots();
        let Some(pass) = rest.pass else { return slots };
        let before = self.handed_on.entry(pass).or_default();
        let new = slots.difference(before);
        before.extend(&new);
        new
    }

    async fn deployment(&mut self) -> Result<&Deployment, Fault> {
        if self.deployment.is_none() {
            let access = self.env.access.get(&self.survey.spec.alias).cloned();
            let access = access.unwrap_or_else(|| shared::cluster::Access::open(Vec::new()));
            self.deployment = Some(Deployment::discover(access, "keysweep-coordinator").await?);
        }
        self.deployment.as_ref().ok_or_else(|| Fault::unexpected("?", "discovery"))
    }

    async fn release(&mut self) -> Result<(), DriveError> {
        while let Some(task) = self.dispatch.release(self.started.elapsed()) {
            let payload = wire::encode(&task)?;
            // Scanners make room without us, and nothing else can stop this wait.
            publish_patiently(&*self.env.queue, Topic::Tasks, &payload, &CancellationToken::new()).await?;
        }
        Ok(())
    }

    /// Stops the run before it deletes more than it may: what reports list may be deleted at any moment.
    async fn check_deletions(&mut self) -> Result<(), DriveError> {
        let (Some(max), Action::Delete) = (self.guards.deletions_max, self.survey.spec.rules.action) else {
            return Ok(());
        };
        let possible = self.fold.deletions_possible();
        if possible <= max || self.fold.cancel().is_some() {
            return Ok(());
        }
        let cause = format!(
            "{possible} keys qualify for deletion, more than the limit of {max}; raise --max-delete-percent to allow it"
        );
        self.records.create_cancel(&Cancel { kind: CancelKind::Guard, cause }).await?;
        Ok(())
    }

    async fn check_runtime(&mut self) -> Result<(), DriveError> {
        if self.guards.runtime_max.is_some_and(|max| self.started.elapsed() > max)
            && self.fold.cancel().is_none()
        {
            let cause = "the time that --max-runtime allows is over".to_owned();
            self.records.create_cancel(&Cancel { kind: CancelKind::Runtime, cause }).await?;
        }
        Ok(())
    }
}
