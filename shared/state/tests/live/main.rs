//! The state file in a real folder: the contract of stores, the audit trail, retention, size.
#![cfg(test)]

mod audit;
mod contract;
mod retention;

use std::path::PathBuf;

use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::key::Key;
use keysweep_model::messages::{Group, ReapBatch, Reason};
use keysweep_model::outcome::Outcome;
use keysweep_state::{FILE_NAME, StateFile};
use keysweep_storage::audit::{AuditEntry, AuditGroup};

/// A folder that is removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("keysweep-state-{}", uuid::Uuid::now_v7())))
    }

    fn file(&self) -> StateFile {
        StateFile::open(&self.0.join(FILE_NAME)).unwrap()
    }

    /// The bytes of the file, without its log.
    fn bytes(&self) -> u64 {
        std::fs::metadata(self.0.join(FILE_NAME)).unwrap().len()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A batch of `keys`, in groups of three in ascending slots.
fn batch(run: RunId, keys: &[Vec<u8>]) -> ReapBatch {
    let group = |(slot, keys): (usize, &[Vec<u8>])| Group {
        slot: u16::try_from(slot % 16_384).unwrap(),
        reason: if slot.is_multiple_of(2) { Reason::Stale } else { Reason::Inactive },
        keys: keys.iter().map(|key| Key::new(key.clone())).collect(),
        expires_at_ms: Vec::new(),
        fingerprints: Vec::new(),
    };
    ReapBatch {
        run,
        batch: BatchId::new(),
        task: TaskId::new(),
        alias: Alias::new("main"),
        node: NodeId::new("n1"),
        not_before_ms: 0,
        not_after_ms: 1,
        groups: keys.chunks(3).enumerate().map(group).collect(),
        scan_generation: 0,
        ledger_keys: 0,
        rule: None,
    }
}

/// The entry of `batch` with the outcome of each key.
fn entry(batch: &ReapBatch, at_ms: u64, outcome: impl Fn(&Key) -> Outcome) -> AuditEntry {
    let group = |group: &Group| AuditGroup {
        slot: group.slot,
        reason: group.reason,
        keys: group.keys.iter().map(|key| (key.clone(), outcome(key))).collect(),
    };
    let groups = batch.groups.iter().map(group).collect();
    AuditEntry { batch: batch.batch, node: batch.node.clone(), at_ms, groups, rule: batch.rule }
}
