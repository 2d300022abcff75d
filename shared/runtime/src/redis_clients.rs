//! The clients of a worker, by deployment alias, connected on first use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keysweep_model::ids::{Alias, NodeId};
use keysweep_redis::{ConnectOptions, RedisClient, RedisError, RedisErrorKind};
use tokio::sync::OnceCell;

use crate::context::Context;

/// The clients of a worker.
pub struct RedisClients {
    access: Arc<BTreeMap<Alias, ConnectOptions>>,
    known: Mutex<ClientMap>,
    /// Unknown aliases that were requested.
    unknown: Mutex<BTreeSet<Alias>>,
}

/// By alias and database; each cell is initialized once, so that two tasks do not connect twice.
type ClientMap = BTreeMap<(Alias, u32), Arc<OnceCell<Arc<RedisClient>>>>;

impl RedisClients {
    /// No clients yet.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        Self { access: Arc::clone(&context.access), known: Mutex::default(), unknown: Default::default() }
    }

    /// The client of the deployment `alias`, for its database `db`.
    pub async fn get(&self, alias: &Alias, db: u32) -> Result<Arc<RedisClient>, RedisError> {
        let access = self.access.get(alias).ok_or_else(|| self.unknown(alias))?.clone();
        let access = ConnectOptions { db, ..access };
        let cell = Arc::clone(self.known().entry((alias.clone(), db)).or_default());
        // A deployment that does not answer must not block the others.
        let connect = || async { RedisClient::discover(access).await.map(Arc::new) };
        cell.get_or_try_init(connect).await.cloned()
    }

    fn known(&self) -> MutexGuard<'_, ClientMap> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another worker may have the alias: for this one, the deployment is unreachable.
    fn unknown(&self, alias: &Alias) -> RedisError {
        if self.unknown.lock().unwrap_or_else(PoisonError::into_inner).insert(alias.clone()) {
            tracing::warn!(
                "no `[redis.{alias}]` in the settings of this process; its work is left to other workers"
            );
        }
        RedisError::new(
            RedisErrorKind::WrongDeployment,
            alias.as_str(),
            "this worker's configuration has no such alias",
        )
    }

    /// Classifies the error `fault` at `node`; see [`RedisClient::refresh_and_classify`].
    pub async fn refresh_and_classify(
        &self,
        alias: &Alias,
        db: u32,
        node: &NodeId,
        fault: RedisError,
    ) -> RedisError {
        let cell = self.known().get(&(alias.clone(), db)).cloned();
        match cell.as_ref().and_then(|cell| cell.get()) {
            Some(deployment) => deployment.refresh_and_classify(node, fault).await,
            None => fault,
        }
    }
}
