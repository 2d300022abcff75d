//! The deployments that a worker has connections to, by alias, connected at first use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::cluster::{ConnectOptions, RedisClient, RedisError, RedisErrorKind};
use crate::context::Context;
use crate::ids::{Alias, NodeId};

/// See the module.
pub struct RedisClients {
    access: Arc<BTreeMap<Alias, ConnectOptions>>,
    known: Mutex<ClientMap>,
    /// Aliases that were asked for in vain.
    unknown: Mutex<BTreeSet<Alias>>,
}

/// By alias and database; a cell is filled once, so that two tasks do not connect twice.
type ClientMap = BTreeMap<(Alias, u32), Arc<OnceCell<Arc<RedisClient>>>>;

impl RedisClients {
    /// None connected yet.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        Self { access: Arc::clone(&context.access), known: Mutex::default(), unknown: Default::default() }
    }

    /// The deployment that this process knows as `alias`, for its database `db`.
    pub async fn get(&self, alias: &Alias, db: u32) -> Result<Arc<RedisClient>, RedisError> {
        let access = self.access.get(alias).ok_or_else(|| self.unknown(alias))?.clone();
        let access = ConnectOptions { db, ..access };
        let cell = Arc::clone(self.known().entry((alias.clone(), db)).or_default());
        // One that does not answer keeps nobody from the others.
        let connect = || async { RedisClient::discover(access).await.map(Arc::new) };
        cell.get_or_try_init(connect).await.cloned()
    }

    fn known(&self) -> MutexGuard<'_, ClientMap> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is asked of us is for others, who may know the way: to us the deployment is out of reach.
    fn unknown(&self, alias: &Alias) -> RedisError {
        if self.unknown.lock().unwrap_or_else(PoisonError::into_inner).insert(alias.clone()) {
            tracing::warn!("no `[redis.{alias}]` in our settings; work on it is left to others");
        }
        RedisError::new(
            RedisErrorKind::WrongDeployment,
            alias.as_str(),
            "this worker's configuration has no such alias",
        )
    }

    /// What the failure `fault` at `node` means; see [`RedisClient::refresh_and_classify`].
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
