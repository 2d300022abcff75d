//! Whether the fields of a hash expire (from Redis 7.4 and Valkey 9 on). A hash without a TTL of its own is as good as one
//! with a TTL if all of them do. At most [`FIELDS_ASKED_MAX`] of them are asked, chosen by the server at random: a large
//! hash of which these expire, but not all, is taken for one whose fields do.

use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::reply_size::ReplyUnit;
use crate::limits::FIELDS_ASKED_MAX;
use crate::messages::Lookups;

/// What is known of a key without TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldTtls {
    /// It is no hash, or has a field that does not expire.
    Lasting,
    /// All fields that were asked expire, or there are none left.
    Expire,
    /// There is no such key any more.
    Gone,
    /// Its slot is served elsewhere now.
    Moved,
}

/// Asks about each of `keys`, which should be no more than [`crate::limits::FIELDS_KEYS_AT_ONCE`]; and the look-ups that
/// this took.
///
/// # Errors
/// When the server fails, or does not allow it.
pub async fn ask(conn: &Conn, keys: &[&[u8]]) -> Result<(Vec<FieldTtls>, Lookups), RedisError> {
    let mut asking =
        FieldTtlScan { conn, found: vec![FieldTtls::Lasting; keys.len()], lookups: Lookups::default() };
    let mut batch = Batch::new();
    keys.iter().for_each(|key| batch.add(&[b"TYPE", key]));
    let mut hashes = Vec::new();
    for (at, reply) in conn.batch(batch).await?.into_iter().enumerate() {
        match reply {
            Value::SimpleString(kind) => match kind.as_str() {
                "none" => asking.count(at, false, FieldTtls::Gone),
                "hash" => {
                    asking.count(at, true, FieldTtls::Lasting);
                    hashes.push(at);
                }
                _ => asking.count(at, true, FieldTtls::Lasting),
            },
            reply => asking.refused(at, &reply, "TYPE")?,
        }
    }
    let mut named = Vec::new();
    for (at, reply) in asking.names(keys, &hashes).await? {
        match reply {
            Value::Array(fields) if !fields.is_empty() && fields.len() <= FIELDS_ASKED_MAX => {
                asking.count_read(at, true, FieldTtls::Lasting);
                named.push((at, fields));
            }
            // They have expired meanwhile, and the hash with them.
            Value::Array(fields) if fields.is_empty() => asking.count_read(at, false, FieldTtls::Expire),
            Value::Nil => asking.count_read(at, false, FieldTtls::Expire),
            reply => asking.refused(at, &reply, "HRANDFIELD")?,
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
                let lasting = ttls.contains(&Value::Int(-1));
                let there = ttls.iter().any(|ttl| *ttl != Value::Int(-2));
                asking.count(*at, there, if lasting { FieldTtls::Lasting } else { FieldTtls::Expire });
            }
            reply => asking.refused(*at, &reply, "HPTTL")?,
        }
    }
    Ok((asking.found, asking.lookups))
}

fn name(field: &Value) -> Option<&[u8]> {
    if let Value::BulkString(name) = field { Some(name) } else { None }
}

/// What was found so far.
struct FieldTtlScan<'a> {
    conn: &'a Conn,
    found: Vec<FieldTtls>,
    lookups: Lookups,
}

impl FieldTtlScan<'_> {
    /// What HRANDFIELD answers of the `hashes` among `keys`: their names may be long, so there are as many writes as needed.
    async fn names(&self, keys: &[&[u8]], hashes: &[usize]) -> Result<Vec<(usize, Value)>, RedisError> {
        let (mut named, mut left) = (Vec::new(), hashes);
        while !left.is_empty() {
            let fields = self.conn.fitting(ReplyUnit::Field, FIELDS_ASKED_MAX * left.len());
            let each = fields.min(FIELDS_ASKED_MAX);
            let (now, later) = left.split_at((fields / each).min(left.len()));
            let (mut batch, most) = (Batch::new(), each.to_string());
            now.iter().for_each(|at| batch.add(&[b"HRANDFIELD", keys[*at], most.as_bytes()]));
            let asked = (ReplyUnit::Field, (now.len() * each) as u64);
            named.extend(now.iter().copied().zip(self.conn.sized(asked, batch).await?));
            left = later;
        }
        Ok(named)
    }

    /// A look-up of the key number `at`, which was `there` or not.
    fn count(&mut self, at: usize, there: bool, fields: FieldTtls) {
        self.lookups += Lookups::of(u64::from(there), u64::from(!there));
        self.found[at] = fields;
    }

    /// The same by HRANDFIELD, which reads as applications do.
    fn count_read(&mut self, at: usize, there: bool, fields: FieldTtls) {
        self.count(at, there, fields);
        self.lookups.reads += 1;
    }

    /// An answer that is none: `Err` if more than this key is concerned.
    fn refused(&mut self, at: usize, reply: &Value, command: &str) -> Result<(), RedisError> {
        let unexpected = || RedisError::unexpected(self.conn.address(), command);
        let fault = self.conn.fault(reply).unwrap_or_else(unexpected);
        match fault.kind {
            RedisErrorKind::Moved => self.found[at] = FieldTtls::Moved,
            // It was replaced by something else, which is counted before the type is looked at.
            _ if fault.detail.starts_with("WRONGTYPE") => self.count(at, true, FieldTtls::Lasting),
            _ => return Err(fault),
        }
        Ok(())
    }
}
