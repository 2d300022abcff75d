//! The deployments that a worker has connections to, by alias, connected at first use.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::cluster::{Access, Deployment, Fault, FaultKind};
use crate::env::Env;
use crate::ids::{Alias, NodeId};

/// See the module.
pub struct Deployments {
    access: Arc<BTreeMap<Alias, Access>>,
    name: &'static str,
    /// Held while connecting, so that two tasks do not do it twice.
    known: Mutex<BTreeMap<(Alias, u32), Arc<Deployment>>>,
}

impl Deployments {
    /// None connected yet; `name` will name the connections.
    #[must_use]
    pub fn new(env: &Env, name: &'static str) -> Self {
        Self { access: Arc::clone(&env.access), name, known: Mutex::default() }
    }

    /// The deployment that this process knows as `alias`, for its database `db`.
    pub async fn get(&self, alias: &Alias, db: u32) -> Result<Arc<Deployment>, Fault> {
        let mut known = self.known.lock().await;
        let place = (alias.clone(), db);
        if let Some(deployment) = known.get(&place) {
            return Ok(Arc::clone(deployment));
        }
        let unknown = || {
            Fault::new(FaultKind::Stranger, alias.as_str(), "this worker's configuration has no such alias")
        };
        let access = Access { db, ..self.access.get(alias).ok_or_else(unknown)?.clone() };
        let deployment = Arc::new(Deployment::discover(access, self.name).await?);
        known.insert(place, Arc::clone(&deployment));
        Ok(deployment)
    }

    /// Forgets the connection to a node that failed.
    pub async fn forget(&self, alias: &Alias, db: u32, node: &NodeId) {
        if let Some(deployment) = self.known.lock().await.get(&(alias.clone(), db)) {
            deployment.forget(node);
        }
    }
}
