//! The deployments that a worker has connections to, by alias, connected at first use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::cluster::{Access, Deployment, Fault, FaultKind};
use crate::env::Env;
use crate::ids::{Alias, NodeId};

/// See the module.
pub struct Deployments {
    access: Arc<BTreeMap<Alias, Access>>,
    known: Mutex<Known>,
    /// Aliases that were asked for in vain.
    unknown: Mutex<BTreeSet<Alias>>,
}

/// By alias and database; a cell is filled once, so that two tasks do not connect twice.
type Known = BTreeMap<(Alias, u32), Arc<OnceCell<Arc<Deployment>>>>;

impl Deployments {
    /// None connected yet.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self { access: Arc::clone(&env.access), known: Mutex::default(), unknown: Default::default() }
    }

    /// The deployment that this process knows as `alias`, for its database `db`.
    pub async fn get(&self, alias: &Alias, db: u32) -> Result<Arc<Deployment>, Fault> {
        let access = self.access.get(alias).ok_or_else(|| self.unknown(alias))?.clone();
        let access = Access { db, ..access };
        let cell = Arc::clone(self.known().entry((alias.clone(), db)).or_default());
        // One that does not answer keeps nobody from the others.
        let connect = || async { Deployment::discover(access).await.map(Arc::new) };
        cell.get_or_try_init(connect).await.cloned()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is asked of us is for others, who may know the way: to us the deployment is out of reach.
    fn unknown(&self, alias: &Alias) -> Fault {
        if self.unknown.lock().unwrap_or_else(PoisonError::into_inner).insert(alias.clone()) {
            tracing::warn!("no `[redis.{alias}]` in our settings; work on it is left to others");
        }
        Fault::new(FaultKind::Stranger, alias.as_str(), "this worker's configuration has no such alias")
    }

    /// What the failure `fault` at `node` means; see [`Deployment::look_again`].
    pub async fn look_again(&self, alias: &Alias, db: u32, node: &NodeId, fault: Fault) -> Fault {
        let cell = self.known().get(&(alias.clone(), db)).cloned();
        match cell.as_ref().and_then(|cell| cell.get()) {
            Some(deployment) => deployment.look_again(node, fault).await,
            None => fault,
        }
    }
}
