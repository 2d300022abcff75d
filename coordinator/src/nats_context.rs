//! The context of distributed mode: queue, store, backups and progress over NATS.

use std::collections::BTreeMap;
use std::sync::Arc;

use keysweep_backup::BackupTargets;
use keysweep_model::ids::Alias;
use keysweep_nats::{Nats, NatsQueue, NatsStore};
use keysweep_pacing::Pacers;
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::audit::EntryAudit;
use keysweep_storage::store::Store;
use keysweep_storage::task_notes::TaskNotes;

/// Queue and store in NATS, shared with every process that uses the same prefix. `access` has the connection options of
/// each Redis deployment.
#[must_use]
pub fn nats_context(nats: &Nats, access: BTreeMap<Alias, ConnectOptions>, timing: Timing) -> Context {
    let store: Arc<dyn Store> = Arc::new(NatsStore::new(nats.clone()));
    Context {
        queue: Arc::new(NatsQueue::new(nats.clone())),
        history_store: Arc::clone(&store),
        audit: Some(Arc::new(EntryAudit(Arc::clone(&store)))),
        store,
        distributed: true,
        max_inflight_tasks: nats.max_inflight_tasks(),
        backups: Arc::new(BackupTargets::new([], Some(Arc::new(nats.clone())))),
        pacers: Arc::new(Pacers::new(true)),
        notes: TaskNotes::Remote(Arc::new(nats.clone())),
        ..Context::in_process(access, timing)
    }
}
