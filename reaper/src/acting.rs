//! An attempt at a batch: what it knows while it acts, and what came of it. Pure, but for the routes.

use shared::cluster::guard::{Act, Mode};
use shared::cluster::{Deployment, Fault, FaultKind};
use shared::memory::Weights;
use shared::messages::{Lookups, NodePacing, ReapBatch, Vouched};
use shared::outcome::Outcome;
use shared::queue::Delivery;

use crate::at_node::Ready;
use crate::chunks::{Routes, by_node};
use crate::freed::Freed;
use crate::seals::Told;

/// An attempt at a batch.
pub(crate) struct Acting<'a> {
    pub(crate) batch: &'a ReapBatch,
    pub(crate) mode: Mode,
    /// Whether no earlier delivery was tried; known once this one is.
    pub(crate) first: Option<bool>,
    /// Those of the groups that were done.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    /// Its message; `None` for one that is given up.
    pub(crate) delivery: Option<&'a Delivery>,
    /// How it was held back, if it was.
    pub(crate) pacing: Option<Box<NodePacing>>,
    /// Who alone knows what was done.
    pub(crate) vouched: Vec<Vouched>,
    /// See [`Answer::beyond`].
    pub(crate) beyond: Lookups,
    /// What was saved before, if it was.
    pub(crate) saved: Option<Told>,
    /// What was measured before.
    pub(crate) freed: Freed,
    /// Why groups have no outcomes: their slots are moving, or no node serves them.
    pub(crate) undone: Option<Fault>,
}

impl<'a> Acting<'a> {
    /// One candidate in `freed_one_in` is to be measured before.
    pub(crate) fn new(
        (batch, delivery): (&'a ReapBatch, Option<&'a Delivery>),
        mode: Mode,
        freed_one_in: u64,
    ) -> Self {
        let outcomes = vec![Vec::new(); batch.groups.len()];
        let (first, pacing, saved, undone) = (None, None, None, None);
        let (vouched, beyond, freed) = (Vec::new(), Lookups::default(), Freed::new(freed_one_in));
        Self { batch, mode, first, outcomes, delivery, pacing, vouched, beyond, saved, freed, undone }
    }

    pub(crate) fn done(self) -> Done {
        let Self { batch, outcomes, pacing, vouched, beyond, saved, freed, undone, .. } = self;
        let freed = Some(freed.told(batch, &outcomes)).filter(|freed| !freed.is_empty()).map(Box::new);
        Done { outcomes, pacing, vouched, beyond, saved, freed, undone }
    }
}

/// How one node is acted at.
pub(crate) struct Call<'a> {
    pub(crate) ready: &'a Ready,
    /// See [`Acting::first`].
    pub(crate) first: bool,
    /// What is to be done there.
    pub(crate) mode: Mode,
}

/// `mode` at a node, of which `fields` says whether it has hashes whose fields expire.
pub(crate) fn asking(mode: Mode, fields: bool) -> Mode {
    match mode {
        Mode::Act(act) => Mode::Act(Act { fields, ..act }),
        Mode::Seal(outcome) => Mode::Seal(outcome),
    }
}

/// How far an attempt came.
pub(crate) enum Acted {
    /// It is too early by so many milliseconds; nothing was done.
    Early(u64),
    /// All groups have their outcomes, but for those whose slots could not be acted on.
    Done(Box<Done>),
}

/// What came of a batch.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    pub(crate) pacing: Option<Box<NodePacing>>,
    pub(crate) vouched: Vec<Vouched>,
    pub(crate) beyond: Lookups,
    pub(crate) saved: Option<Told>,
    /// The memory of what was deleted.
    pub(crate) freed: Option<Box<Weights>>,
    /// See [`Acting::undone`].
    pub(crate) undone: Option<Fault>,
}

impl Done {
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
pub(crate) fn route<'a>(deployment: &Deployment, batch: &'a ReapBatch) -> Routes<'a> {
    let topology = deployment.topology();
    by_node(batch, |slot| topology.owner(slot).map(|primary| primary.node.clone()))
}

/// That no node serves a slot of `batch`.
pub(crate) fn unserved(batch: &ReapBatch, slot: u16) -> Fault {
    Fault::new(FaultKind::Moved, batch.alias.as_str(), format!("nobody serves slot {slot}"))
}
