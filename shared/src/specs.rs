//! The specs of runs, read once per worker: they never change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::env::Env;
use crate::ids::RunId;
use crate::messages::RunSpec;
use crate::records::RecordError;

/// Runs remembered at a time; older ones are read again if somebody asks.
const KEPT: usize = 16;

/// See the module.
pub struct Specs {
    env: Env,
    known: Mutex<BTreeMap<RunId, Arc<RunSpec>>>,
}

impl Specs {
    /// None read yet.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self { env: env.clone(), known: Mutex::default() }
    }

    /// The spec of `run`; `None` if there is no such run.
    pub async fn get(&self, run: RunId) -> Result<Option<Arc<RunSpec>>, RecordError> {
        if let Some(spec) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&run) {
            return Ok(Some(Arc::clone(spec)));
        }
        let Some(spec) = self.env.records(run).spec().await?.map(Arc::new) else { return Ok(None) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(run, Arc::clone(&spec));
        if known.len() > KEPT {
            // Run ids are ordered by time.
            known.pop_first();
        }
        Ok(Some(spec))
    }
}
