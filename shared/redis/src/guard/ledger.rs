//! The ledger keys of a batch: their names, what they record, and how they are read and removed.

use redis::Value;
use tokio::time::Instant;

use super::{BatchWindow, GuardVerdict, policy};
use crate::conn::{Batch, Conn};
use crate::error::{RedisError, RedisErrorKind};
use crate::throttle::Throttle;
use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::messages::Group;
use keysweep_model::outcome::Outcome;
use keysweep_model::slot::tag_for;

/// The ledger key of a group of a batch: in the group's slot, one per group.
#[must_use]
pub fn ledger_key(run: RunId, batch: BatchId, group: usize, slot: u16) -> Vec<u8> {
    format!("keysweep:ledger:{{{}}}:{run}:{batch}:{group}", tag_for(slot)).into_bytes()
}

/// The ledger of one group. A run has many, so key names are built only when needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The batch.
    pub batch: BatchId,
    /// The number of the group in it.
    pub group: u32,
    /// The slot of the group.
    pub slot: u16,
}

/// Reads the ledgers of `groups` without writing, for servers that answer but accept no writes. `None` for a group that
/// was never tried.
pub async fn read_ledger(
    conn: &Conn,
    window: BatchWindow,
    groups: &[(usize, &Group)],
) -> Result<Vec<Option<GuardVerdict>>, RedisError> {
    let mut batch = Batch::new();
    for (number, group) in groups {
        batch.add(&[b"GET", &ledger_key(window.run, window.batch, *number, group.slot)]);
    }
    let replies = conn.batch(batch).await?.into_iter().zip(groups);
    replies
        .map(|(reply, (_, group))| match reply {
            Value::Nil => Ok(None),
            reply => match verdict(conn, &reply, group.keys.len()) {
                // Its ledger is on another node, or cannot be read.
                Err(fault) if fault.kind == RedisErrorKind::Moved => Ok(Some(GuardVerdict::Incomplete)),
                verdict => verdict.map(Some),
            },
        })
        .collect()
}

/// The verdict of the guard's reply, or of a ledger, for a group of so many `keys`.
pub(super) fn verdict(conn: &Conn, reply: &Value, keys: usize) -> Result<GuardVerdict, RedisError> {
    let unexpected = || RedisError::unexpected(conn.address(), "EVALSHA");
    let Value::BulkString(answer) = reply else {
        return Err(conn.fault(reply).unwrap_or_else(unexpected));
    };
    if let Some(notice) = answer.strip_prefix(b"!") {
        let notice = str::from_utf8(notice).map_err(|_| unexpected())?;
        return match notice.split_once(' ') {
            None if notice == "late" => Ok(GuardVerdict::TooLate),
            Some(("early", ms)) => ms.parse().map(GuardVerdict::TooEarly).map_err(|_| unexpected()),
            _ => Err(unexpected()),
        };
    }
    if answer.is_empty() {
        return Ok(GuardVerdict::Incomplete);
    }
    let known = |letter: &u8| match letter {
        &policy::OPEN => Some(None),
        letter => Outcome::from_code(*letter).map(Some),
    };
    let outcomes: Option<Vec<Option<Outcome>>> = answer.iter().map(known).collect();
    let outcomes = outcomes.filter(|outcomes| outcomes.len() == keys).ok_or_else(unexpected)?;
    let all: Option<Vec<Outcome>> = outcomes.iter().copied().collect();
    Ok(all.map_or(GuardVerdict::Partial(outcomes), GuardVerdict::Outcomes))
}

/// Removes ledger keys of `run` at one node and returns how many existed. If some cannot be removed at the moment,
/// because their slots are moving, it removes the others and returns the error.
pub async fn drop_ledgers(
    conn: &Conn,
    run: RunId,
    ledgers: &[Ledger],
    breaks: Throttle,
) -> Result<u64, RedisError> {
    let (mut dropped, mut refused) = (0, None);
    for chunk in ledgers.chunks(breaks.at_once(1_000)) {
        let (mut batch, sent) = (Batch::new(), Instant::now());
        for Ledger { batch: of, group, slot } in chunk {
            batch.add(&[b"UNLINK", &ledger_key(run, *of, *group as usize, *slot)]);
        }
        for reply in conn.batch(batch).await? {
            if let Value::Int(n) = reply {
                dropped += n.unsigned_abs();
                continue;
            }
            let fault =
                conn.fault(&reply).unwrap_or_else(|| RedisError::unexpected(conn.address(), "UNLINK"));
            if !fault.kind.is_transient() {
                return Err(fault);
            }
            refused = Some(fault);
        }
        breaks.rest(sent).await;
    }
    refused.map_or(Ok(dropped), Err)
}
