//! Queries whether the fields of a hash expire (from Redis 7.4 and Valkey 9 on). A hash without a TTL of its own counts
//! as a key with a TTL if all its fields expire. At most [`FIELDS_QUERIED_MAX`] fields are queried, chosen by the server
//! at random: a large hash in which only those expire is misjudged as one whose fields all do.

use keysweep_model::messages::Lookups;
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::reply_size::ReplyUnit;
use crate::limits::FIELDS_QUERIED_MAX;

/// The field TTLs of a key without TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldTtls {
    /// It is not a hash, or has a field that does not expire.
    Lasting,
    /// All queried fields expire, or there are none left.
    Expire,
    /// The key no longer exists.
    Gone,
    /// Another node serves its slot now.
    Moved,
}

/// Queries each of `keys`, at most [`crate::limits::FIELDS_KEYS_AT_ONCE`], and returns the lookups that this took.
///
/// # Errors
/// When the server fails, or does not allow it.
pub async fn ask(conn: &Conn, keys: &[&[u8]]) -> Result<(Vec<FieldTtls>, Lookups), RedisError> {
    let mut scan =
        FieldTtlScan { conn, found: vec![FieldTtls::Lasting; keys.len()], lookups: Lookups::default() };
    let mut batch = Batch::new();
    keys.iter().for_each(|key| batch.add(&[b"TYPE", key]));
    let mut hashes = Vec::new();
    for (at, reply) in conn.batch(batch).await?.into_iter().enumerate() {
        match reply {
            Value::SimpleString(kind) => match kind.as_str() {
                "none" => scan.count(at, false, FieldTtls::Gone),
                "hash" => {
                    scan.count(at, true, FieldTtls::Lasting);
                    hashes.push(at);
                }
                _ => scan.count(at, true, FieldTtls::Lasting),
            },
            reply => scan.refused(at, &reply, "TYPE")?,
        }
    }
    let mut named = Vec::new();
    for (at, reply) in scan.names(keys, &hashes).await? {
        match reply {
            Value::Array(fields) if !fields.is_empty() && fields.len() <= FIELDS_QUERIED_MAX => {
                scan.count_read(at, true, FieldTtls::Lasting);
                named.push((at, fields));
            }
            // The fields have expired meanwhile, and the hash with them.
            Value::Array(fields) if fields.is_empty() => scan.count_read(at, false, FieldTtls::Expire),
            Value::Nil => scan.count_read(at, false, FieldTtls::Expire),
            reply => scan.refused(at, &reply, "HRANDFIELD")?,
        }
    }
    let mut batch = Batch::new();
    for (at, fields) in &named {
        let (count, names) = (fields.len().to_string(), fields.iter().filter_map(name));
        let head: [&[u8]; 4] = [b"HPTTL", keys[*at], b"FIELDS", count.as_bytes()];
        batch.add(&head.into_iter().chain(names).collect::<Vec<_>>());
    }
    for ((at, _), reply) in named.iter().zip(conn.batch(batch).await?) {
        match reply {
            Value::Array(ttls) => {
                let persistent = ttls.contains(&Value::Int(-1));
                let there = ttls.iter().any(|ttl| *ttl != Value::Int(-2));
                scan.count(*at, there, if persistent { FieldTtls::Lasting } else { FieldTtls::Expire });
            }
            reply => scan.refused(*at, &reply, "HPTTL")?,
        }
    }
    Ok((scan.found, scan.lookups))
}

fn name(field: &Value) -> Option<&[u8]> {
    if let Value::BulkString(name) = field { Some(name) } else { None }
}

/// The results so far.
struct FieldTtlScan<'a> {
    conn: &'a Conn,
    found: Vec<FieldTtls>,
    lookups: Lookups,
}

impl FieldTtlScan<'_> {
    /// The HRANDFIELD replies for the `hashes` among `keys`, in as many writes as their sizes need, because field names
    /// may be long.
    async fn names(&self, keys: &[&[u8]], hashes: &[usize]) -> Result<Vec<(usize, Value)>, RedisError> {
        let (mut named, mut left) = (Vec::new(), hashes);
        while !left.is_empty() {
            let fields = self.conn.fitting(ReplyUnit::Field, FIELDS_QUERIED_MAX * left.len());
            let each = fields.min(FIELDS_QUERIED_MAX);
            let (now, later) = left.split_at((fields / each).min(left.len()));
            let (mut batch, most) = (Batch::new(), each.to_string());
            now.iter().for_each(|at| batch.add(&[b"HRANDFIELD", keys[*at], most.as_bytes()]));
            let request = (ReplyUnit::Field, (now.len() * each) as u64);
            named.extend(now.iter().copied().zip(self.conn.sized(request, batch).await?));
            left = later;
        }
        Ok(named)
    }

    /// Records a lookup of key number `at`, a hit if `there`.
    fn count(&mut self, at: usize, there: bool, fields: FieldTtls) {
        self.lookups += Lookups::of(u64::from(there), u64::from(!there));
        self.found[at] = fields;
    }

    /// The same for HRANDFIELD, which counts as an application's read.
    fn count_read(&mut self, at: usize, there: bool, fields: FieldTtls) {
        self.count(at, there, fields);
        self.lookups.reads += 1;
    }

    /// Handles an error reply: `Err` if it concerns more than this key.
    fn refused(&mut self, at: usize, reply: &Value, command: &str) -> Result<(), RedisError> {
        let unexpected = || RedisError::unexpected(self.conn.address(), command);
        let fault = self.conn.fault(reply).unwrap_or_else(unexpected);
        match fault.kind {
            RedisErrorKind::Moved => self.found[at] = FieldTtls::Moved,
            // Another type replaced it; the server counts the lookup before it checks the type.
            _ if fault.detail.starts_with("WRONGTYPE") => self.count(at, true, FieldTtls::Lasting),
            _ => return Err(fault),
        }
        Ok(())
    }
}
