//! How ledger keys are read and removed. Which ones a batch has is in `keysweep_model::ledger`.

use redis::Value;
use tokio::time::Instant;

use super::{GuardVerdict, policy};
use crate::conn::{Batch, Conn};
use crate::error::{RedisError, RedisErrorKind};
use crate::throttle::Throttle;
use keysweep_model::ids::RunId;
use keysweep_model::ledger::Ledger;
use keysweep_model::outcome::Outcome;

/// Reads ledgers without writing, each with the number of candidates that it records, for servers that answer but accept
/// no writes. `None` for a ledger that does not exist.
pub async fn read_ledgers(
    conn: &Conn,
    run: RunId,
    ledgers: &[(Ledger, usize)],
) -> Result<Vec<Option<GuardVerdict>>, RedisError> {
    let mut batch = Batch::new();
    for (ledger, _) in ledgers {
        batch.add(&[b"GET", &ledger.key(run)]);
    }
    let replies = conn.batch(batch).await?.into_iter().zip(ledgers);
    replies
        .map(|(reply, (_, recorded))| match reply {
            Value::Nil => Ok(None),
            reply => match verdict(conn, &reply, *recorded) {
                // It is on another node, or cannot be read.
                Err(fault) if fault.kind == RedisErrorKind::Moved => Ok(Some(GuardVerdict::Incomplete)),
                verdict => verdict.map(Some),
            },
        })
        .collect()
}

/// The verdict of the guard's reply, or of a ledger, for so many candidates.
pub(super) fn verdict(conn: &Conn, reply: &Value, candidates: usize) -> Result<GuardVerdict, RedisError> {
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
        &(policy::OPEN | policy::ELSEWHERE) => Some(None),
        letter => Outcome::from_code(*letter).map(Some),
    };
    let outcomes: Option<Vec<Option<Outcome>>> = answer.iter().map(known).collect();
    let outcomes = outcomes.filter(|outcomes| outcomes.len() == candidates).ok_or_else(unexpected)?;
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
        for ledger in chunk {
            batch.add(&[b"UNLINK", &ledger.key(run)]);
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
