//! Facts of keys that cost a command each: what conditions of rules are about. Reading the number of elements counts as
//! an access for the server's idle times and counters; reading the other facts does not.

use keysweep_model::messages::Lookups;
use keysweep_policy::{Fact, FactSet, Facts, KeyTtl};
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};

/// What is known of a key besides its name, its TTL and its user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its type, as `TYPE` names it.
    pub type_name: Option<String>,
    /// How long it was not accessed, in milliseconds.
    pub idle_ms: Option<u64>,
    /// The server's counter of accesses.
    pub freq: Option<u64>,
    /// Its memory in bytes.
    pub bytes: Option<u64>,
    /// The number of its elements.
    pub length: Option<u64>,
}

impl KeyFacts {
    /// All that is known of the key `name`, which has this TTL, but its user.
    #[must_use]
    pub fn with<'a>(&'a self, name: &'a [u8], ttl: Option<KeyTtl>) -> Facts<'a> {
        let Self { type_name, idle_ms, freq, bytes, length } = self;
        Facts {
            name,
            ttl,
            user_active: None,
            type_name: type_name.as_deref(),
            idle_ms: *idle_ms,
            freq: *freq,
            bytes: *bytes,
            length: *length,
        }
    }
}

/// Whether a key was there when its facts were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It was.
    #[default]
    There,
    /// It no longer existed.
    Gone,
    /// Another node serves its slot now.
    Moved,
}

/// A key, and what is wanted and known of it.
#[derive(Clone, Debug)]
pub struct FactQuery<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The facts to read. Names and TTLs are not read here.
    pub wanted: FactSet,
    /// What is known, also from earlier queries.
    pub known: KeyFacts,
    /// Whether it was there.
    pub presence: Presence,
}

/// Reads the facts that are wanted of `queries`, in at most two writes, and adds them to what is known. A fact that the
/// server does not tell stays unknown. Returns the lookups made.
///
/// # Errors
/// When the server fails, or does not allow it.
pub async fn ask(conn: &Conn, queries: &mut [FactQuery<'_>]) -> Result<Lookups, RedisError> {
    let mut lookups = Lookups::default();
    let mut batch = Batch::new();
    let mut asked = Vec::new();
    for (at, query) in queries.iter().enumerate() {
        let needs = |fact| query.wanted.contains(fact);
        let needs_type = needs(Fact::Type) || needs(Fact::Length) && query.known.type_name.is_none();
        for (fact, wanted, words) in [
            (Fact::Type, needs_type, &[b"TYPE".as_slice()][..]),
            (Fact::Idle, needs(Fact::Idle), &[b"OBJECT", b"IDLETIME"]),
            (Fact::Freq, needs(Fact::Freq), &[b"OBJECT", b"FREQ"]),
            (Fact::Bytes, needs(Fact::Bytes), &[b"MEMORY", b"USAGE"]),
        ] {
            if wanted {
                batch.add(&[words, &[query.key]].concat());
                asked.push((at, fact));
            }
        }
    }
    read(conn, batch, &asked, queries, &mut lookups).await?;
    let (mut batch, mut asked) = (Batch::new(), Vec::new());
    for (at, query) in queries.iter().enumerate().filter(|(_, query)| query.wanted.contains(Fact::Length)) {
        if let Some(command) = query.known.type_name.as_deref().and_then(length_command) {
            batch.add(&[command, query.key]);
            asked.push((at, Fact::Length));
        }
    }
    read(conn, batch, &asked, queries, &mut lookups).await?;
    Ok(lookups)
}

/// The command that counts the elements of keys of this type; `None` if they have none.
pub(crate) fn length_command(type_name: &str) -> Option<&'static [u8]> {
    Some(match type_name {
        "list" => b"LLEN",
        "set" => b"SCARD",
        "zset" => b"ZCARD",
        "hash" => b"HLEN",
        "stream" => b"XLEN",
        _ => return None,
    })
}

async fn read(
    conn: &Conn,
    batch: Batch,
    asked: &[(usize, Fact)],
    queries: &mut [FactQuery<'_>],
    lookups: &mut Lookups,
) -> Result<(), RedisError> {
    if batch.is_empty() {
        return Ok(());
    }
    for ((at, fact), reply) in asked.iter().zip(conn.batch(batch).await?) {
        let query = &mut queries[*at];
        match reply {
            Value::SimpleString(name) if *fact == Fact::Type && name != "none" => {
                query.known.type_name = Some(name);
                *lookups += Lookups::of(1, 0);
            }
            Value::SimpleString(_) | Value::Nil => {
                query.presence = Presence::Gone;
                *lookups += missed(*fact);
            }
            Value::Int(number) => {
                query.known.set(*fact, number.unsigned_abs());
                *lookups += found(*fact);
            }
            reply => {
                let fault =
                    conn.fault(&reply).unwrap_or_else(|| RedisError::unexpected(conn.address(), fact.word()));
                match fault.kind {
                    RedisErrorKind::Moved => query.presence = Presence::Moved,
                    // Of another type by now, or the server does not keep it; it looks the key up before it says so.
                    RedisErrorKind::CommandError if !fault.is_unknown_command() => *lookups += found(*fact),
                    _ => return Err(fault),
                }
            }
        }
    }
    Ok(())
}

impl KeyFacts {
    /// Sets a fact that is a number, in the unit in which servers say it.
    fn set(&mut self, fact: Fact, number: u64) {
        match fact {
            Fact::Idle => self.idle_ms = Some(number.saturating_mul(1_000)),
            Fact::Freq => self.freq = Some(number),
            Fact::Bytes => self.bytes = Some(number),
            Fact::Length => self.length = Some(number),
            Fact::Name | Fact::Ttl | Fact::User | Fact::Type => {}
        }
    }
}

/// The lookups that reading a fact of a key takes, as the server counts them. Applications count elements, too.
fn found(fact: Fact) -> Lookups {
    match fact {
        Fact::Type | Fact::Idle | Fact::Freq => Lookups::of(1, 0),
        Fact::Length => Lookups::reads(1, 0),
        Fact::Name | Fact::Ttl | Fact::User | Fact::Bytes => Lookups::default(),
    }
}

/// The same of a key that does not exist.
fn missed(fact: Fact) -> Lookups {
    let Lookups { hits, reads, .. } = found(fact);
    Lookups { hits: 0, misses: hits, reads }
}
