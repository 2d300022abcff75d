//! Listing keys and reading their TTLs: one write per window, one reply per command.

use redis::Value;

use super::conn::{Batch, Conn};
use super::fault::{Fault, FaultKind};
use super::node::server_time;
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

/// What is asked about each key that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Its TTL.
    Ttl,
    /// The moment at which it expires, by the server's clock.
    Expiry,
    /// That, and how long nobody has used it.
    ExpiryAndIdle,
}

impl Ask {
    /// Commands per key.
    fn commands(self) -> usize {
        if self == Self::ExpiryAndIdle { 2 } else { 1 }
    }
}

/// What a look at a key showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its TTL.
    pub ttl: Ttl,
    /// When it expires, in milliseconds of the server's clock; only if asked for, and if it has a TTL.
    pub expires_at_ms: Option<u64>,
    /// For how long nobody has used it; only if asked for, and where the server keeps such times.
    pub idle_ms: Option<u64>,
    /// The look-ups that it took.
    pub lookups: Lookups,
}

impl Seen {
    /// A look that asked for the TTL alone.
    #[must_use]
    pub fn only(ttl: Ttl) -> Self {
        Self { ttl, expires_at_ms: None, idle_ms: None, lookups: ttl.lookup() }
    }
}

/// Sends listing commands together with look-ups of keys seen before, in one write, so that the server reads on
/// while we sort what it has sent.
pub async fn window(
    conn: &Conn,
    listings: &[Listing],
    look_up: &[Key],
    ask: Ask,
) -> Result<(Vec<Page>, Vec<Seen>), Fault> {
    let mut batch = Batch::new();
    // The server tells moments; what is left until then is by its own clock.
    let clock = usize::from(ask != Ask::Ttl && !look_up.is_empty());
    if clock > 0 {
        batch.add(&[b"TIME"]);
    }
    let expiry: &[u8] = if ask == Ask::Ttl { b"PTTL" } else { b"PEXPIRETIME" };
    for key in look_up {
        batch.add(&[expiry, key.as_bytes()]);
        if ask == Ask::ExpiryAndIdle {
            batch.add(&[b"OBJECT", b"IDLETIME", key.as_bytes()]);
        }
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
    let mut replies = conn.batch(batch).await?;
    let answered = clock + look_up.len() * ask.commands();
    let pages = replies.drain(answered..).map(|reply| page(conn, reply)).collect::<Result<_, _>>()?;
    let now_ms = match replies.first() {
        Some(reply) if clock > 0 => Some(server_time(conn, reply)?),
        _ => None,
    };
    let looks = replies[clock..].chunks_exact(ask.commands());
    let seen = looks.map(|replies| seen(conn, replies, now_ms)).collect::<Result<_, _>>()?;
    Ok((pages, seen))
}

/// What `replies` say of one key; at `now_ms`, if they tell moments and not times that are left.
fn seen(conn: &Conn, replies: &[Value], now_ms: Option<u64>) -> Result<Seen, Fault> {
    let [expiry, idle @ ..] = replies else { return Err(Fault::unexpected(conn.address(), "a pipeline")) };
    let mut seen = Seen::only(ttl(conn, expiry)?);
    if let (Ttl::Left(at_ms), Some(now_ms)) = (seen.ttl, now_ms) {
        seen.expires_at_ms = Some(at_ms);
        seen.ttl = Ttl::Left(at_ms.saturating_sub(now_ms));
    }
    let Some(idle) = idle.first() else { return Ok(seen) };
    match idle {
        Value::Int(seconds) => {
            seen.idle_ms = u64::try_from(*seconds).ok().map(|seconds| seconds.saturating_mul(1_000));
            seen.lookups.hits += 1;
        }
        Value::Nil => seen.lookups.misses += 1,
        other => match conn.fault(other) {
            // Its slot has just moved.
            Some(fault) if fault.kind == FaultKind::Moved => seen.ttl = Ttl::Moved,
            // The server counts how often keys are used, and not since when they are not (LFU).
            Some(fault) if fault.kind == FaultKind::Refused => seen.lookups.hits += 1,
            Some(fault) => return Err(fault),
            None => return Err(Fault::unexpected(conn.address(), "OBJECT IDLETIME")),
        },
    }
    Ok(seen)
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
