//! Guarded deletion: the script, its ledger keys, and what it answers. See `guard.lua` for why it is exact, and
//! `guard/transactions.rs` for servers that run no scripts.

mod judge;
mod means;
mod transactions;

use redis::Value;
use tokio::time::Instant;

pub use self::means::{Answer, Means};
pub(super) use self::transactions::transaction;
use super::conn::{Batch, Conn};
use super::fault::Fault;
use super::scripts;
use crate::ids::{BatchId, RunId};
use crate::messages::{Action, ActivityRule, Group, Lookups, ReapBatch, Reason, Rules};
use crate::outcome::Outcome;
use crate::pace::Breaks;
use crate::slot::tag_for;

const SCRIPT: &str = include_str!("guard.lua");

/// What a run does with candidates that still qualify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// With stale ones. Those of inactive users are always deleted.
    pub stale: Action,
    /// Inactive users' keys that expire within so many milliseconds are left to do so.
    pub near_expiry_ms: u64,
    /// How long nobody may have used a key, in milliseconds, where that is what makes it inactive.
    pub idle_ms: Option<u64>,
}

impl Act {
    /// What `rules` ask for.
    #[must_use]
    pub fn of(rules: &Rules) -> Self {
        let inactive = rules.inactive.as_ref();
        let idle = inactive.filter(|rule| rule.activity == ActivityRule::Idle);
        Self {
            stale: rules.action,
            near_expiry_ms: inactive.map_or(0, |rule| rule.near_expiry_ms),
            idle_ms: idle.map(|rule| rule.threshold_ms),
        }
    }
}

/// What a script call is to do with the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carry this out on those that still qualify.
    Act(Act),
    /// Touch nothing; record this outcome for all, unless another one is recorded.
    Seal(Outcome),
}

/// What a script call answered for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One outcome per candidate.
    Outcomes(Vec<Outcome>),
    /// The grace is not over: so many milliseconds remain. Nothing was done.
    Early(u64),
    /// The batch is too old to act. Nothing was done by this call.
    Late,
    /// A call died half-way on the server: what it did is not known.
    Incomplete,
}

/// A batch's identity and its time window, in the server's own time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// See [`crate::messages::ReapBatch::not_before_ms`].
    pub not_before_ms: u64,
    /// See [`crate::messages::ReapBatch::not_after_ms`].
    pub not_after_ms: u64,
}

impl ReapBatch {
    /// The batch's identity and time window.
    #[must_use]
    pub fn window(&self) -> Window {
        Window {
            run: self.run,
            batch: self.batch,
            not_before_ms: self.not_before_ms,
            not_after_ms: self.not_after_ms,
        }
    }
}

/// The ledger key of a group of a batch: in the group's slot, one per group.
#[must_use]
pub fn ledger_key(run: RunId, batch: BatchId, group: usize, slot: u16) -> Vec<u8> {
    format!("keysweep:ledger:{{{}}}:{run}:{batch}:{group}", tag_for(slot)).into_bytes()
}

/// The ledger of one group. A run has many, so their names are made only when they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The batch.
    pub batch: BatchId,
    /// The number of the group in it.
    pub group: u32,
    /// The slot of the group.
    pub slot: u16,
}

/// Loads the script and returns the name by which calls refer to it.
pub async fn load(conn: &Conn) -> Result<Vec<u8>, Fault> {
    scripts::load(conn, SCRIPT).await
}

/// Calls the script for several groups in one write. A group whose call failed has its fault in its place.
pub async fn call(
    conn: &Conn,
    script: &[u8],
    window: Window,
    mode: Mode,
    groups: &[(usize, &Group)],
) -> Result<Vec<Result<Verdict, Fault>>, Fault> {
    let mut batch = Batch::new();
    for (number, group) in groups {
        add_call(&mut batch, script, window, mode, *number, group);
    }
    let replies = conn.batch(batch).await?;
    Ok(replies
        .into_iter()
        .zip(groups)
        .map(|(reply, (_, group))| verdict(conn, &reply, group.keys.len()))
        .collect())
}

/// What the ledgers of `groups` say, without touching anything: for servers that answer, but take no writes.
/// `None` for a group that was never tried.
pub async fn recall(
    conn: &Conn,
    window: Window,
    groups: &[(usize, &Group)],
) -> Result<Vec<Option<Verdict>>, Fault> {
    let mut batch = Batch::new();
    for (number, group) in groups {
        batch.add(&[b"GET", &ledger_key(window.run, window.batch, *number, group.slot)]);
    }
    let replies = conn.batch(batch).await?.into_iter().zip(groups);
    replies
        .map(|(reply, (_, group))| match reply {
            Value::Nil => Ok(None),
            reply => match judge::closed(reply) {
                Some(reply) => verdict(conn, &reply, group.keys.len()).map(Some),
                None => Ok(None),
            },
        })
        .collect()
}

fn add_call(batch: &mut Batch, script: &[u8], window: Window, mode: Mode, number: usize, group: &Group) {
    let ledger = ledger_key(window.run, window.batch, number, group.slot);
    let count = (group.keys.len() + 1).to_string();
    let (word, more) = order(mode, group);
    let (before, after) = (window.not_before_ms.to_string(), window.not_after_ms.to_string());
    let mut args: Vec<&[u8]> = vec![b"EVALSHA", script, count.as_bytes(), &ledger];
    args.extend(group.keys.iter().map(|key| key.as_bytes()));
    args.extend([word.as_bytes(), before.as_bytes(), after.as_bytes()]);
    args.extend(more.iter().map(String::as_bytes));
    batch.add(&args);
}

/// The script's mode for `group`, and the arguments that belong to it.
fn order(mode: Mode, group: &Group) -> (String, Vec<String>) {
    let act = match mode {
        Mode::Act(act) => act,
        Mode::Seal(outcome) => return (format!("seal:{}", outcome.letter()), Vec::new()),
    };
    match (group.reason, act.stale) {
        (Reason::Inactive, _) => {
            // The server tells idle times in whole seconds.
            let idle = act.idle_ms.map_or_else(String::new, |ms| ms.div_ceil(1_000).to_string());
            let limits = [act.near_expiry_ms.to_string(), idle];
            let expiries = group.expires_at_ms.iter().map(u64::to_string);
            ("inactive".to_owned(), limits.into_iter().chain(expiries).collect())
        }
        // TTLs are spread, so that keys repaired together do not expire together.
        (Reason::Stale, Action::Expire { ttl_ms, jitter_ms }) => {
            let ttl = |_| (ttl_ms + fastrand::u64(0..=jitter_ms)).to_string();
            ("expire".to_owned(), group.keys.iter().map(ttl).collect())
        }
        // A run that only reports has no batches.
        (Reason::Stale, Action::Delete | Action::Report) => ("delete".to_owned(), Vec::new()),
    }
}

fn verdict(conn: &Conn, reply: &Value, keys: usize) -> Result<Verdict, Fault> {
    let unexpected = || Fault::unexpected(conn.address(), "EVALSHA");
    let Value::BulkString(answer) = reply else {
        return Err(conn.fault(reply).unwrap_or_else(unexpected));
    };
    if let Some(notice) = answer.strip_prefix(b"!") {
        let notice = str::from_utf8(notice).map_err(|_| unexpected())?;
        return match notice.split_once(' ') {
            None if notice == "late" => Ok(Verdict::Late),
            Some(("early", ms)) => ms.parse().map(Verdict::Early).map_err(|_| unexpected()),
            _ => Err(unexpected()),
        };
    }
    if answer.is_empty() {
        return Ok(Verdict::Incomplete);
    }
    let outcomes: Option<Vec<Outcome>> = answer.iter().map(|letter| Outcome::from_letter(*letter)).collect();
    match outcomes {
        Some(outcomes) if outcomes.len() == keys => Ok(Verdict::Outcomes(outcomes)),
        _ => Err(unexpected()),
    }
}

/// The look-ups that the script made for these outcomes of candidates that were such for `reason`; `idle` says that
/// idle times decide who is inactive. A call that finds its ledger has made as many for nothing: nobody knows of
/// those, or how many such calls there were.
#[must_use]
pub fn lookups(reason: Reason, idle: bool, outcomes: &[Outcome]) -> Lookups {
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u64;
    let found = count(Outcome::Deleted) + count(Outcome::Expired) + count(Outcome::Spared);
    // Each is asked when it expires, and maybe since when it is idle.
    let hits = found * (1 + u64::from(reason == Reason::Inactive && idle));
    let misses = count(Outcome::Vanished);
    Lookups { hits, misses }
}

/// Removes ledger keys of `run` at one node. Returns how many there were. Where it cannot remove some at the moment,
/// because their slots are changing hands, it removes the others all the same, and returns the fault.
pub async fn drop_ledgers(conn: &Conn, run: RunId, ledgers: &[Ledger], breaks: Breaks) -> Result<u64, Fault> {
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
            let fault = conn.fault(&reply).unwrap_or_else(|| Fault::unexpected(conn.address(), "UNLINK"));
            if !fault.kind.transient() {
                return Err(fault);
            }
            refused = Some(fault);
        }
        breaks.rest(sent).await;
    }
    refused.map_or(Ok(dropped), Err)
}
