//! Drives one run: hands out its tasks, plans again what came back, watches the guards, and sees it to its
//! result. Everything that it knows, it reads from the records, so another driver could go on.

mod driver;
mod failover_check;
mod grants;
mod reschedule;
mod watchdog;

use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_model::result::CleanupResult;
use keysweep_model::wire::WireError;
use keysweep_runtime::context::Context;
use keysweep_storage::records::{Decision, Record, RecordError, Records};
use keysweep_storage::task_notes::{ReadSoFar, TaskNote};
use reporter::{Totals, WaitingBatches};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::driver::Driver;
use crate::run_phase::{PhaseEvent, RunPhase, next};

/// Why a run could not be driven to its end.
#[derive(Debug, Error)]
pub enum DriveError {
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// A message failed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// There is no such run.
    #[error("there is no run `{0}`")]
    NoSpec(RunId),
    /// Another coordinator drives the run now, and what we would still decide is refused.
    #[error("another coordinator has taken run `{0}` over")]
    Fenced(RunId),
}

/// How far a run is, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its state.
    pub state: RunPhase,
    /// Keys that the plan expects to list.
    pub keys: u64,
    /// The sums so far, exact: of tasks and batches that have ended.
    pub totals: Totals,
    /// Keys read so far, those of tasks that are still being read included as far as they have told. Never exact while
    /// tasks are at work. Keys of skipped nodes count as listed.
    pub read: ReadSoFar,
}

impl Progress {
    /// Before the first task.
    #[must_use]
    pub fn start(keys: u64) -> Self {
        Self::new(RunPhase::Planned, keys, Totals::default(), ReadSoFar::default())
    }

    /// How far a run is by `totals`, and by what was `told` of tasks at work.
    #[must_use]
    pub fn new(state: RunPhase, keys: u64, totals: Totals, told: ReadSoFar) -> Self {
        let exact = exactly(&totals);
        let read = match state {
            // What is told may be of slots that have moved meanwhile: no more is shown than there is.
            RunPhase::Planned | RunPhase::Scanning => {
                exact.max(ReadSoFar { listed: told.listed.min(keys), ..told })
            }
            _ => exact,
        };
        Self { state, keys, totals, read }
    }

    /// What the run waits for, if there is nothing else to do: that the grace of these candidates is over.
    #[must_use]
    pub fn waits(&self) -> Option<WaitingBatches> {
        let waiting = self.totals.waiting;
        (self.state == RunPhase::Reaping && waiting.keys > 0).then_some(waiting)
    }
}

/// What tasks with a report have read.
fn exactly(totals: &Totals) -> ReadSoFar {
    let counts = &totals.counts;
    ReadSoFar { listed: counts.passed(), scanned: counts.scanned, stale: counts.stale }
}

/// How long a run that can do nothing else looks again.
const TICK: Duration = Duration::from_millis(50);

impl Driver<'_> {
    /// When it looks again, if nothing happens.
    fn next_tick(&self) -> Instant {
        let tick = Instant::now() + TICK;
        self.grants.next().filter(|_| self.live).map_or(tick, |grant| grant.min(tick))
    }
}

/// What the driver waits for.
enum Event {
    Record(Box<Record>),
    Note(TaskNote),
    Tick,
}

/// Drives `run`, whose plan is stored, to its result, as `who`. Whoever drove it before is out from here on.
///
/// # Errors
/// When the records fail for good, or somebody else takes the run over.
pub async fn drive(
    context: &Context,
    run: RunId,
    who: &str,
    progress: watch::Sender<Progress>,
) -> Result<CleanupResult, DriveError> {
    let records = context.records(run);
    let taken = take(&records, who).await?;
    let spec = records.spec().await?.ok_or(DriveError::NoSpec(run))?;
    let mut driver = Driver::new(context, spec, records.clone(), taken, who);
    let mut notes = context.notes.listen(run).await;
    let mut watch = records.watch().await?;
    loop {
        if driver.live {
            driver.tick().await?;
        }
        let event = tokio::select! {
            record = watch.next() => Event::Record(Box::new(record?)),
            note = notes.next() => Event::Note(note),
            () = sleep_until(driver.next_tick()) => Event::Tick,
        };
        if let Event::Note(note) = event {
            driver.record_progress(note);
        }
        if let Event::Record(record) = event {
            if let Record::Result(result) = *record {
                driver.state = next(driver.state, PhaseEvent::Result(result.status)).unwrap_or(driver.state);
                return Ok(*result);
            }
            driver.handle(&record).await?;
        }
        progress.send_modify(|progress| {
            *progress = driver.progress(progress.keys);
        });
    }
}

/// Our place in the log.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// The entry with which we took the run.
    n: u64,
    epoch: u64,
}

/// Enters into the log that we drive the run now.
async fn take(records: &Records, who: &str) -> Result<Epoch, RecordError> {
    let (mut revision, mut taken) = (0, Epoch { n: 0, epoch: 1 });
    loop {
        while let Some((at, record)) = records.next_after(revision).await? {
            revision = at;
            // An entry after which there is no other cannot be ours.
            if let Some(Record::Decision { n, decision }) = record
                && let Some(next) = n.checked_add(1)
            {
                taken.n = next;
                if let Decision::LeaderElected { epoch, .. } = decision {
                    taken.epoch = epoch.saturating_add(1);
                }
            }
        }
        let decision = Decision::LeaderElected { epoch: taken.epoch, who: who.to_owned() };
        if records.append(taken.n, &decision).await? {
            return Ok(taken);
        }
    }
}
