//! The state of one machine: history, results, counter snapshots, alerts, events and audit trail in one SQLite file,
//! `keysweep.db`. Several processes may use it at once. `sqlite3 keysweep.db` shows it: the views `runs`,
//! `deleted_keys`, `audit`, `samples`, `alerts` and `events` (see `schema.rs`).
//!
//! [`StateFile`] implements the traits of `keysweep-storage`; nothing outside this crate knows SQL.
//!
//! The records of a run in progress are not here, except its spec and its result: the process that carries out the run
//! keeps them in memory. They would be hundreds of commits a second, and nothing but that process needs them.

mod audit;
mod commit;
mod entries;
mod error;
mod file;
mod import;
pub mod limits;
mod lock_holder;
mod names;
mod open;
mod retention;
mod schema;
mod search;
mod service_lock;
mod store;

pub use error::StateError;
pub use file::{FILE_NAME, StateFile};
pub use retention::Retention;
pub use search::{AuditQuery, AuditRow};
pub use service_lock::{RunningService, ServiceLock, ServiceNotice};
