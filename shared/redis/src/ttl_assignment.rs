//! The assignment of a TTL experiment, as the application reads it: a small hash at one server. It is the only key that an
//! experiment writes.

use keysweep_model::printable::one_line;
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::RedisError;
use super::info::Info;
use super::multi_exec::transaction;
use super::reply::text;

/// The field with the id of the experiment.
pub const ID_FIELD: &str = "id";

/// How often a change is tried again because another client changed the hash meanwhile.
const TRIES_MAX: u32 = 5;

/// What is at the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Nothing.
    None,
    /// The assignment of the experiment with this id.
    Id(String),
    /// Another type, or a hash without an id.
    Foreign,
}

/// The key of the assignment `name`.
#[must_use]
pub fn assignment_key(name: &str) -> Vec<u8> {
    format!("keysweep:ttl:{name}").into_bytes()
}

/// Reads what is at `key`.
///
/// # Errors
/// When the server fails.
pub async fn published(conn: &Conn, key: &[u8]) -> Result<Published, RedisError> {
    let mut batch = Batch::new();
    batch.add(&[b"HGET", key, ID_FIELD.as_bytes()]);
    batch.add(&[b"EXISTS", key]);
    let replies = conn.batch(batch).await?;
    let [id, exists] = replies.as_slice() else { return Err(RedisError::unexpected(conn.address(), "HGET")) };
    match (id, exists) {
        (Value::BulkString(id), _) => Ok(Published::Id(one_line(&String::from_utf8_lossy(id)))),
        (Value::Nil, Value::Int(0)) => Ok(Published::None),
        (Value::Nil, Value::Int(_)) => Ok(Published::Foreign),
        (other, _) => match conn.fault(other) {
            Some(fault) if fault.detail.starts_with("WRONGTYPE") => Ok(Published::Foreign),
            Some(fault) => Err(fault),
            None => Err(RedisError::unexpected(conn.address(), "HGET")),
        },
    }
}

/// Publishes `fields`, which have the id, until `until_ms` since the epoch: then the server removes them. Only where there is
/// nothing, or what this experiment published before. Returns what is there instead.
///
/// # Errors
/// When the server fails.
pub async fn publish(
    conn: &Conn,
    key: &[u8],
    id: &str,
    fields: &[(&str, String)],
    until_ms: u64,
) -> Result<Option<Published>, RedisError> {
    let mut set = vec![b"HSET".to_vec(), key.to_vec()];
    set.extend(fields.iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.as_bytes().to_vec()]));
    let expire = vec![b"PEXPIREAT".to_vec(), key.to_vec(), until_ms.to_string().into_bytes()];
    let ours = |there: &Published| *there == Published::None || *there == Published::Id(id.to_owned());
    change(conn, key, ours, &[set, expire]).await
}

/// Removes what the experiment `id` published. Returns what is there instead: nothing, or another experiment.
///
/// # Errors
/// When the server fails.
pub async fn withdraw(conn: &Conn, key: &[u8], id: &str) -> Result<Option<Published>, RedisError> {
    let ours = |there: &Published| *there == Published::Id(id.to_owned());
    change(conn, key, ours, &[vec![b"UNLINK".to_vec(), key.to_vec()]]).await
}

/// Runs `commands` if what is at `key` is `allowed`, in one step; otherwise returns what is there.
async fn change(
    conn: &Conn,
    key: &[u8],
    allowed: impl Fn(&Published) -> bool,
    commands: &[Vec<Vec<u8>>],
) -> Result<Option<Published>, RedisError> {
    let alone = conn.dedicated().await?;
    for _ in 0..TRIES_MAX {
        alone.command(&[b"WATCH", key]).await?;
        let there = published(&alone, key).await?;
        if !allowed(&there) {
            return Ok(Some(there));
        }
        match transaction(&alone, commands).await? {
            Some(None) => return Ok(None),
            Some(Some(fault)) => return Err(fault),
            None => {}
        }
    }
    Err(RedisError::unexpected(conn.address(), "EXEC"))
}

/// What a server reports that guards of an experiment watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFigures {
    /// Identifies the process: counters begin again with another.
    pub process: String,
    /// Bytes in use.
    pub used_memory: Option<u64>,
    /// The limit, if there is one.
    pub max_memory: Option<u64>,
    /// Keys that were evicted.
    pub evicted: u64,
    /// Errors that were replied, redirections and unknown scripts aside.
    pub errors: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// The name and version of the server, if it cannot tell when a key expires.
    pub too_old: Option<String>,
}

/// Errors that clients of a cluster get in normal operation.
const EXPECTED_ERRORS: [&str; 4] = ["MOVED", "ASK", "NOSCRIPT", "TRYAGAIN"];

/// Reads a server's figures.
///
/// # Errors
/// When the server fails.
pub async fn server_figures(conn: &Conn) -> Result<ServerFigures, RedisError> {
    // Redis 6.2 accepts one section per call, so all sections are requested.
    let info = Info::parse(text(conn, "INFO", conn.info_text("INFO all").await?)?);
    let status = super::node::of_info(conn, 0, &info)?;
    let number = |name: &str| info.number(name).unwrap_or_default();
    let expected =
        EXPECTED_ERRORS.map(|kind| info.part(&format!("errorstat_{kind}"), "count").unwrap_or_default());
    Ok(ServerFigures {
        process: status.process,
        used_memory: status.used_memory,
        max_memory: status.max_memory,
        evicted: number("evicted_keys"),
        errors: number("total_error_replies").saturating_sub(expected.iter().sum()),
        hits: number("keyspace_hits"),
        too_old: (!status.reports_expiry).then_some(status.version),
    })
}
