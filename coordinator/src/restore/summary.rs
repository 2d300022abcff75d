//! The summary of a restoration: the outcome of every key that was read. Pure.

use std::collections::BTreeMap;

use keysweep_backup::Damage;
use keysweep_backup::limits::DAMAGES_NAMED_MAX;
use serde::Serialize;

use crate::limits::RESTORE_CAUSES_MAX;

/// Collects the causes beyond [`RESTORE_CAUSES_MAX`].
const OTHER_CAUSES: &str = "other causes";

/// Numbers of keys by outcome: `read` is the sum of all others up to `failed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSummary {
    /// Keys that were read.
    pub read: u64,
    /// Restored.
    pub restored: u64,
    /// Would be restored if no key of the name exists: a dry run does not check that on the server.
    pub restorable: u64,
    /// Skipped, because a key of the name exists.
    pub existing: u64,
    /// Would have expired by now.
    pub expired: u64,
    /// Excluded by the filter.
    pub filtered: u64,
    /// Belong to another deployment.
    pub elsewhere: u64,
    /// Saved, but not deleted by us.
    pub kept: u64,
    /// A newer file contains them; its value counts.
    pub older: u64,
    /// Could not be restored.
    pub failed: u64,
    /// Whether the sum is right.
    pub balanced: bool,

    /// Those of the restored or restorable keys whose deletion is not recorded: the run was interrupted there.
    pub unconfirmed: u64,
    /// Keys lost in damaged files, as far as the files state how many there were.
    pub lost: u64,
    /// Files that were read.
    pub files: u64,
    /// Incomplete files, whose writer died: nothing was deleted on their basis.
    pub unfinished_files: u64,
    /// Damaged places in files.
    pub damages: Vec<FileDamage>,
    /// Number of damaged places.
    pub damaged: u64,
    /// Files that are not backups.
    pub foreign_files: Vec<String>,
    /// Why keys could not be restored, with their number.
    pub causes: BTreeMap<String, u64>,
    /// Why the restoration ended early, if it did.
    pub stopped: Option<String>,
    /// Whether it was a dry run.
    pub dry_run: bool,
}

/// A damaged place in a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileDamage {
    /// The file, as the backup target lists it.
    pub file: String,
    /// Offset in bytes.
    pub offset: u64,
    /// The problem.
    pub what: String,
}

impl RestoreSummary {
    /// Records damage in `file`: the listed `damages`, of `damaged` in total.
    pub(super) fn damage(&mut self, file: &impl ToString, damages: &[Damage], damaged: u64) {
        self.damaged = self.damaged.saturating_add(damaged);
        let room = DAMAGES_NAMED_MAX.saturating_sub(self.damages.len());
        let named = |damage: &Damage| FileDamage {
            file: file.to_string(),
            offset: damage.offset,
            what: damage.what.clone(),
        };
        self.damages.extend(damages.iter().take(room).map(named));
    }

    /// Counts `keys` keys that could not be restored.
    pub(super) fn fail(&mut self, cause: String, keys: u64) {
        self.failed += keys;
        let known = self.causes.len() < RESTORE_CAUSES_MAX || self.causes.contains_key(&cause);
        *self.causes.entry(if known { cause } else { OTHER_CAUSES.to_owned() }).or_default() += keys;
    }

    /// The outcomes by name, in display order.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64, &'static str); 9] {
        [
            ("restored", self.restored, "restored"),
            ("restorable", self.restorable, "would be restored, if no key of the name exists"),
            ("existing", self.existing, "skipped: a key of the name exists"),
            ("expired", self.expired, "would have expired by now"),
            ("filtered", self.filtered, "excluded by the filter"),
            ("elsewhere", self.elsewhere, "of another deployment"),
            ("kept", self.kept, "saved, but not deleted by us"),
            ("older", self.older, "a newer save counts"),
            ("failed", self.failed, "could not be restored"),
        ]
    }

    /// Computes `balanced`.
    #[must_use]
    pub(super) fn balance(mut self) -> Self {
        self.balanced = self.read == self.rows().iter().map(|(_, keys, _)| keys).sum::<u64>();
        self
    }

    /// Whether every selected key exists now.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.balanced && self.failed == 0 && (self.damaged, self.lost) == (0, 0) && self.stopped.is_none()
    }
}
