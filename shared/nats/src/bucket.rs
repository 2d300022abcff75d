//! A bucket of the object store, for files that are written once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::object_store::{ObjectInfo, ObjectOptions};
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::wire::from_json;
use keysweep_storage::object_store::{ObjectBucket, ObjectStore};
use ring::digest::{SHA256, digest};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::connect::{Nats, chain};
use super::layout::bucket_stream;

/// Bytes of one message of an object, the chunk size of NATS clients.
const CHUNK_BYTES: usize = 128 << 10;

/// A bucket of the object store. An object is stored by the server when `put` returns; when it reaches the disk
/// depends on the server (`sync_interval`).
///
/// Objects are written and read here, in the format that all NATS clients share. The client library's own object store
/// needs more rights than keysweep grants: it rolls up (with which a writer could empty the bucket), purges, and reads
/// through consumers.
pub(super) struct Bucket {
    nats: Nats,
    name: String,
    stream: OnceCell<Stream>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Bucket {
    async fn make(&self) -> Result<(), String> {
        let config = match self.nats.js.get_stream(bucket_stream(&self.name)).await {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(e) if matches!(e.kind(), GetStreamErrorKind::JetStream(_)) => {
                let made = self.nats.js.create_stream(self.nats.layout.object_bucket(&self.name)).await;
                let way_out = || {
                    format!(
                        "; `keysweep nats setup --apply` creates it if a job has `backup = \"nats://{}\"`",
                        self.name
                    )
                };
                return made.map(drop).map_err(|e| self.why(&e) + &way_out());
            }
            Err(e) => return Err(self.why(&e)),
        };
        if config.allow_rollup {
            tracing::warn!(
                "the bucket `{}` allows roll-ups, so a reaper could empty it; `keysweep nats setup --apply` denies them",
                self.name
            );
        }
        Ok(())
    }

    async fn stream(&self) -> Result<&Stream, String> {
        let open =
            || async { self.nats.js.get_stream(bucket_stream(&self.name)).await.map_err(|e| self.why(&e)) };
        self.stream.get_or_try_init(open).await
    }

    /// An older object of the same name stays in the bucket.
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if self.stream.get().is_none() {
            self.make().await?;
            self.stream().await?;
        }
        let nuid = Uuid::now_v7().simple().to_string();
        let chunks = bytes.chunks(CHUNK_BYTES);
        let info = ObjectInfo {
            name: name.to_owned(),
            description: None,
            metadata: Default::default(),
            headers: None,
            options: Some(ObjectOptions { link: None, max_chunk_size: Some(CHUNK_BYTES) }),
            bucket: self.name.clone(),
            nuid,
            size: bytes.len(),
            chunks: chunks.len(),
            modified: None,
            digest: Some(sha256(bytes)),
            deleted: false,
        };
        for chunk in chunks {
            self.publish(self.chunks(&info), chunk.to_vec()).await?;
        }
        // The object exists once its metadata is published.
        let meta = serde_json::to_vec(&info).map_err(|e| e.to_string())?;
        self.publish(self.meta(name), meta).await
    }

    async fn publish(&self, subject: String, payload: Vec<u8>) -> Result<(), String> {
        let message = PublishMessage::build().payload(payload.into());
        let sent = self.nats.js.send_publish(subject, message).await.map_err(|e| self.why(&e))?;
        sent.await.map(drop).map_err(|e| self.why(&e))
    }

    async fn list(&self) -> Result<Vec<String>, String> {
        let (all, mut after, mut there) = (format!("$O.{}.M.>", self.name), 0, BTreeMap::new());
        while let Some(message) = self.next(&all, after).await? {
            after = message.sequence;
            // A message that is not object metadata is ignored.
            if let Ok(info) = from_json::<ObjectInfo>(&message.payload) {
                there.insert(info.name, info.deleted);
            }
        }
        Ok(there.into_iter().filter(|(_, deleted)| !deleted).map(|(name, _)| name).collect())
    }

    async fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, String> {
        let found = self.stream().await?.direct_get_last_for_subject(self.meta(name)).await;
        let message = found.map_err(|e| format!("`{name}`: {}", self.why(&e)))?;
        let info: ObjectInfo = from_json(&message.payload).map_err(|e| format!("`{name}`: {e}"))?;
        if info.deleted || !info.nuid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("`{name}` is not a readable object"));
        }
        let (subject, mut after, mut bytes) = (self.chunks(&info), 0, Vec::new());
        while bytes.len() < info.size
            && let Some(message) = self.next(&subject, after).await?
        {
            after = message.sequence;
            bytes.extend_from_slice(&message.payload);
            if bytes.len() as u64 > most {
                return Err(format!("`{name}` has more than {most} bytes"));
            }
        }
        if info.digest.is_none_or(|wanted| wanted == sha256(&bytes)) && bytes.len() == info.size {
            Ok(bytes)
        } else {
            Err(format!("`{name}` does not match its digest"))
        }
    }

    /// The first message of `subject` after a sequence.
    async fn next(&self, subject: &str, after: u64) -> Result<Option<StreamMessage>, String> {
        match self.stream().await?.direct_get_next_for_subject(subject, Some(after + 1)).await {
            Ok(message) => Ok(Some(message)),
            Err(e) if e.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.why(&e)),
        }
    }

    fn chunks(&self, info: &ObjectInfo) -> String {
        format!("$O.{}.C.{}", self.name, info.nuid)
    }

    fn meta(&self, name: &str) -> String {
        format!("$O.{}.M.{}", self.name, BASE64_URL_SAFE.encode(name))
    }

    fn why(&self, error: &(dyn std::error::Error + 'static)) -> String {
        self.nats.explain(chain(error))
    }
}

impl ObjectStore for Nats {
    fn bucket(&self, name: &str) -> Arc<dyn ObjectBucket> {
        Arc::new(Bucket { nats: self.clone(), name: name.to_owned(), stream: OnceCell::new() })
    }
}

impl ObjectBucket for Bucket {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&self) -> BoxFuture<'_, Result<(), String>> {
        self.make().boxed()
    }

    fn put<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> BoxFuture<'a, Result<(), String>> {
        self.put(name, bytes).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        self.list().boxed()
    }

    fn get<'a>(&'a self, name: &'a str, bytes_max: u64) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        self.get(name, bytes_max).boxed()
    }
}

/// A digest in the format of the object store.
fn sha256(bytes: &[u8]) -> String {
    format!("SHA-256={}", BASE64_URL_SAFE.encode(digest(&SHA256, bytes)))
}
