//! What became of a batch, and who alone knows it.

use serde::{Deserialize, Serialize, Serializer};

use super::{Lookups, NodePacing, Reason};
use crate::ids::{BatchId, NodeId, RunId};
use crate::memory::PrefixMemory;
use crate::outcome::{self, Outcome};
use crate::slot::SlotSet;
use crate::wire::shortened;

/// What became of one group, key by key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GroupReceipt {
    /// The slot.
    #[serde(deserialize_with = "crate::slot::deserialize")]
    pub slot: u16,
    /// Why the keys were candidates.
    pub reason: Reason,
    /// One outcome per key, in the group's order.
    #[serde(deserialize_with = "crate::outcome::codes::deserialize")]
    pub outcomes: Vec<Outcome>,
}

/// As with [`super::Group`].
impl Serialize for GroupReceipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.slot, self.reason, outcome::codes::text(&self.outcomes)).serialize(serializer)
    }
}

/// The recorded outcome of one reap batch. Stored once per batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// The node that the batch was for.
    pub node: NodeId,
    /// One per group, in the batch's order.
    pub groups: Vec<GroupReceipt>,
    /// Look-ups made, to be taken off the hit rate.
    pub lookups: Lookups,
    /// Why keys were not reached, failed or are unconfirmed, for people.
    pub cause: Option<String>,
    /// How the batch was held back, if it was.
    #[serde(default)]
    pub pacing: Option<Box<NodePacing>>,
    /// The round of the batch's task.
    #[serde(default)]
    pub scan_generation: u32,
    /// Who alone knows what was done.
    #[serde(default)]
    pub unreplicated: Vec<UnreplicatedWrites>,
    /// The outcome of all candidates of the batch, however many its grant lists, where `groups` is empty because nothing
    /// of the batch was done. Earlier versions never say it, and do not understand it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Outcome>,
    /// The memory of the keys that were deleted. Absent where none was, and in receipts of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<Box<PrefixMemory>>,
}

impl Receipt {
    /// The receipt of a batch that was not acted on, and of which nothing but its identity has to be known. It always
    /// fits a message.
    #[must_use]
    pub fn whole(
        run: RunId,
        batch: BatchId,
        node: NodeId,
        scan_generation: u32,
        outcome: Outcome,
        cause: &str,
    ) -> Self {
        Self {
            run,
            batch,
            node,
            groups: Vec::new(),
            lookups: Lookups::default(),
            cause: Some(shortened(cause)),
            pacing: None,
            scan_generation,
            unreplicated: Vec::new(),
            all: Some(outcome),
            freed: None,
        }
    }
}

/// Slots in which something was done that no replica is known to have. If another history takes the place of this
/// one, by a failover or a restart, it may be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreplicatedWrites {
    /// The node.
    pub node: NodeId,
    /// Its history then; empty if unknown.
    pub replication_id: String,
    /// The slots; none on a standalone server.
    pub slots: SlotSet,
}
