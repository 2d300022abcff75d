//! Batches of candidates, which scanners hand to reapers.

use serde::{Deserialize, Serialize, Serializer};
use strum::IntoStaticStr;

use super::{Action, Fingerprint};
use crate::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use crate::key::Key;
use crate::wire::{self, FORMAT, FORMAT_NODE_LEDGERS, FORMAT_RULES, FORMAT_VERIFIED, WireError};

/// Why a key is a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Reason {
    /// It has no TTL.
    Stale,
    /// It belongs to a user who is inactive.
    Inactive,
    /// It has a TTL, and its rule deletes or reports such keys.
    Expiring,
    /// Its TTL is longer than its rule allows.
    #[strum(serialize = "longTtl")]
    LongTtl,
}

impl Reason {
    /// All reasons, in the order in which batches have them.
    pub const ALL: [Self; 4] = [Self::Stale, Self::Inactive, Self::Expiring, Self::LongTtl];

    /// Whether candidates with this reason are deleted in a run, or by a rule, that does `action` with stale keys.
    #[must_use]
    pub fn is_deleted(self, action: Action) -> bool {
        match self {
            Self::Inactive => true,
            Self::Stale | Self::Expiring => action.deletes(),
            Self::LongTtl => false,
        }
    }

    /// Whether a key with this reason may be changed only while it expires at the same moment as at the scan.
    #[must_use]
    pub fn is_timed(self) -> bool {
        matches!(self, Self::Inactive | Self::Expiring)
    }
}

/// Candidates of one slot: the unit of one script call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "super::group::GroupRecord")]
pub struct Group {
    /// The slot of all keys; 0 on standalone servers.
    pub slot: u16,
    /// Why they are candidates.
    pub reason: Reason,
    /// The keys.
    pub keys: Vec<Key>,
    /// If the reason is timed ([`Reason::is_timed`]): when each key was to expire, in milliseconds of the server's
    /// clock. A key that now expires later was refreshed, and is spared. Empty otherwise.
    pub expires_at_ms: Vec<u64>,
    /// The fingerprint of each key's value at the scan, if only an unchanged value may be deleted ([`super::Verify::Value`]);
    /// empty otherwise.
    pub fingerprints: Vec<Fingerprint>,
}

/// Serialized as a row without column names, because there are many groups. The last column is present only if it is
/// needed: earlier versions do not know it (see [`ReapBatch::format`]).
impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { slot, reason, keys, expires_at_ms, fingerprints } = self;
        if fingerprints.is_empty() {
            return (slot, reason, keys, expires_at_ms).serialize(serializer);
        }
        (slot, reason, keys, expires_at_ms, fingerprints).serialize(serializer)
    }
}

/// Candidates of one node, by slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReapBatch {
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// The task. Its [`super::Grant`] must list the batch before the batch may act.
    pub task: TaskId,
    /// The deployment.
    pub alias: Alias,
    /// The node that held the keys at the scan.
    pub node: NodeId,
    /// The node's own time, in milliseconds since the epoch, before which the batch must not act: the end of the
    /// grace.
    pub not_before_ms: u64,
    /// The node's own time from which on the batch must not act: it has expired.
    pub not_after_ms: u64,
    /// The candidates: at least one, and at most [`crate::limits::BATCH_KEYS_MAX`].
    #[serde(deserialize_with = "super::group::of_a_batch")]
    pub groups: Vec<Group>,
    /// The scan generation of its task.
    #[serde(default)]
    pub scan_generation: u32,
    /// The most candidates of a node ledger ([`crate::ledger::node_ledgers`]); 0 if each group has only a ledger of its
    /// own, as where transactions delete and in batches of earlier versions.
    #[serde(default)]
    pub ledger_keys: u32,
    /// The number of the rule that all of its keys belong to, from 0, in [`super::Policy::rules`]; `None` if the run has
    /// no rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u16>,
}

impl ReapBatch {
    /// The number of candidates.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.groups.iter().map(|g| g.keys.len() as u64).sum()
    }

    /// The wire format. A batch with a rule, fingerprints or node ledgers uses a format that earlier workers refuse: they
    /// would ignore the rule or the fingerprints and change keys that do not qualify, or ignore the ledgers and count
    /// deleted keys as vanished.
    #[must_use]
    pub fn format(&self) -> u8 {
        match () {
            () if self.rule.is_some() => FORMAT_RULES,
            () if self.ledger_keys > 0 => FORMAT_NODE_LEDGERS,
            () if self.groups.iter().any(|group| !group.fingerprints.is_empty()) => FORMAT_VERIFIED,
            () => FORMAT,
        }
    }

    /// The encoded message.
    ///
    /// # Errors
    /// When it exceeds the size limit.
    pub fn encoded(&self) -> Result<Vec<u8>, WireError> {
        wire::encode_as(self.format(), self)
    }
}
