//! An attempt at a batch: its state and its result. Pure, except for the routes.

use keysweep_model::memory::PrefixMemory;
use keysweep_model::messages::{Lookups, NodePacing, ReapBatch, UnreplicatedWrites};
use keysweep_model::outcome::Outcome;
use keysweep_redis::guard::{Act, GuardMode};
use keysweep_redis::{RedisClient, RedisError, RedisErrorKind};
use keysweep_runtime::worker::Failure;
use keysweep_storage::queue::Delivery;
use keysweep_storage::records::{AttemptMark, Records};

use crate::chunks::{Routes, by_node};
use crate::fingerprints::BackupStats;
use crate::freed_memory::FreedMemory;
use crate::node_session::NodeSession;

/// The state of an attempt at a batch.
pub(crate) struct BatchAttempt<'a> {
    pub(crate) batch: &'a ReapBatch,
    pub(crate) mode: GuardMode,
    /// Whether no earlier delivery was tried; set once this attempt is recorded.
    pub(crate) first: Option<bool>,
    /// The outcomes by group; empty for groups not processed yet.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    /// The delivery of its message; `None` if the batch is being dead-lettered.
    pub(crate) delivery: Option<&'a Delivery>,
    /// How the batch was throttled, if it was.
    pub(crate) pacing: Option<Box<NodePacing>>,
    /// Writes that the replicas have not confirmed.
    pub(crate) unreplicated: Vec<UnreplicatedWrites>,
    /// Lookups that the guard made in addition to the usual ones.
    pub(crate) extra_lookups: Lookups,
    /// What was saved before the deletion, if the run writes backups or compares values.
    pub(crate) saved: Option<BackupStats>,
    /// Memory measured before the deletion.
    pub(crate) freed: FreedMemory,
    /// Why groups have no outcomes: their slots are moving, or no node serves them.
    pub(crate) failure: Option<RedisError>,
}

impl<'a> BatchAttempt<'a> {
    /// One candidate in `freed_one_in` is measured before its deletion.
    pub(crate) fn new(
        (batch, delivery): (&'a ReapBatch, Option<&'a Delivery>),
        mode: GuardMode,
        freed_one_in: u64,
    ) -> Self {
        let outcomes = vec![Vec::new(); batch.groups.len()];
        let (first, pacing, saved, failure) = (None, None, None, None);
        let (unreplicated, extra_lookups, freed) =
            (Vec::new(), Lookups::default(), FreedMemory::new(freed_one_in));
        Self {
            batch,
            mode,
            first,
            outcomes,
            delivery,
            pacing,
            unreplicated,
            extra_lookups,
            saved,
            freed,
            failure,
        }
    }

    pub(crate) fn done(self) -> BatchResult {
        let Self { batch, outcomes, pacing, unreplicated, extra_lookups, saved, freed, failure, .. } = self;
        let freed = Some(freed.of_deleted(batch, &outcomes)).filter(|freed| !freed.is_empty()).map(Box::new);
        BatchResult { outcomes, pacing, unreplicated, extra_lookups, saved, freed, failure }
    }

    /// Records the attempt, unless this was done before. Returns whether it is the first attempt at the batch.
    pub(crate) async fn begin(&mut self, records: &Records) -> Result<bool, Failure> {
        if let Some(first) = self.first {
            return Ok(first);
        }
        let first = match records.create_attempt(self.batch.batch).await? {
            AttemptMark::First => true,
            AttemptMark::Again => false,
            AttemptMark::Ended => {
                return Err(Failure::Refused("the batch ended before it was tried".to_owned()));
            }
        };
        Ok(*self.first.insert(first))
    }
}

/// How the guard is called at one node.
pub(crate) struct ScriptCall<'a> {
    pub(crate) ready: &'a NodeSession,
    /// See [`BatchAttempt::first`].
    pub(crate) first: bool,
    /// What the guard should do.
    pub(crate) mode: GuardMode,
}

/// `mode` for a node; `fields` states whether the node has hashes whose fields expire.
pub(crate) fn with_fields(mode: GuardMode, fields: bool) -> GuardMode {
    match mode {
        GuardMode::Act(act) => GuardMode::Act(Act { fields, ..act }),
        GuardMode::Finalize(outcome) => GuardMode::Finalize(outcome),
    }
}

/// The end of an attempt.
pub(crate) enum AttemptOutcome {
    /// It is too early by this many milliseconds; nothing was done.
    Early(u64),
    /// All groups have outcomes, except those whose slots could not be reached.
    Done(Box<BatchResult>),
}

/// The result of a batch.
#[derive(Default)]
pub(crate) struct BatchResult {
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    pub(crate) pacing: Option<Box<NodePacing>>,
    pub(crate) unreplicated: Vec<UnreplicatedWrites>,
    pub(crate) extra_lookups: Lookups,
    pub(crate) saved: Option<BackupStats>,
    /// The memory that the deletions freed.
    pub(crate) freed: Option<Box<PrefixMemory>>,
    /// See [`BatchAttempt::failure`].
    pub(crate) failure: Option<RedisError>,
}

impl BatchResult {
    /// Fills in outcomes for the groups of `batch` that have none. `tried`: an earlier delivery may have acted on them.
    pub(crate) fn filled(mut self, batch: &ReapBatch, tried: bool) -> Self {
        let outcome = if tried { Outcome::Unconfirmed } else { Outcome::Unreached };
        for (group, outcomes) in batch.groups.iter().zip(&mut self.outcomes) {
            outcomes.resize(group.keys.len(), outcome);
        }
        self
    }
}

/// The routes of `batch` by the topology of `client`.
pub(crate) fn route<'a>(client: &RedisClient, batch: &'a ReapBatch) -> Routes<'a> {
    let topology = client.topology();
    by_node(batch, |slot| topology.owner(slot).map(|primary| primary.node.clone()))
}

/// The error for a slot of `batch` that no node serves.
pub(crate) fn unserved(batch: &ReapBatch, slot: u16) -> RedisError {
    RedisError::new(RedisErrorKind::Moved, batch.alias.as_str(), format!("no node serves slot {slot}"))
}
