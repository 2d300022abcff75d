//! A batch of stale keys at a server of its own.

use std::ops::{Deref, DerefMut};

pub(crate) use keysweep_testkit::contracts::guard::{
    Backend, GuardBench, GuardServer, counted, since, window,
};

/// What [`GuardBench`] offers, and what only real servers answer.
pub(crate) struct Bench(GuardBench);

impl Bench {
    pub(crate) async fn new(backend: Backend, keys: &[&[u8]]) -> Self {
        Self(GuardBench::new(GuardServer::start().await, backend, keys).await)
    }
}

impl Deref for Bench {
    type Target = GuardBench;

    fn deref(&self) -> &GuardBench {
        &self.0
    }
}

impl DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut GuardBench {
        &mut self.0
    }
}
