//! Reads active users: the members of a sorted set or a set, page by page, with ZSCAN or SSCAN, which do not block the
//! server. The caller interprets the scores.

use keysweep_model::messages::Lookups;
use keysweep_model::scan_end::ScanEnd;
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::reply::number;
use super::reply_size::ReplyUnit;

/// The maximum `COUNT` of one page.
const PAGE_MEMBERS: usize = 1_000;

/// The type of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// A sorted set: its scores are times.
    Sorted,
    /// A set: every member is active.
    Plain,
}

impl SetKind {
    fn commands(self) -> (&'static str, &'static str) {
        match self {
            Self::Sorted => ("ZSCAN", "ZCARD"),
            Self::Plain => ("SSCAN", "SCARD"),
        }
    }

    /// Reply items per member: the member, and its score in a sorted set.
    fn items(self) -> usize {
        if self == Self::Sorted { 2 } else { 1 }
    }
}

/// Why a set could not be read.
#[derive(Clone, Debug)]
pub enum ActivityReadError {
    /// It is empty or does not exist: in Redis that is the same.
    Empty,
    /// The key is of another type.
    OtherType,
    /// It lost many members, or all, while it was being read: another client is rebuilding it.
    Shrank,
    /// The user may not read it.
    Forbidden {
        /// The ACL rule that is missing; `None` if it is about the key.
        rule: Option<String>,
    },
    /// No node serves its slot.
    NoOwner,
    /// Any other error.
    Fault(RedisError),
}

/// Reads all members of the set at `key`, each at least once, and passes them to `each`, with their scores if they have
/// any, until that returns `false`. Adds its lookups to `lookups`, also if it fails.
///
/// A member that exists during the whole read is found. A set that is rebuilt meanwhile, by deleting and filling it,
/// would be read only in part: so its size is queried with each page, and may not fall by more than a tenth. (A set
/// that is replaced at once, by RENAME, is read completely: cursors follow the hashes of the members, which are the
/// same.)
///
/// # Errors
/// When there are no members, or not all could be read.
pub async fn read_members(
    conn: &Conn,
    kind: SetKind,
    key: &[u8],
    lookups: &mut Lookups,
    mut each: impl FnMut(&[u8], Option<f64>) -> bool,
) -> Result<(), ActivityReadError> {
    let (scan, count) = kind.commands();
    let (mut cursor, mut largest, mut end) = (b"0".to_vec(), 0, None);
    loop {
        let mut batch = Batch::new();
        let count_arg = conn.fitting(ReplyUnit::Member, PAGE_MEMBERS);
        batch.add(&[scan.as_bytes(), key, &cursor, b"COUNT", count_arg.to_string().as_bytes()]);
        batch.add(&[count.as_bytes(), key]);
        let mut replies = conn
            .sized((ReplyUnit::Member, count_arg as u64), batch)
            .await
            .map_err(ActivityReadError::Fault)?
            .into_iter();
        let (Some(listed), Some(size)) = (replies.next(), replies.next()) else {
            return Err(ActivityReadError::Fault(RedisError::unexpected(conn.address(), scan)));
        };
        for reply in [&listed, &size] {
            if let Some(fault) = conn.fault(reply) {
                return Err(unreadable(fault, lookups));
            }
        }
        let size = number(conn, count, &size).map_err(ActivityReadError::Fault)?;
        if size == 0 {
            *lookups += Lookups::reads(0, 2);
            return Err(if largest == 0 { ActivityReadError::Empty } else { ActivityReadError::Shrank });
        }
        *lookups += Lookups::reads(2, 0);
        largest = size.max(largest);
        if size < largest - largest / 10 {
            return Err(ActivityReadError::Shrank);
        }
        let page = page(listed, kind);
        let (next, members) =
            page.ok_or_else(|| ActivityReadError::Fault(RedisError::unexpected(conn.address(), scan)))?;
        let go_on = members.iter().all(|(member, score)| each(member, *score));
        if next == b"0" || !go_on {
            return Ok(());
        }
        let end = end.get_or_insert_with(|| ScanEnd::new(cursor, 0, size));
        let on = end.check_progress(&next, count_arg as u64, members.len() as u64);
        on.map_err(|why| {
            ActivityReadError::Fault(RedisError::new(RedisErrorKind::Protocol, conn.address(), why))
        })?;
        cursor = next;
    }
}

fn unreadable(fault: RedisError, lookups: &mut Lookups) -> ActivityReadError {
    if fault.detail.starts_with("WRONGTYPE") {
        *lookups += Lookups::reads(2, 0);
        return ActivityReadError::OtherType;
    }
    match fault.kind {
        RedisErrorKind::PermissionDenied => ActivityReadError::Forbidden { rule: fault.rule() },
        _ => ActivityReadError::Fault(fault),
    }
}

/// Members with their scores, if they have any.
type Members = Vec<(Vec<u8>, Option<f64>)>;

/// The next cursor, and the members.
fn page(reply: Value, kind: SetKind) -> Option<(Vec<u8>, Members)> {
    let Value::Array(parts) = reply else { return None };
    let [Value::BulkString(next), Value::Array(list)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let members = list.chunks(kind.items()).map(|item| match item {
        [Value::BulkString(member)] if kind == SetKind::Plain => Some((member.clone(), None)),
        [Value::BulkString(member), score] => Some((member.clone(), Some(time(score)?))),
        _ => None,
    });
    Some((next, members.collect::<Option<_>>()?))
}

fn time(score: &Value) -> Option<f64> {
    match score {
        Value::BulkString(text) => str::from_utf8(text).ok()?.parse().ok(),
        Value::Double(number) => Some(*number),
        _ => None,
    }
}
