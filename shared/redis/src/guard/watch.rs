//! Guarded deletion on servers that run no scripts: the same replies as `guard.lua`, in two writes.
//!
//! The first write creates the ledger with a `.` per candidate (nothing done yet), watches ledger and candidates, and
//! reads the clock, the ledger, and the expiry of each candidate. The outcomes follow from that (`policy.rs`). The
//! second write is a transaction: the letters into the ledger, and the effect. The server rejects it as a whole if
//! anything watched has changed, so everything that was read still holds when the transaction runs:
//!
//! - A candidate was written, given a TTL, created or removed: its part is halved and read again. A single key that
//!   changes each time is in use, and is spared.
//! - Another attempt at the batch writes the same ledger: one of the two is rejected, and then reads what the other one
//!   has done.
//! - The batch has become too old: its ledger expires at that moment, and an expired key counts as changed. So does a
//!   ledger that is evicted or removed.
//!
//! A ledger may be partly done after its keys were halved: the next attempt continues from there. Watches belong to a
//! connection, so each part has the connection to itself in turn; if a part does not finish, the connection is closed,
//! which drops its watches.
//!
//! Limitations: reading a key is not a change, so a key that is idle at the first write and read before the transaction
//! is still deleted. At full memory the ledger cannot be written, so there is no effect either.

mod condition;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use keysweep_model::messages::Lookups;
use keysweep_model::outcome::Outcome;
use redis::Value;

use super::ledger::verdict;
use super::policy::{GuardAction, KeyReading, OPEN};
use super::{
    BatchWindow, ExpectedContent, Guard, GuardCall, GuardReplies, GuardReply, GuardVerdict, Part, lookups,
};
use crate::conn::{Batch, Conn};
use crate::dump::is_no_string;
use crate::error::{RedisError, RedisErrorKind};
use crate::fields::{self, FieldTtls};
use crate::limits::FIELDS_KEYS_AT_ONCE;
use crate::multi_exec::transaction;
use crate::node::server_time;
use crate::socket::Expected;

/// How often a single key that changes each time is read again before it is spared.
const TRIES_MAX: u32 = 10;

/// The delete backend by transactions, with their connection, which is kept open between them.
#[derive(Clone, Default)]
pub struct WatchGuard(Arc<Mutex<Option<Conn>>>);

impl Guard for WatchGuard {
    async fn call(&self, conn: &Conn, call: GuardCall<'_>) -> Result<GuardReplies, RedisError> {
        let mut replies = Vec::new();
        for part in call.parts {
            replies.push(self.act(conn, call.window, part).await);
        }
        Ok(replies)
    }

    fn writes_on_caller_conn(&self) -> bool {
        false
    }

    fn crosses_slots(&self) -> bool {
        false
    }
}

impl WatchGuard {
    async fn act(&self, conn: &Conn, window: BatchWindow, part: &Part<'_>) -> Result<GuardReply, RedisError> {
        let own = conn.dedicated().await?;
        let mut work = WatchWork::new(&own, window, part);
        let finished = work.finish().await;
        let answer = finished.map_err(|fault| fault.after_acting(!work.committed.is_empty()))?;
        if !work.watching {
            let kept = own.into_conn();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        Ok(answer)
    }
}

/// The result of one pass over a part.
enum WatchPass {
    /// The pass is done. Candidates may be left.
    Done,
    /// A watched key had changed; nothing was done.
    Changed,
    /// Nothing is left to do.
    End(GuardVerdict),
}

/// A part in progress.
struct WatchWork<'a> {
    conn: &'a Conn,
    window: BatchWindow,
    ledger: Vec<u8>,
    order: GuardAction,
    part: &'a Part<'a>,
    /// The letters of the part, as far as this call knows them.
    letters: Vec<u8>,
    /// The outcomes that this call decided.
    committed: Vec<Outcome>,
    /// For each of those outcomes, whether the value was saved as a string.
    texts: Vec<bool>,
    /// Whether the connection may be watching keys.
    watching: bool,
    made: Lookups,
}

impl<'a> WatchWork<'a> {
    fn new(conn: &'a Conn, window: BatchWindow, part: &'a Part<'a>) -> Self {
        Self {
            conn,
            window,
            ledger: part.ledger.key(window.run),
            order: GuardAction::of(part),
            part,
            letters: vec![OPEN; part.candidates.len()],
            committed: Vec::new(),
            texts: Vec::new(),
            watching: false,
            made: Lookups::default(),
        }
    }

    /// The expected content of a candidate, if there is one.
    fn expected(&self, index: usize) -> Option<&'a ExpectedContent> {
        self.part.candidates[index].expected.as_ref().filter(|_| self.order.acts())
    }

    /// Candidates that this call has not decided yet.
    fn due(&self) -> Vec<usize> {
        (0..self.letters.len()).filter(|index| self.letters[*index] == OPEN).collect()
    }

    /// The letter that follows from what was `read` of a candidate at `now_ms`, or from the expected content alone.
    fn letter(&self, index: usize, read: Option<&KeyReading>, now_ms: u64) -> u8 {
        let letter = match (self.expected(index), read) {
            (Some(ExpectedContent::Unsaved), _) => Outcome::Failed.code() as u8,
            (_, None) if self.order.acts() => Outcome::Spared.code() as u8,
            (_, read) => {
                let unread = KeyReading::of_expiry(0);
                let expires_at_ms = self.part.candidates[index].expires_at_ms;
                self.order.outcome_code(expires_at_ms, *read.unwrap_or(&unread), now_ms)
            }
        };
        let acts = Outcome::from_code(letter).is_some_and(Outcome::is_changed);
        match self.part.doubtful && self.order.acts() && !acts {
            true => Outcome::Unconfirmed.code() as u8,
            false => letter,
        }
    }

    /// Works until each candidate has its letter.
    async fn finish(&mut self) -> Result<GuardReply, RedisError> {
        let count = self.letters.len();
        let (mut step, mut tries) = (count.max(1), 0);
        // Each pass makes progress, halves the step, or is one of the tries of a key.
        for _ in 0..count * (TRIES_MAX as usize + 2) + 64 {
            let due = self.due();
            let next = &due[..step.min(due.len())];
            let given_up = next.len() == 1 && tries >= TRIES_MAX;
            match self.pass(next, given_up).await? {
                WatchPass::End(verdict) => return Ok(self.answer(verdict)),
                WatchPass::Done => (step, tries) = (step.saturating_mul(2).min(count.max(1)), 0),
                WatchPass::Changed if next.len() > 1 => (step, tries) = (next.len() / 2, 0),
                WatchPass::Changed => tries += 1,
            }
        }
        let why = "the ledger of the batch keeps disappearing; is the server evicting keys?";
        Err(RedisError::new(RedisErrorKind::Unavailable, self.conn.address(), why))
    }

    fn answer(&self, verdict: GuardVerdict) -> GuardReply {
        let saved = self.part.compares().then_some(self.texts.as_slice());
        let known = lookups(self.part.reason, self.order.asks_idle(), saved, &self.committed);
        GuardReply { verdict, extra_lookups: self.made.minus(known) }
    }

    /// Reads the candidates `next` and acts on them; spares them unread if they are `given_up`.
    async fn pass(&mut self, next: &[usize], given_up: bool) -> Result<WatchPass, RedisError> {
        let needs_read = |index: &usize| {
            !given_up && self.order.acts() && self.expected(*index) != Some(&ExpectedContent::Unsaved)
        };
        let read: Vec<usize> = next.iter().copied().filter(needs_read).collect();
        let Some(seen) = self.read_keys(&read).await? else { return Ok(WatchPass::Changed) };
        if seen.now_ms >= self.window.not_after_ms {
            return Ok(WatchPass::End(self.is_expired()));
        }
        if self.order.acts() && seen.now_ms < self.window.not_before_ms {
            // A ledger in which nothing is recorded is removed, unless it has changed meanwhile.
            if seen.ledger.iter().all(|letter| *letter == OPEN) {
                self.transact(&[vec![b"UNLINK".to_vec(), self.ledger.clone()]]).await?;
            }
            return Ok(WatchPass::End(GuardVerdict::TooEarly(self.window.not_before_ms - seen.now_ms)));
        }
        if seen.ledger.len() != self.part.recorded {
            // Voided, because an effect was rejected.
            return if seen.ledger.is_empty() {
                Ok(WatchPass::End(GuardVerdict::Incomplete))
            } else {
                Err(RedisError::unexpected(self.conn.address(), "GET"))
            };
        }
        // What this call did is known, even if the ledger was lost since.
        for (ours, theirs) in self.letters.iter_mut().zip(&seen.ledger[self.part.before..]) {
            if *ours == OPEN {
                *ours = *theirs;
            }
        }
        if self.due().is_empty() {
            return Ok(WatchPass::End(self.verdict()?));
        }
        let (mut letters, mut ours, mut texts) = (self.letters.clone(), Vec::new(), Vec::new());
        for index in next.iter().copied().filter(|index| self.letters[*index] == OPEN) {
            letters[index] = self.letter(index, seen.readings.get(&index), seen.now_ms);
            if let Some(outcome) = Outcome::from_code(letters[index]) {
                ours.push(outcome);
                texts.push(self.expected(index).is_some_and(ExpectedContent::is_text));
            }
        }
        if !self.execute(seen.ledger, &letters).await? {
            return Ok(WatchPass::Changed);
        }
        self.committed.extend(ours);
        self.texts.extend(texts);
        self.letters = letters;
        if self.due().is_empty() { Ok(WatchPass::End(self.verdict()?)) } else { Ok(WatchPass::Done) }
    }

    /// The verdict of the letters.
    fn verdict(&self) -> Result<GuardVerdict, RedisError> {
        verdict(self.conn, &Value::BulkString(self.letters.clone()), self.letters.len())
    }

    /// The batch expired: only what this call has done is known, not what the ledger recorded of the rest.
    fn is_expired(&self) -> GuardVerdict {
        if self.committed.is_empty() {
            return GuardVerdict::TooLate;
        }
        let known = |letter: &u8| Outcome::from_code(*letter).unwrap_or(Outcome::Unconfirmed);
        GuardVerdict::Outcomes(self.letters.iter().map(known).collect())
    }

    /// The first write: creates the ledger if there is none, watches, reads. `None` if the ledger disappeared at once.
    async fn read_keys(&mut self, next: &[usize]) -> Result<Option<WatchedState>, RedisError> {
        let (open, end) = (vec![OPEN; self.part.recorded], self.window.not_after_ms.to_string());
        let keys = || next.iter().map(|index| self.part.candidates[*index].key.as_bytes());
        let mut batch = Batch::new();
        batch.add(&[b"SET", &self.ledger, &open, b"NX", b"PXAT", end.as_bytes()]);
        batch.add(&[[b"WATCH".as_slice(), &self.ledger].as_slice(), &keys().collect::<Vec<_>>()].concat());
        batch.add(&[b"TIME"]);
        batch.add(&[b"GET", &self.ledger]);
        for (key, index) in keys().zip(next) {
            batch.add(&[self.order.lookup_command(), key]);
            if self.order.asks_idle() {
                batch.add(&[b"OBJECT", b"IDLETIME", key]);
            }
            if let Some(expected) = self.expected(*index) {
                batch.add(&[expected.lookup_command(), key]);
            }
        }
        self.watching = true;
        let mut replies = self.conn.batch_for(Expected::Data, batch).await?.into_iter();
        let unexpected = |command| RedisError::unexpected(self.conn.address(), command);
        for command in ["SET", "WATCH"] {
            let reply = replies.next().ok_or_else(|| unexpected(command))?;
            if let Some(fault) = self.conn.fault(&reply) {
                return Err(fault);
            }
        }
        let now_ms = server_time(self.conn, &replies.next().ok_or_else(|| unexpected("TIME"))?)?;
        let ledger = match replies.next() {
            Some(Value::BulkString(letters)) => Some(letters),
            Some(Value::Nil) => None,
            Some(other) => return Err(self.conn.fault(&other).unwrap_or_else(|| unexpected("GET"))),
            None => return Err(unexpected("GET")),
        };
        self.made += Lookups::reads(u64::from(ledger.is_some()), u64::from(ledger.is_none()));
        let mut readings = BTreeMap::new();
        for index in next {
            readings.insert(*index, self.reading(*index, &mut replies)?);
        }
        self.read_conditions(&mut readings, now_ms).await?;
        if self.part.asks_fields() {
            self.read_field_ttls(&mut readings).await?;
        }
        // A ledger that has expired at its time is expected.
        let late = now_ms >= self.window.not_after_ms;
        Ok(match ledger {
            Some(ledger) => Some(WatchedState { now_ms, ledger, readings }),
            None if late => Some(WatchedState { now_ms, ledger: Vec::new(), readings }),
            None => None,
        })
    }

    /// Parses the next of the `replies` into the reading of a candidate.
    fn reading(
        &mut self,
        index: usize,
        replies: &mut impl Iterator<Item = Value>,
    ) -> Result<KeyReading, RedisError> {
        let unexpected = |command| RedisError::unexpected(self.conn.address(), command);
        let expiry = match replies.next() {
            Some(Value::Int(expiry)) => expiry,
            Some(other) => return Err(self.conn.fault(&other).unwrap_or_else(|| unexpected("PTTL"))),
            None => return Err(unexpected("PTTL")),
        };
        let asks_idle = self.order.asks_idle();
        let idle_s = match asks_idle.then(|| replies.next()).flatten() {
            Some(Value::Int(seconds)) => Some(seconds.unsigned_abs()),
            // The key is gone, or the server has no idle times, which it reports after it has read the key up.
            _ => None,
        };
        let counter = if expiry == -2 { &mut self.made.misses } else { &mut self.made.hits };
        *counter += 1 + u64::from(asks_idle);
        let saved = match self.expected(index) {
            None => true,
            Some(expected) => self.fits(expected, replies.next())?,
        };
        Ok(KeyReading { idle_s, saved, ..KeyReading::of_expiry(expiry) })
    }

    /// Whether the value in `reply` is the saved one.
    fn fits(&mut self, expected: &ExpectedContent, reply: Option<Value>) -> Result<bool, RedisError> {
        let unexpected = || RedisError::unexpected(self.conn.address(), "DUMP");
        // It may be gone since its expiry was read.
        let gone = reply == Some(Value::Nil);
        let (hits, misses) = (u64::from(!gone), u64::from(gone));
        self.made +=
            if expected.is_text() { Lookups::reads(hits, misses) } else { Lookups::of(hits, misses) };
        match reply {
            Some(Value::BulkString(value)) => Ok(expected.fits(&value)),
            Some(Value::Nil) => Ok(false),
            Some(other) if is_no_string(self.conn, &other) => Ok(false),
            Some(other) => Err(self.conn.fault(&other).unwrap_or_else(unexpected)),
            None => Err(unexpected()),
        }
    }

    /// Watched keys may be queried further: if they change, the second write is rejected.
    async fn read_field_ttls(
        &mut self,
        readings: &mut BTreeMap<usize, KeyReading>,
    ) -> Result<(), RedisError> {
        let lasting: Vec<usize> = readings
            .iter()
            .filter(|(_, reading)| reading.expiry == -1 && reading.qualifies)
            .map(|(index, _)| *index)
            .collect();
        for some in lasting.chunks(FIELDS_KEYS_AT_ONCE) {
            let keys: Vec<&[u8]> =
                some.iter().map(|index| self.part.candidates[*index].key.as_bytes()).collect();
            let (found, lookups) = fields::ask(self.conn, &keys).await?;
            self.made += lookups;
            for (index, found) in some.iter().zip(found) {
                if let Some(reading) = readings.get_mut(index) {
                    reading.fields_expire = found == FieldTtls::Expire;
                }
            }
        }
        Ok(())
    }

    /// The second write: `letters` into the ledger, which contains `recorded`, and their effect. `false` if a watched
    /// key had changed and nothing was done.
    async fn execute(&mut self, mut recorded: Vec<u8>, letters: &[u8]) -> Result<bool, RedisError> {
        let effects = self.order.effects(&self.part.candidates, &self.letters, letters);
        let before = self.part.before;
        recorded[before..before + letters.len()].copy_from_slice(letters);
        let record = [b"SET".to_vec(), self.ledger.clone(), recorded, b"KEEPTTL".to_vec()];
        let mut commands = vec![record.to_vec()];
        commands.extend(effects);
        let Some(refused) = self.transact(&commands).await? else { return Ok(false) };
        let Some(refused) = refused else { return Ok(true) };
        // The transaction ran, and the server rejected one of its commands: the recorded outcome is wrong.
        self.conn.command(&[b"SET", &self.ledger, b"", b"XX", b"KEEPTTL"]).await?;
        Err(refused)
    }

    /// Runs a transaction, which also ends the watches of the connection.
    async fn transact(
        &mut self,
        commands: &[Vec<Vec<u8>>],
    ) -> Result<Option<Option<RedisError>>, RedisError> {
        let done = transaction(self.conn, commands).await?;
        self.watching = false;
        Ok(done)
    }
}

/// What the first write read.
struct WatchedState {
    now_ms: u64,
    ledger: Vec<u8>,
    /// By the index of the candidate.
    readings: BTreeMap<usize, KeyReading>,
}
