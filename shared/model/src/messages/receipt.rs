//! The recorded result of a batch, and which writes are not replicated yet.

use serde::{Deserialize, Serialize, Serializer};

use super::{Lookups, NodePacing, Reason};
use crate::ids::{BatchId, NodeId, RunId};
use crate::ledger::{Ledger, UsedLedgers};
use crate::memory::PrefixMemory;
use crate::outcome::{self, Outcome};
use crate::slot::SlotSet;
use crate::wire::shortened;

/// The outcomes of one group, key by key.
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

/// Serialized like [`super::Group`].
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
    /// The node of the batch.
    pub node: NodeId,
    /// One per group, in the batch's order.
    pub groups: Vec<GroupReceipt>,
    /// Lookups made by the batch, to be subtracted from the hit rate.
    pub lookups: Lookups,
    /// Why keys are unreached, failed or unconfirmed, for people.
    pub cause: Option<String>,
    /// What pacing did during the batch, if anything.
    #[serde(default)]
    pub pacing: Option<Box<NodePacing>>,
    /// The scan generation of the batch's task.
    #[serde(default)]
    pub scan_generation: u32,
    /// Writes that no replica has confirmed.
    #[serde(default)]
    pub unreplicated: Vec<UnreplicatedWrites>,
    /// The outcome of all candidates of the batch, however many its grant lists. Set where `groups` is empty because
    /// the batch did not act. Earlier versions neither write nor understand it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Outcome>,
    /// The memory of the deleted keys. Absent if none was deleted, and in receipts of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<Box<PrefixMemory>>,
    /// The ledgers that the batch used. Absent in receipts of batches that did not act, and of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledgers: Option<UsedLedgers>,
}

impl Receipt {
    /// The ledger keys that the batch may have left.
    #[must_use]
    pub fn ledgers(&self) -> Vec<Ledger> {
        let groups: Vec<_> =
            self.groups.iter().map(|group| (group.slot, group.reason, group.outcomes.len())).collect();
        self.ledgers.as_ref().map_or_else(Vec::new, |used| used.of(self.batch, &groups))
    }

    /// The receipt of a batch that did not act. It needs only the batch's identity, and always fits a message.
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
            ledgers: None,
        }
    }
}

/// Slots with writes that no replica is known to have. A failover or a restart to another replication id may undo
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreplicatedWrites {
    /// The node.
    pub node: NodeId,
    /// Its replication id at that time; empty if unknown.
    pub replication_id: String,
    /// The slots; empty on a standalone server.
    pub slots: SlotSet,
}
