//! The object store of a world: a bucket that many processes write to, and that fails now and then.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_backup::decode;
use keysweep_storage::object_store::{ObjectBucket, ObjectStore};

use crate::broker::BrokerLink;
use crate::coverage::Failure;

/// The object store as one process sees it. What is written is not read back: the witness remembers it.
#[derive(Clone)]
pub(crate) struct SimObjects {
    pub(crate) link: BrokerLink,
}

impl ObjectStore for SimObjects {
    fn bucket(&self, name: &str) -> Arc<dyn ObjectBucket> {
        Arc::new(SimBucket { name: name.to_owned(), objects: self.clone() })
    }
}

struct SimBucket {
    name: String,
    objects: SimObjects,
}

impl std::fmt::Debug for SimBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl SimBucket {
    fn failed(&self) -> Result<(), String> {
        let link = &self.objects.link;
        if !link.happens(link.rates.broker().unsaved) {
            return Ok(());
        }
        link.witness.reached(Failure::Backup);
        Err("no space left, as simulated".to_owned())
    }

    async fn store(&self, bytes: &[u8]) -> Result<(), String> {
        self.failed()?;
        let mut seen = self.objects.link.witness.seen();
        for entry in decode(bytes).entries {
            seen.saved.entry(entry.key.as_bytes().to_vec()).or_default().push(entry.value);
        }
        Ok(())
    }
}

impl ObjectBucket for SimBucket {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&self) -> BoxFuture<'_, Result<(), String>> {
        self.objects.link.sent(async { Ok(()) }, "no answer, as simulated".to_owned()).boxed()
    }

    fn put<'a>(&'a self, _name: &'a str, bytes: &'a [u8]) -> BoxFuture<'a, Result<(), String>> {
        self.objects.link.sent(self.store(bytes), "no answer, as simulated".to_owned()).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn get<'a>(&'a self, name: &'a str, _bytes_max: u64) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        async move { Err(format!("`{name}` is not kept")) }.boxed()
    }
}
