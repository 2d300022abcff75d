//! A bucket of the object store, for files that are written once.

use std::fmt;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::object_store::ObjectStore;
use async_nats::jetstream::stream::Config;
use futures_util::TryStreamExt;
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;

use super::connect::{Nats, chain};

/// See the module. What is stored is stored by the server when a call returns; whether it is on a disk then is the
/// server's business (`sync_interval`).
pub struct Bucket {
    nats: Nats,
    name: String,
    store: OnceCell<ObjectStore>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Bucket {
    /// The bucket of this name: letters, digits, `-` and `_`.
    #[must_use]
    pub fn new(nats: Nats, name: impl Into<String>) -> Self {
        Self { nats, name: name.into(), store: OnceCell::new() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it; makes it if it is missing.
    ///
    /// # Errors
    /// What NATS said.
    pub async fn make(&self) -> Result<(), String> {
        let stream = format!("OBJ_{}", self.name);
        match self.nats.js.get_stream(&stream).await {
            Ok(_) => return Ok(()),
            Err(e) if matches!(e.kind(), GetStreamErrorKind::JetStream(_)) => {}
            Err(e) => return Err(self.why(&e)),
        }
        // As the nats CLI makes it. The library's own call asks what old servers answer in another form.
        let config = Config {
            name: stream,
            subjects: vec![format!("$O.{}.C.>", self.name), format!("$O.{}.M.>", self.name)],
            num_replicas: self.nats.layout.replicas(),
            allow_rollup: true,
            allow_direct: true,
            discard: async_nats::jetstream::stream::DiscardPolicy::New,
            ..Config::default()
        };
        let made = self.nats.js.create_stream(config).await;
        let way_out = || format!("; `nats object add {}` makes it", self.name);
        made.map(drop).map_err(|e| self.why(&e) + &way_out())
    }

    async fn open(&self) -> Result<&ObjectStore, String> {
        let open = || async { self.nats.js.get_object_store(&self.name).await.map_err(|e| self.why(&e)) };
        self.store.get_or_try_init(open).await
    }

    /// Stores an object, as a whole; makes the bucket if it is missing.
    ///
    /// # Errors
    /// What NATS said.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if self.store.get().is_none() {
            self.make().await?;
        }
        let mut rest = bytes;
        self.open().await?.put(name, &mut rest).await.map(drop).map_err(|e| self.why(&e))
    }

    /// The names of all objects.
    ///
    /// # Errors
    /// What NATS said.
    pub async fn list(&self) -> Result<Vec<String>, String> {
        let objects = self.open().await?.list().await.map_err(|e| self.why(&e))?;
        objects.map_ok(|object| object.name).try_collect().await.map_err(|e| self.why(&e))
    }

    /// The bytes of an object, `most` of them at most. The client checks them by a digest.
    ///
    /// # Errors
    /// What NATS said, or that there are more.
    pub async fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, String> {
        let object = self.open().await?.get(name).await.map_err(|e| self.why(&e))?;
        let mut bytes = Vec::new();
        object.take(most + 1).read_to_end(&mut bytes).await.map_err(|e| chain(&e))?;
        if bytes.len() as u64 > most {
            Err(format!("`{name}` has more than {most} bytes"))
        } else {
            Ok(bytes)
        }
    }

    fn why(&self, error: &(dyn std::error::Error + 'static)) -> String {
        self.nats.explain(chain(error))
    }
}
