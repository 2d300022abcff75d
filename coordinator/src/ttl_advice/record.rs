//! The panels in the history between calls: one entry per job and deployment, under `ttl-panel/<alias>/<job>`. A call for other
//! keys replaces it.

use keysweep_model::wire;
use keysweep_runtime::context::Context;
use keysweep_storage::store::{self, StoreError};
use serde::{Deserialize, Serialize};

use super::panel::Panel;
use crate::options::Options;

/// Which keys a panel is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Selection {
    /// The database; `None`: all.
    pub(super) db: Option<u32>,
    /// Patterns of the keys; empty: all.
    pub(super) patterns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    selection: Selection,
    panels: Vec<KeptPanel>,
}

/// A panel of all keys, or of a group of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptPanel {
    /// The group; `None`: all keys.
    pub(super) group: Option<String>,
    /// Its panel.
    pub(super) panel: Panel,
}

fn key(options: &Options) -> String {
    format!("ttl-panel/{}/{}", options.alias, options.job)
}

/// The panels of these keys. An entry that another version wrote counts as none.
pub(super) async fn read(
    context: &Context,
    options: &Options,
    selection: &Selection,
) -> Result<Vec<KeptPanel>, StoreError> {
    let entry = context.history_store.get(&key(options)).await?;
    let record = entry.and_then(|entry| wire::decode::<Record>(&entry.value).ok());
    let record = record.filter(|record| record.selection == *selection);
    Ok(record.map(|record| record.panels).unwrap_or_default())
}

/// Keeps `panels`. If another call writes at the same time, that one's is kept.
pub(super) async fn write(
    context: &Context,
    options: &Options,
    selection: Selection,
    panels: Vec<KeptPanel>,
) -> Result<(), StoreError> {
    let (store, key) = (&*context.history_store, key(options));
    let record = Record { selection, panels };
    let value = wire::encode(&record).map_err(|e| StoreError(e.to_string()))?;
    let before = store.get(&key).await?.map(|entry| entry.revision);
    store::write(store, &key, value, before).await.map(drop)
}
