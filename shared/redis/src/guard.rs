//! Guarded deletion: the script, its ledger keys, and its replies. `guard.lua` explains why each deletion is exact;
//! `guard/watch.rs` does the same on servers that run no scripts.

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
use super::throttle::Throttle;
use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::messages::{Action, ActivityRule, Group, Lookups, ReapBatch, Reason, Rules};
use keysweep_model::outcome::Outcome;
use keysweep_model::slot::tag_for;

const SCRIPT: &str = include_str!("guard.lua");

/// The action for candidates that still qualify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// The action for stale candidates. Candidates of inactive users are always deleted.
    pub stale: Action,
    /// Keys of inactive users that expire within this many milliseconds are left to expire.
    pub near_expiry_ms: u64,
    /// Idle time in milliseconds from which a key counts as inactive, if idle time is the criterion.
    pub idle_ms: Option<u64>,
    /// Whether the guard checks the field TTLs of stale hashes: true if the server has hashes with field TTLs.
    pub fields: bool,
}

impl Act {
    /// The action that `rules` request.
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

/// What a script call does with the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardMode {
    /// Carry out the action on those that still qualify.
    Act(Act),
    /// Touch nothing; record this outcome for all, unless another one is recorded.
    Finalize(Outcome),
}

impl GuardMode {
    /// Whether candidates of `group` may be deleted.
    #[must_use]
    pub fn deletes(self, group: &Group) -> bool {
        matches!(self, Self::Act(act) if group.reason.is_deleted(act.stale))
    }

    /// Whether the guard checks the field TTLs of hashes in `group`.
    fn asks_fields(self, group: &Group) -> bool {
        matches!(self, Self::Act(act) if act.fields) && group.reason == Reason::Stale
    }
}

/// The result of a script call for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardVerdict {
    /// One outcome per candidate.
    Outcomes(Vec<Outcome>),
    /// Some candidates have no outcome yet: they were left to a later call.
    Partial(Vec<Option<Outcome>>),
    /// The grace is not over: this many milliseconds remain. Nothing was done.
    TooEarly(u64),
    /// The batch is too old to act. Nothing was done by this call.
    Expired,
    /// A call died half-way on the server: its effect is not known.
    Incomplete,
}

/// A batch's identity and its time window, in the server's own time.
#[derive(Clone, Copy, Debug)]
pub struct BatchWindow {
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// See [`keysweep_model::messages::ReapBatch::not_before_ms`].
    pub not_before_ms: u64,
    /// See [`keysweep_model::messages::ReapBatch::not_after_ms`].
    pub not_after_ms: u64,
}

impl From<&ReapBatch> for BatchWindow {
    fn from(batch: &ReapBatch) -> Self {
        Self {
            run: batch.run,
            batch: batch.batch,
            not_before_ms: batch.not_before_ms,
            not_after_ms: batch.not_after_ms,
        }
    }
}

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

/// Loads the script and returns its SHA-1 for EVALSHA.
async fn load(conn: &Conn) -> Result<Vec<u8>, RedisError> {
    scripts::load(conn, SCRIPT).await
}

/// One group of a batch to act on.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its index in the batch.
    pub number: usize,
    /// The group.
    pub group: &'a Group,
    /// One per candidate, if only values that were backed up are deleted.
    pub expected: Option<&'a [ExpectedContent]>,
}

impl<'a> From<&(usize, &'a Group)> for Part<'a> {
    fn from((number, group): &(usize, &'a Group)) -> Self {
        Self { number: *number, group, expected: None }
    }
}

/// Calls the script for several groups in one write. A group whose call failed has its error in its place.
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
            let extra_lookups = take_lookups(&mut reply);
            let verdict = verdict(conn, &reply, part.group.keys.len())?;
            Ok(GuardReply { verdict, extra_lookups })
        })
        .collect())
}

/// Splits the lookup counts off the script's reply, if it contains them: they follow a space, which is not a letter.
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

fn add_call(
    batch: &mut Batch,
    script: &[u8],
    (window, mode): (BatchWindow, GuardMode),
    &Part { number, group, expected }: &Part<'_>,
) {
    let ledger = ledger_key(window.run, window.batch, number, group.slot);
    let count = (group.keys.len() + 1).to_string();
    let (mut word, more) = GuardAction::of(mode, group).script_arguments(group.keys.len());
    if mode.asks_fields(group) {
        word.insert_str(0, "fields:");
    }
    if expected.is_some() {
        word.insert_str(0, "saved:");
    }
    let contents: Option<(Vec<u8>, Vec<Vec<u8>>)> =
        expected.map(|expected| expected.iter().map(ExpectedContent::argument).unzip());
    let (before, after) = (window.not_before_ms.to_string(), window.not_after_ms.to_string());
    let mut args: Vec<&[u8]> = vec![b"EVALSHA", script, count.as_bytes(), &ledger];
    args.extend(group.keys.iter().map(|key| key.as_bytes()));
    args.extend([word.as_bytes(), before.as_bytes(), after.as_bytes()]);
    args.extend(more.iter().map(String::as_bytes));
    if let Some((kinds, contents)) = &contents {
        args.push(kinds);
        args.extend(contents.iter().map(Vec::as_slice));
    }
    batch.add(&args);
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

/// The lookups that the script made for these outcomes of candidates with `reason`. `idle`: idle times decide which
/// keys are inactive. `saved`: for each candidate that was backed up, whether it is a string, which is read by GET
/// instead of DUMP. A call that finds its ledger has made as many lookups in vain; they are not counted.
#[must_use]
pub fn lookups(reason: Reason, idle: bool, saved: Option<&[bool]>, outcomes: &[Outcome]) -> Lookups {
    let found = |outcome: &Outcome| outcome.is_changed() || *outcome == Outcome::Spared;
    let count = outcomes.iter().filter(|outcome| found(outcome)).count() as u64;
    let texts = saved.unwrap_or_default().iter().zip(outcomes);
    let reads = texts.filter(|(text, outcome)| **text && found(outcome)).count() as u64;
    // Each key is queried for its expiry, and maybe for its idle time and its value. Lookups of fields are reported
    // separately.
    let hits = count * (1 + u64::from(reason == Reason::Inactive && idle) + u64::from(saved.is_some()));
    let hits = hits + outcomes.iter().filter(|outcome| **outcome == Outcome::FieldTtl).count() as u64;
    let misses = outcomes.iter().filter(|outcome| **outcome == Outcome::Vanished).count() as u64;
    Lookups { hits, misses, reads }
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
