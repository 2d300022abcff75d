//! The account of a restoration: what became of every key that was read. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::backup::Damage;
use shared::limits::{DAMAGES_NAMED_MAX, RESTORE_CAUSES_MAX};

/// What stands for the causes beyond [`RESTORE_CAUSES_MAX`].
const OTHER_CAUSES: &str = "other causes";

/// What became of the keys of a backup: `read` is the sum of all the others up to `failed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSummary {
    /// Keys that were read.
    pub read: u64,
    /// Are there again.
    pub restored: u64,
    /// Would be put back if no key of the name exists: a dry run does not ask the server.
    pub restorable: u64,
    /// Were left alone, because a key of the name exists.
    pub existing: u64,
    /// Would have expired by now.
    pub expired: u64,
    /// Were not asked for.
    pub filtered: u64,
    /// Belong to another deployment.
    pub elsewhere: u64,
    /// Were saved, but not deleted by us.
    pub kept: u64,
    /// Stand in a newer file as well, which counts.
    pub older: u64,
    /// Could not be put back.
    pub failed: u64,
    /// Whether the sum is right.
    pub balanced: bool,

    /// Those of the restored or restorable of which is not known whether we deleted them: the run was cut off there.
    pub unconfirmed: u64,
    /// Keys that a damaged file has lost, as far as it says how many there were.
    pub lost: u64,
    /// Files that were read.
    pub files: u64,
    /// Files that were being written when their writer ended: nothing was deleted on their account.
    pub unfinished_files: u64,
    /// What is not intact.
    pub damages: Vec<FileDamage>,
    /// How often something was damaged.
    pub damaged: u64,
    /// Files that are none of ours.
    pub foreign_files: Vec<String>,
    /// Why keys could not be put back, with their number.
    pub causes: BTreeMap<String, u64>,
    /// Why it ended before its end, if it did.
    pub stopped: Option<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A damage, and where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileDamage {
    /// The file, as its place lists it.
    pub file: String,
    /// Bytes from its beginning.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl RestoreSummary {
    /// Enters what is not intact in `file`: `damages`, and others that are not named, `damaged` in all.
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

    /// Enters `keys` keys that could not be put back.
    pub(super) fn fail(&mut self, cause: String, keys: u64) {
        self.failed += keys;
        let known = self.causes.len() < RESTORE_CAUSES_MAX || self.causes.contains_key(&cause);
        *self.causes.entry(if known { cause } else { OTHER_CAUSES.to_owned() }).or_default() += keys;
    }

    /// The outcomes by name, in the order in which they are shown.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64, &'static str); 9] {
        [
            ("restored", self.restored, "are there again"),
            ("restorable", self.restorable, "would be put back, if no key of the name exists"),
            ("existing", self.existing, "left alone: a key of the name exists"),
            ("expired", self.expired, "would have expired by now"),
            ("filtered", self.filtered, "not asked for"),
            ("elsewhere", self.elsewhere, "of another deployment"),
            ("kept", self.kept, "saved, but not deleted by us"),
            ("older", self.older, "saved once more later, which counts"),
            ("failed", self.failed, "could not be put back"),
        ]
    }

    /// Closes the account.
    #[must_use]
    pub(super) fn balance(mut self) -> Self {
        self.balanced = self.read == self.rows().iter().map(|(_, keys, _)| keys).sum::<u64>();
        self
    }

    /// Whether all that was asked for, and is not there already, is back.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.balanced && self.failed == 0 && (self.damaged, self.lost) == (0, 0) && self.stopped.is_none()
    }
}
