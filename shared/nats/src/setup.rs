//! Creates missing streams and consumers in NATS, and compares existing ones with the required configuration. A
//! difference is reported and only changed on request.

use std::fmt;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{Config as ConsumerConfig, IntoConsumerConfig, PullConsumer};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, RequestErrorKind};
use async_nats::jetstream::stream::{Config, ConsumerError, ConsumerErrorKind};
use keysweep_model::limits::MESSAGE_BYTES_MAX;
use keysweep_storage::queue::Topic;
use serde::Serialize;
use strum::Display;

use super::connect::{Nats, NatsError, chain};
use super::layout::{WORKERS, bucket_stream};
use crate::limits::HEADER_BYTES;

/// The prefix of the streams of object store buckets.
const BUCKETS: &str = "OBJ_";

/// The state of one stream or consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// Its name; a consumer's includes its stream's.
    pub name: String,
    /// Its state.
    pub state: PieceState,
    /// Its differences from the required configuration.
    pub differences: Vec<Difference>,
}

/// The state of a stream or consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum PieceState {
    /// It has the required configuration.
    #[strum(serialize = "as needed")]
    Right,
    /// It does not exist.
    Missing,
    /// It was created.
    Created,
    /// It differs from the required configuration.
    Different,
    /// It was changed to the required configuration.
    Changed,
}

/// A setting that differs from the required one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The setting.
    pub setting: &'static str,
    /// The required value.
    pub wanted: String,
    /// The present value.
    pub found: String,
    /// Whether keysweep cannot work without it.
    pub essential: bool,
}

impl Piece {
    fn new(name: String, state: PieceState) -> Self {
        Self { name, state, differences: Vec::new() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is `{}`, not `{}`", self.setting, self.found, self.wanted)
    }
}

/// What [`setup`] may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupMode {
    /// Compare only.
    Compare,
    /// Create what is missing.
    Create,
    /// Create what is missing, and change what differs and can be changed.
    Apply,
}

/// Prepares NATS for a role: creates what is missing, and rejects an unusable configuration.
///
/// # Errors
/// When JetStream is unavailable, or a stream is unusable; the text contains both values.
pub async fn ensure(nats: &Nats) -> Result<(), NatsError> {
    check_room(nats)?;
    for piece in setup(nats, SetupMode::Create).await? {
        let essential: Vec<String> =
            piece.differences.iter().filter(|d| d.essential).map(ToString::to_string).collect();
        if !essential.is_empty() {
            return Err(NatsError::Layout(format!(
                "`{}` in NATS does not have the configuration that keysweep needs: {}; delete it if it is a leftover, or choose another `--nats-prefix`",
                piece.name,
                essential.join(", ")
            )));
        }
        for difference in &piece.differences {
            tracing::warn!(
                "`{}` in NATS: {difference}; `keysweep nats setup --apply` changes it",
                piece.name
            );
        }
    }
    Ok(())
}

/// Rejects a server whose message size limit is too small for keysweep: no run could use it.
///
/// # Errors
/// If so; the text contains both values.
pub fn check_room(nats: &Nats) -> Result<(), NatsError> {
    let (room, needed) = (nats.client.server_info().max_payload, MESSAGE_BYTES_MAX + HEADER_BYTES);
    if room >= needed {
        return Ok(());
    }
    Err(NatsError::Layout(format!(
        "NATS at `{}` accepts messages of {room} bytes at most, and keysweep needs {needed}; raise `max_payload` there",
        nats.urls()
    )))
}

/// Compares all streams and consumers.
///
/// # Errors
/// When JetStream does not reply, or rejects a request.
pub async fn setup(nats: &Nats, mode: SetupMode) -> Result<Vec<Piece>, NatsError> {
    let mut pieces = Vec::new();
    for wanted in nats.layout.streams() {
        pieces.push(stream(nats, &wanted, mode).await?);
    }
    for topic in [Topic::Tasks, Topic::Batches] {
        let stream = nats.layout.queue_stream(topic);
        // The consumers of a missing stream need no comparison.
        let missing = |piece: &Piece| piece.name == stream && piece.state == PieceState::Missing;
        if pieces.iter().any(missing) {
            continue;
        }
        pieces.push(consumer(nats, &stream, mode).await?);
    }
    Ok(pieces)
}

/// Compares the buckets for backups: those of `names`, and the one that the account has permissions for, if it exists.
///
/// # Errors
/// When JetStream does not reply, or rejects a request.
pub async fn buckets(nats: &Nats, names: &[String], mode: SetupMode) -> Result<Vec<Piece>, NatsError> {
    let usual = nats.layout.usual_bucket();
    let mut pieces = Vec::new();
    for name in names {
        pieces.push(stream(nats, &nats.layout.object_bucket(name), mode).await?);
    }
    if !names.contains(&usual) && find_stream(nats, &bucket_stream(&usual)).await?.is_some() {
        pieces.push(stream(nats, &nats.layout.object_bucket(&usual), mode).await?);
    }
    Ok(pieces)
}

async fn stream(nats: &Nats, wanted: &Config, mode: SetupMode) -> Result<Piece, NatsError> {
    let name = wanted.name.clone();
    let Some(found) = find_stream(nats, &name).await? else {
        if mode == SetupMode::Compare {
            return Ok(Piece::new(name, PieceState::Missing));
        }
        let created = nats.js.create_stream(wanted.clone()).await;
        // If another process was faster, it created the same.
        created.map(drop).map_err(|e| cannot_create(nats, &name, &e))?;
        return Ok(Piece::new(name, PieceState::Created));
    };
    let is_bucket = wanted.name.starts_with(BUCKETS);
    let differences =
        if is_bucket { bucket_differences(wanted, &found) } else { stream_differences(wanted, &found) };
    if differences.is_empty() {
        return Ok(Piece { name, state: PieceState::Right, differences });
    }
    if mode != SetupMode::Apply || differences.iter().any(|difference| difference.essential) {
        return Ok(Piece { name, state: PieceState::Different, differences });
    }
    let wanted = if is_bucket { bucket_changed_to(wanted, found) } else { changed_to(wanted, found) };
    let changed = nats.js.update_stream(wanted).await;
    changed.map_err(|e| request(nats, &format!("change the stream `{name}`"), &chain(&e)))?;
    Ok(Piece { name: name.clone(), state: PieceState::Changed, differences })
}

async fn find_stream(nats: &Nats, name: &str) -> Result<Option<Config>, NatsError> {
    match nats.js.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(e) => match e.kind() {
            GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Ok(None)
            }
            GetStreamErrorKind::JetStream(said) if off(said.error_code()) => Err(nats.no_jetstream()),
            GetStreamErrorKind::Request if no_responders(&e) => Err(nats.no_jetstream()),
            _ => Err(request(nats, &format!("query the stream `{name}`"), &chain(&e))),
        },
    }
}

pub(super) fn off(code: ErrorCode) -> bool {
    [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT].contains(&code)
}

/// Without JetStream, its API subjects have no responders.
pub(super) fn no_responders(error: &(dyn std::error::Error + 'static)) -> bool {
    let source = error.source();
    let request = source.and_then(|s| s.downcast_ref::<async_nats::jetstream::context::RequestError>());
    request.is_some_and(|e| e.kind() == RequestErrorKind::NoResponders)
}

fn cannot_create(
    nats: &Nats,
    name: &str,
    e: &async_nats::jetstream::context::CreateStreamError,
) -> NatsError {
    match e.kind() {
        CreateStreamErrorKind::JetStreamUnavailable => nats.no_jetstream(),
        CreateStreamErrorKind::JetStream(said) if off(said.error_code()) => nats.no_jetstream(),
        CreateStreamErrorKind::JetStream(said)
            if said.error_code() == ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED =>
        {
            NatsError::Layout(format!(
                "failed to create the stream `{name}` with the replicas of the settings: {said}; only a cluster supports several, so set `[nats] replicas` to 1"
            ))
        }
        CreateStreamErrorKind::JetStream(said) if full(said.error_code()) => NatsError::Layout(format!(
            "failed to create the stream `{name}`: {said}; keysweep's streams reserve {} MiB together: allow them in NATS (`max_file_store` or `max_memory_store` of the server, or the account's limit), or set less in `[nats] audit_bytes` and `queue_bytes`",
            nats.layout.bytes_set_aside() >> 20,
        )),
        _ => request(nats, &format!("create the stream `{name}`"), &chain(e)),
    }
}

/// A stream reserves its bytes when it is created, however little is in it.
fn full(code: ErrorCode) -> bool {
    let codes = [
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::MEMORY_RESOURCES_EXCEEDED,
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ];
    codes.contains(&code)
}

fn request(nats: &Nats, what: &str, cause: &str) -> NatsError {
    NatsError::Request { what: what.to_owned(), cause: nats.explain(cause) }
}

async fn consumer(nats: &Nats, stream: &str, mode: SetupMode) -> Result<Piece, NatsError> {
    let (name, wanted) = (format!("{stream} > {WORKERS}"), nats.layout.consumer());
    let found: Result<PullConsumer, _> = nats.js.get_consumer_from_stream(WORKERS, stream).await;
    let make = || async {
        let made = nats.js.create_consumer_on_stream(wanted.clone(), stream).await;
        made.map(drop).map_err(|e| request(nats, &format!("create the consumer `{name}`"), &chain(&e)))
    };
    let differences = match found {
        Ok(found) => {
            let wanted = wanted.clone().into_consumer_config();
            differences(consumer_rows(&wanted), consumer_rows(&found.cached_info().config))
        }
        Err(e) if !is_missing(&e) => {
            return Err(request(nats, &format!("query the consumer `{name}`"), &chain(&e)));
        }
        Err(_) if mode == SetupMode::Compare => return Ok(Piece::new(name, PieceState::Missing)),
        Err(_) => {
            make().await?;
            return Ok(Piece::new(name, PieceState::Created));
        }
    };
    let state = match (differences.is_empty(), mode) {
        (true, _) => PieceState::Right,
        (false, SetupMode::Apply) => {
            make().await?;
            PieceState::Changed
        }
        (false, _) => PieceState::Different,
    };
    Ok(Piece { name, state, differences })
}

fn is_missing(e: &ConsumerError) -> bool {
    matches!(e.kind(), ConsumerErrorKind::JetStream(said) if said.error_code() == ErrorCode::CONSUMER_NOT_FOUND)
}

/// `found` with everything changed that can be changed to `wanted`; other settings stay.
fn changed_to(wanted: &Config, found: Config) -> Config {
    Config {
        storage: wanted.storage,
        num_replicas: wanted.num_replicas,
        max_bytes: wanted.max_bytes,
        max_messages: wanted.max_messages,
        max_age: wanted.max_age,
        allow_rollup: wanted.allow_rollup,
        deny_delete: wanted.deny_delete,
        deny_purge: wanted.deny_purge,
        ..found
    }
}

/// The same for a bucket. The user chooses its sizes and its maximum age.
fn bucket_changed_to(wanted: &Config, found: Config) -> Config {
    Config { allow_direct: wanted.allow_direct, allow_rollup: wanted.allow_rollup, ..found }
}

fn bucket_differences(wanted: &Config, found: &Config) -> Vec<Difference> {
    let differences = stream_differences(wanted, found);
    let ours = |difference: &Difference| ["subjects", "direct get", "roll-up"].contains(&difference.setting);
    // All of them can be changed except the subjects.
    let weighed =
        |difference: Difference| Difference { essential: difference.setting == "subjects", ..difference };
    differences.into_iter().filter(ours).map(weighed).collect()
}

/// A setting with its value, and whether keysweep cannot work without it.
type Row = (&'static str, String, bool);

/// The differences of the settings `found` from `wanted`, which are in the same order. Pure.
fn differences<const N: usize>(wanted: [Row; N], found: [Row; N]) -> Vec<Difference> {
    let pairs = wanted.into_iter().zip(found).filter(|((_, wanted, _), (_, found, _))| wanted != found);
    pairs
        .map(|((setting, wanted, essential), (_, found, _))| Difference { setting, wanted, found, essential })
        .collect()
}

fn stream_differences(wanted: &Config, found: &Config) -> Vec<Difference> {
    differences(stream_rows(wanted), stream_rows(found))
}

fn stream_rows(config: &Config) -> [Row; 13] {
    [
        ("subjects", config.subjects.join(" "), true),
        ("retention", word(config.retention), true),
        ("direct get", config.allow_direct.to_string(), true),
        ("messages per subject", unlimited(config.max_messages_per_subject), true),
        ("discard", word(config.discard), true),
        ("storage", word(config.storage), false),
        ("replicas", config.num_replicas.to_string(), false),
        ("bytes", unlimited(config.max_bytes), false),
        ("messages", unlimited(config.max_messages), false),
        ("age", format!("{} s", config.max_age.as_secs()), false),
        ("roll-up", allowed(config.allow_rollup), false),
        ("deletion", allowed(!config.deny_delete), false),
        ("purge", allowed(!config.deny_purge), false),
    ]
}

fn allowed(allowed: bool) -> String {
    if allowed { "allowed" } else { "denied" }.to_owned()
}

/// The name of a policy in NATS.
fn word(policy: impl fmt::Debug) -> String {
    format!("{policy:?}").to_ascii_lowercase()
}

fn unlimited(limit: i64) -> String {
    if limit < 0 { "unlimited".to_owned() } else { limit.to_string() }
}

fn consumer_rows(config: &ConsumerConfig) -> [Row; 4] {
    [
        ("acknowledgement", word(config.ack_policy), true),
        ("filter", config.filter_subject.clone(), true),
        ("deliveries", unlimited(config.max_deliver), true),
        ("ack deadline", format!("{} ms", config.ack_wait.as_millis()), false),
    ]
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::RetentionPolicy;

    use super::super::access::NatsOptions;
    use super::super::layout::Layout;
    use super::*;

    #[test]
    fn differences_are_reported_and_essential_ones_marked() {
        let layout = Layout::new(&NatsOptions::open("nats://x"));
        let wanted = layout.streams().swap_remove(0);
        assert_eq!(stream_differences(&wanted, &wanted), []);
        let found = Config { retention: RetentionPolicy::Limits, max_bytes: 7, ..wanted.clone() };
        let differences = stream_differences(&wanted, &found);
        let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "retention is `limits`, not `workqueue`");
        assert_eq!(texts[1], format!("bytes is `7`, not `{}`", wanted.max_bytes));
        assert_eq!(differences.iter().map(|d| d.essential).collect::<Vec<_>>(), [true, false]);
    }
}
