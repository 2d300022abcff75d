//! Guarded deletion: the script, its ledger keys, and what it answers. See `guard.lua` for why it is exact, and
//! `guard/transactions.rs` for servers that run no scripts.

mod executor;
mod expected_content;
mod policy;
mod watch;

use redis::Value;
use tokio::time::Instant;

pub use self::executor::{GuardExecutor, GuardReply};
pub use self::expected_content::ExpectedContent;
use self::policy::GuardAction;
use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::scripts;
use crate::ids::{BatchId, RunId};
use crate::messages::{Action, ActivityRule, Group, Lookups, ReapBatch, Reason, Rules};
use crate::outcome::Outcome;
use crate::pacing::Throttle;
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
    /// Whether stale hashes are asked whether their fields expire: where the server has such hashes.
    pub fields: bool,
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
            fields: false,
        }
    }
}

/// What a script call is to do with the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardMode {
    /// Carry this out on those that still qualify.
    Act(Act),
    /// Touch nothing; record this outcome for all, unless another one is recorded.
    Finalize(Outcome),
}

impl GuardMode {
    /// Whether hashes of `group` are asked whether their fields expire.
    fn asks_fields(self, group: &Group) -> bool {
        matches!(self, Self::Act(act) if act.fields) && group.reason == Reason::Stale
    }
}

/// What a script call answered for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardVerdict {
    /// One outcome per candidate.
    Outcomes(Vec<Outcome>),
    /// Some candidates have no outcome, because they were left to a later call.
    Partial(Vec<Option<Outcome>>),
    /// The grace is not over: so many milliseconds remain. Nothing was done.
    TooEarly(u64),
    /// The batch is too old to act. Nothing was done by this call.
    Expired,
    /// A call died half-way on the server: what it did is not known.
    Incomplete,
}

/// A batch's identity and its time window, in the server's own time.
#[derive(Clone, Copy, Debug)]
pub struct BatchWindow {
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
    pub fn window(&self) -> BatchWindow {
        BatchWindow {
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
async fn load(conn: &Conn) -> Result<Vec<u8>, RedisError> {
    scripts::load(conn, SCRIPT).await
}

/// One group of a batch that is to be acted on.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its number in the batch.
    pub number: usize,
    /// The group.
    pub group: &'a Group,
    /// One per candidate, where those are only deleted that have been saved.
    pub expected: Option<&'a [ExpectedContent]>,
}

impl<'a> From<&(usize, &'a Group)> for Part<'a> {
    fn from((number, group): &(usize, &'a Group)) -> Self {
        Self { number: *number, group, expected: None }
    }
}

/// Calls the script for several groups in one write. A group whose call failed has its fault in its place.
async fn call(
    conn: &Conn,
    script: &[u8],
    (window, mode): (BatchWindow, GuardMode),
    parts: &[Part<'_>],
) -> Result<Vec<Result<GuardReply, RedisError>>, RedisError> {
    let mut batch = Batch::new();
    for part in parts {
        add_call(&mut batch, script, (window, mode), part);
    }
    let replies = conn.batch(batch).await?.into_iter().zip(parts);
    Ok(replies
        .map(|(mut reply, part)| {
            let beyond = take_lookups(&mut reply);
            let verdict = verdict(conn, &reply, part.group.keys.len())?;
            Ok(GuardReply { verdict, extra_lookups: beyond })
        })
        .collect())
}

/// Takes the numbers of look-ups off what the script answered, if it told them: behind a blank, which no letter is.
fn take_lookups(reply: &mut Value) -> Lookups {
    let Value::BulkString(answer) = reply else { return Lookups::default() };
    let Some(blank) = answer.iter().position(|byte| *byte == b' ').filter(|_| answer[0] != b'!') else {
        return Lookups::default();
    };
    let text = String::from_utf8_lossy(&answer[blank + 1..]).into_owned();
    answer.truncate(blank);
    let mut numbers = text.split(' ').map(|digits| digits.parse().unwrap_or_default());
    let (hits, reads) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    Lookups { hits, misses: 0, reads }
}

/// What the ledgers of `groups` say, without touching anything: for servers that answer, but take no writes.
/// `None` for a group that was never tried.
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
                // Its ledger is elsewhere, or not to be had.
                Err(fault) if fault.kind == RedisErrorKind::Moved => Ok(Some(GuardVerdict::Incomplete)),
                verdict => verdict.map(Some),
            },
        })
        .collect()
}

fn add_call(
    batch: &mut Batch,
    script: &[u8],
    (window, mode): (BatchWindow, GuardMode),
    &Part { number, group, expected: seals }: &Part<'_>,
) {
    let ledger = ledger_key(window.run, window.batch, number, group.slot);
    let count = (group.keys.len() + 1).to_string();
    let (mut word, more) = arguments(GuardAction::of(mode, group), group.keys.len());
    if mode.asks_fields(group) {
        word.insert_str(0, "fields:");
    }
    if seals.is_some() {
        word.insert_str(0, "saved:");
    }
    let seals: Option<(Vec<u8>, Vec<Vec<u8>>)> =
        seals.map(|seals| seals.iter().map(ExpectedContent::argument).unzip());
    let (before, after) = (window.not_before_ms.to_string(), window.not_after_ms.to_string());
    let mut args: Vec<&[u8]> = vec![b"EVALSHA", script, count.as_bytes(), &ledger];
    args.extend(group.keys.iter().map(|key| key.as_bytes()));
    args.extend([word.as_bytes(), before.as_bytes(), after.as_bytes()]);
    args.extend(more.iter().map(String::as_bytes));
    if let Some((kinds, seals)) = &seals {
        args.push(kinds);
        args.extend(seals.iter().map(Vec::as_slice));
    }
    batch.add(&args);
}

/// The script's mode for `order`, and the arguments that belong to it.
fn arguments(order: GuardAction<'_>, keys: usize) -> (String, Vec<String>) {
    match order {
        GuardAction::Finalize(outcome) => (format!("seal:{}", outcome.code()), Vec::new()),
        GuardAction::Delete => ("delete".to_owned(), Vec::new()),
        GuardAction::Expire { ttl_ms, jitter_ms } => {
            let ttl = |_| policy::spread(ttl_ms, jitter_ms).to_string();
            ("expire".to_owned(), (0..keys).map(ttl).collect())
        }
        GuardAction::Inactive { near_expiry_ms, idle_s, expires_at_ms } => {
            let idle = idle_s.map_or_else(String::new, |s| s.to_string());
            let limits = [near_expiry_ms.to_string(), idle];
            (
                "inactive".to_owned(),
                limits.into_iter().chain(expires_at_ms.iter().map(u64::to_string)).collect(),
            )
        }
    }
}

fn verdict(conn: &Conn, reply: &Value, keys: usize) -> Result<GuardVerdict, RedisError> {
    let unexpected = || RedisError::unexpected(conn.address(), "EVALSHA");
    let Value::BulkString(answer) = reply else {
        return Err(conn.fault(reply).unwrap_or_else(unexpected));
    };
    if let Some(notice) = answer.strip_prefix(b"!") {
        let notice = str::from_utf8(notice).map_err(|_| unexpected())?;
        return match notice.split_once(' ') {
            None if notice == "late" => Ok(GuardVerdict::Expired),
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

/// The look-ups that the script made for these outcomes of candidates that were such for `reason`; `idle` says that
/// idle times decide who is inactive, and `saved`, for each candidate that was saved before, whether it holds a string,
/// which is read by GET and not by DUMP. A call that finds its ledger has made as many for nothing, and is not counted.
#[must_use]
pub fn lookups(reason: Reason, idle: bool, saved: Option<&[bool]>, outcomes: &[Outcome]) -> Lookups {
    let found = |outcome: &Outcome| matches!(outcome, Outcome::Deleted | Outcome::Expired | Outcome::Spared);
    let count = outcomes.iter().filter(|outcome| found(outcome)).count() as u64;
    let texts = saved.unwrap_or_default().iter().zip(outcomes);
    let reads = texts.filter(|(text, outcome)| **text && found(outcome)).count() as u64;
    // Each is asked when it expires, and maybe since when it is idle, and what it holds. What was
    // asked of fields is told beside it.
    let hits = count * (1 + u64::from(reason == Reason::Inactive && idle) + u64::from(saved.is_some()));
    let hits = hits + outcomes.iter().filter(|outcome| **outcome == Outcome::FieldTtl).count() as u64;
    let misses = outcomes.iter().filter(|outcome| **outcome == Outcome::Vanished).count() as u64;
    Lookups { hits, misses, reads }
}

/// Removes ledger keys of `run` at one node. Returns how many there were. Where it cannot remove some at the moment,
/// because their slots are changing hands, it removes the others all the same, and returns the fault.
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
