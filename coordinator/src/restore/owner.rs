//! Finds the deployments that the files of a backup belong to.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_backup::{BackupTarget, FileKind, decode};
use keysweep_model::ids::{Alias, RunId};

use super::{RestoreError, empty};

/// The deployments of the files of `run` (of all runs, if `None`) at `place`. Stops at the second one that is `known`.
/// Files that cannot be read are skipped here: the restoration reports them.
///
/// # Errors
/// When the files cannot be listed, or there are none.
pub async fn owners<T>(
    place: &BackupTarget,
    run: Option<RunId>,
    known: &BTreeMap<Alias, T>,
) -> Result<BTreeSet<Alias>, RestoreError> {
    let listed = place.list().await?;
    let mut saves = listed.files;
    saves.retain(|name| matches!(name.kind, FileKind::Save(_)) && run.is_none_or(|run| run == name.run));
    if saves.is_empty() {
        return Err(empty(place, run));
    }
    let mut found = BTreeSet::new();
    for name in saves {
        let Ok(bytes) = place.get(name).await else { continue };
        found.extend(decode(&bytes).header.map(|header| header.alias));
        if found.iter().filter(|alias| known.contains_key(alias)).count() > 1 {
            break;
        }
    }
    Ok(found)
}
