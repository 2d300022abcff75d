//! An attempt at a batch: what it knows while it acts, and what came of it. Pure, but for the routes.

use shared::cluster::guard::{Act, GuardMode};
use shared::cluster::{RedisClient, RedisError, RedisErrorKind};
use shared::memory::PrefixMemory;
use shared::messages::{Lookups, NodePacing, ReapBatch, UnreplicatedWrites};
use shared::outcome::Outcome;
use shared::queue::Delivery;
use shared::records::{AttemptMark, Records};
use shared::worker::Failure;

use crate::chunks::{Routes, by_node};
use crate::fingerprints::BackupStats;
use crate::freed_memory::FreedMemory;
use crate::node_session::NodeSession;

/// An attempt at a batch.
pub(crate) struct BatchAttempt<'a> {
    pub(crate) batch: &'a ReapBatch,
    pub(crate) mode: GuardMode,
    /// Whether no earlier delivery was tried; known once this one is.
    pub(crate) first: Option<bool>,
    /// Those of the groups that were done.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    /// Its message; `None` for one that is given up.
    pub(crate) delivery: Option<&'a Delivery>,
    /// How it was held back, if it was.
    pub(crate) pacing: Option<Box<NodePacing>>,
    /// Who alone knows what was done.
    pub(crate) unreplicated: Vec<UnreplicatedWrites>,
    /// See [`Answer::beyond`].
    pub(crate) extra_lookups: Lookups,
    /// What was saved before, if it was.
    pub(crate) saved: Option<BackupStats>,
    /// What was measured before.
    pub(crate) freed: FreedMemory,
    /// Why groups have no outcomes: their slots are moving, or no node serves them.
    pub(crate) failure: Option<RedisError>,
}

impl<'a> BatchAttempt<'a> {
    /// One candidate in `freed_one_in` is to be measured before.
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
        let Self {
            batch,
            outcomes,
            pacing,
            unreplicated: vouched,
            extra_lookups: beyond,
            saved,
            freed,
            failure: undone,
            ..
        } = self;
        let freed = Some(freed.of_deleted(batch, &outcomes)).filter(|freed| !freed.is_empty()).map(Box::new);
        BatchResult {
            outcomes,
            pacing,
            unreplicated: vouched,
            extra_lookups: beyond,
            saved,
            freed,
            failure: undone,
        }
    }

    /// Notes that the batch is about to be tried, unless that is done; whether this is the first attempt.
    pub(crate) async fn begin(&mut self, records: &Records) -> Result<bool, Failure> {
        if let Some(first) = self.first {
            return Ok(first);
        }
        let first = match records.create_attempt(self.batch.batch).await? {
            AttemptMark::First => true,
            AttemptMark::Again => false,
            AttemptMark::Ended => {
                return Err(Failure::Refused("the batch was ended before it was tried".to_owned()));
            }
        };
        Ok(*self.first.insert(first))
    }
}

/// How one node is acted at.
pub(crate) struct ScriptCall<'a> {
    pub(crate) ready: &'a NodeSession,
    /// See [`BatchAttempt::first`].
    pub(crate) first: bool,
    /// What is to be done there.
    pub(crate) mode: GuardMode,
}

/// `mode` at a node, of which `fields` says whether it has hashes whose fields expire.
pub(crate) fn asking(mode: GuardMode, fields: bool) -> GuardMode {
    match mode {
        GuardMode::Act(act) => GuardMode::Act(Act { fields, ..act }),
        GuardMode::Finalize(outcome) => GuardMode::Finalize(outcome),
    }
}

/// How far an attempt came.
pub(crate) enum AttemptOutcome {
    /// It is too early by so many milliseconds; nothing was done.
    Early(u64),
    /// All groups have their outcomes, but for those whose slots could not be acted on.
    Done(Box<BatchResult>),
}

/// What came of a batch.
#[derive(Default)]
pub(crate) struct BatchResult {
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    pub(crate) pacing: Option<Box<NodePacing>>,
    pub(crate) unreplicated: Vec<UnreplicatedWrites>,
    pub(crate) extra_lookups: Lookups,
    pub(crate) saved: Option<BackupStats>,
    /// The memory of what was deleted.
    pub(crate) freed: Option<Box<PrefixMemory>>,
    /// See [`BatchAttempt::failure`].
    pub(crate) failure: Option<RedisError>,
}

impl BatchResult {
    /// With outcomes for the groups of `batch` that have none; `tried` says that an earlier delivery may have acted on
    /// them.
    pub(crate) fn filled(mut self, batch: &ReapBatch, tried: bool) -> Self {
        let outcome = if tried { Outcome::Unconfirmed } else { Outcome::Unreached };
        for (group, outcomes) in batch.groups.iter().zip(&mut self.outcomes) {
            outcomes.resize(group.keys.len(), outcome);
        }
        self
    }
}

/// Where the groups of `batch` go, as `deployment` knows it.
pub(crate) fn route<'a>(client: &RedisClient, batch: &'a ReapBatch) -> Routes<'a> {
    let topology = client.topology();
    by_node(batch, |slot| topology.owner(slot).map(|primary| primary.node.clone()))
}

/// That no node serves a slot of `batch`.
pub(crate) fn unserved(batch: &ReapBatch, slot: u16) -> RedisError {
    RedisError::new(RedisErrorKind::Moved, batch.alias.as_str(), format!("nobody serves slot {slot}"))
}
