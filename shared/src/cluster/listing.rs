//! Listing keys and reading their TTLs: one write per window, one reply per command.

use redis::Value;

use super::conn::{Batch, Conn};
use super::fault::{Fault, FaultKind};
use crate::key::Key;
use crate::messages::Lookups;

/// One listing command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `SCAN cursor COUNT count`.
    Scan {
        /// Where to go on.
        cursor: u64,
        /// How many buckets to visit, about.
        count: u32,
    },
    /// `CLUSTER GETKEYSINSLOT slot count`.
    KeysInSlot {
        /// The slot.
        slot: u16,
        /// Keys to return at most.
        count: u64,
    },
}

/// What a listing command answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The cursor to go on from; 0 at the end, and for slots.
    pub next: u64,
    /// The keys.
    pub keys: Vec<Key>,
}

impl Page {
    /// Bytes of all its keys.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.keys.iter().map(Key::len).sum()
    }
}

/// The TTL of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// So many milliseconds are left.
    Left(u64),
    /// The key has none.
    Unlimited,
    /// There is no such key.
    Gone,
    /// The slot of the key is served elsewhere now.
    Moved,
}

impl Ttl {
    /// The look-up that it took, as the server counts it. A redirected one counts nowhere.
    #[must_use]
    pub fn lookup(self) -> Lookups {
        match self {
            Self::Left(_) | Self::Unlimited => Lookups { hits: 1, misses: 0 },
            Self::Gone => Lookups { hits: 0, misses: 1 },
            Self::Moved => Lookups::default(),
        }
    }
}

/// Sends listing commands together with TTL look-ups of keys seen before, in one write, so that the server
/// reads on while we sort what it has sent.
pub async fn window(
    conn: &Conn,
    listings: &[Listing],
    look_up: &[Key],
) -> Result<(Vec<Page>, Vec<Ttl>), Fault> {
    let mut batch = Batch::new();
    for key in look_up {
        batch.add(&[b"PTTL", key.as_bytes()]);
    }
    for listing in listings {
        match listing {
            Listing::Scan { cursor, count } => {
                batch.add(&[b"SCAN", cursor.to_string().as_bytes(), b"COUNT", count.to_string().as_bytes()]);
            }
            Listing::KeysInSlot { slot, count } => {
                let (slot, count) = (slot.to_string(), count.to_string());
                batch.add(&[b"CLUSTER", b"GETKEYSINSLOT", slot.as_bytes(), count.as_bytes()]);
            }
        }
    }
    let mut replies = conn.batch(batch).await?.into_iter();
    let ttls =
        replies.by_ref().take(look_up.len()).map(|reply| ttl(conn, &reply)).collect::<Result<_, _>>()?;
    let pages = replies.map(|reply| page(conn, reply)).collect::<Result<_, _>>()?;
    Ok((pages, ttls))
}

fn ttl(conn: &Conn, reply: &Value) -> Result<Ttl, Fault> {
    match reply {
        Value::Int(-1) => Ok(Ttl::Unlimited),
        Value::Int(-2) => Ok(Ttl::Gone),
        Value::Int(ms) if *ms >= 0 => Ok(Ttl::Left(ms.unsigned_abs())),
        other => match conn.fault(other) {
            Some(fault) if fault.kind == FaultKind::Moved => Ok(Ttl::Moved),
            Some(fault) => Err(fault),
            None => Err(Fault::unexpected(conn.address(), "PTTL")),
        },
    }
}

fn page(conn: &Conn, reply: Value) -> Result<Page, Fault> {
    let unexpected = || Fault::unexpected(conn.address(), "a listing");
    match reply {
        Value::Array(parts) if matches!(parts[..], [Value::BulkString(_), Value::Array(_)]) => {
            let mut parts = parts.into_iter();
            let (Some(Value::BulkString(next)), Some(Value::Array(list))) = (parts.next(), parts.next())
            else {
                return Err(unexpected());
            };
            let next =
                str::from_utf8(&next).ok().and_then(|digits| digits.parse().ok()).ok_or_else(unexpected)?;
            Ok(Page { next, keys: keys(list).ok_or_else(unexpected)? })
        }
        Value::Array(list) => Ok(Page { next: 0, keys: keys(list).ok_or_else(unexpected)? }),
        other => Err(conn.fault(&other).unwrap_or_else(unexpected)),
    }
}

fn keys(list: Vec<Value>) -> Option<Vec<Key>> {
    list.into_iter()
        .map(|item| if let Value::BulkString(key) = item { Some(Key::new(key)) } else { None })
        .collect()
}
