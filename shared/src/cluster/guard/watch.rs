//! Guarded deletion on servers that run no scripts: the same answers as those of `guard.lua`, in two writes.
//!
//! The first write makes the ledger with a `.` for each candidate (nothing was done yet), watches ledger and
//! candidates, and reads the clock, the ledger, and when each candidate expires. What is to become of them follows
//! from that (`judge.rs`). The second write is a transaction: the letters into the ledger, and the effect. The server
//! refuses it as a whole if anything that is watched has changed meanwhile, so what was read still held when it acted:
//!
//! - a candidate that was written, given a TTL, made or removed: its group is halved and read again; a single one that
//!   changes each time is in use, and spared;
//! - another attempt at the batch, which writes the same ledger: of two, one is refused, and reads then what the other
//!   has done;
//! - a batch that became too old meanwhile: its ledger expires at that moment, and a key that expires has changed.
//!   A ledger that is evicted or removed has changed as well.
//!
//! Beyond what the script does, a ledger may be done in part, when its keys were halved: the next attempt goes on where
//! it stands. Watches belong to a connection, so one group after the other has one to itself; where it did not come to its
//! end, the connection is closed, which drops its watches.
//!
//! Limitations: reading a key is no change, so a key that is idle when it is looked at and read before the transaction
//! is deleted all the same. And a full memory takes no ledger, so there is no effect either.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use redis::Value;

use super::policy::{GuardAction, KeyReading, OPEN, decided};
use super::{BatchWindow, ExpectedContent, GuardMode, GuardReply, GuardVerdict, Part, ledger_key, lookups};
use crate::cluster::conn::{Batch, Conn};
use crate::cluster::dump::is_no_string;
use crate::cluster::error::{RedisError, RedisErrorKind};
use crate::cluster::fields::{self, FieldTtls};
use crate::cluster::multi_exec::transaction;
use crate::cluster::node::server_time;
use crate::cluster::socket::Expected;
use crate::limits::FIELDS_KEYS_AT_ONCE;
use crate::messages::Lookups;
use crate::outcome::Outcome;

/// How often a single key that changes each time is read again, before it is spared.
const TRIES_MAX: u32 = 10;

/// The connection that transactions go over, kept open between them.
#[derive(Clone, Default)]
pub struct WatchPool(Arc<Mutex<Option<Conn>>>);

impl WatchPool {
    /// See [`super::GuardExecutor::call`].
    pub(super) async fn call(
        &self,
        conn: &Conn,
        (window, mode): (BatchWindow, GuardMode),
        parts: &[Part<'_>],
    ) -> Vec<Result<GuardReply, RedisError>> {
        let mut answers = Vec::new();
        for part in parts {
            answers.push(self.act(conn, (window, mode), *part).await);
        }
        answers
    }

    async fn act(
        &self,
        conn: &Conn,
        (window, mode): (BatchWindow, GuardMode),
        part: Part<'_>,
    ) -> Result<GuardReply, RedisError> {
        let own = conn.dedicated().await?;
        let mut work = WatchWork::new(&own, window, mode, part);
        let answer = work.finish().await?;
        if !work.watching {
            let kept = own.into_conn();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        Ok(answer)
    }
}

/// What one pass over a group came to.
enum WatchPass {
    /// What it wanted to do is done. Something may be left.
    Done,
    /// Something had changed; nothing was done.
    Changed,
    /// There is nothing more to do.
    End(GuardVerdict),
}

/// A group that is worked on.
struct WatchWork<'a> {
    conn: &'a Conn,
    window: BatchWindow,
    ledger: Vec<u8>,
    order: GuardAction<'a>,
    part: Part<'a>,
    /// The letters as far as we know them.
    letters: Vec<u8>,
    /// Those that this call decided.
    committed: Vec<Outcome>,
    /// Whether hashes are asked whether their fields expire.
    asks_fields: bool,
    /// Whether each of those was saved as a string.
    texts: Vec<bool>,
    /// Whether the connection may watch something.
    watching: bool,
    made: Lookups,
}

impl<'a> WatchWork<'a> {
    fn new(conn: &'a Conn, window: BatchWindow, mode: GuardMode, part: Part<'a>) -> Self {
        let (order, asks_fields) = (GuardAction::of(mode, part.group), mode.asks_fields(part.group));
        let ledger = ledger_key(window.run, window.batch, part.number, part.group.slot);
        let letters = vec![OPEN; part.group.keys.len()];
        let (committed, texts, made) = (Vec::new(), Vec::new(), Lookups::default());
        Self {
            conn,
            window,
            ledger,
            order,
            part,
            letters,
            committed,
            texts,
            asks_fields,
            watching: false,
            made,
        }
    }

    /// What was saved of a candidate, if that counts.
    fn finalize(&self, index: usize) -> Option<&'a ExpectedContent> {
        self.part.expected.filter(|_| self.order.acts())?.get(index)
    }

    /// Candidates that are this call's to decide, and not decided yet.
    fn due(&self) -> Vec<usize> {
        let is_due = |index: &usize| {
            self.letters[*index] == OPEN && self.finalize(*index) != Some(&ExpectedContent::Later)
        };
        (0..self.letters.len()).filter(is_due).collect()
    }

    /// Works until each candidate has its letter.
    async fn finish(&mut self) -> Result<GuardReply, RedisError> {
        let count = self.letters.len();
        let (mut step, mut tries) = (count.max(1), 0);
        // Each pass gets something done, halves the step, or is one of the tries of a key.
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
        let why = "the ledger of the batch does not stay; is the server evicting keys?";
        Err(RedisError::new(RedisErrorKind::Unavailable, self.conn.address(), why))
    }

    fn answer(&self, verdict: GuardVerdict) -> GuardReply {
        let saved = self.part.expected.map(|_| self.texts.as_slice());
        let known = lookups(self.part.group.reason, self.order.asks_idle(), saved, &self.committed);
        GuardReply { verdict, extra_lookups: self.made.minus(known) }
    }

    /// Reads the candidates `next` and does what is to be done; spares them unread if they are `given_up`.
    async fn pass(&mut self, next: &[usize], given_up: bool) -> Result<WatchPass, RedisError> {
        let takes_look =
            |index: &usize| !given_up && self.order.acts() && decided(self.finalize(*index)).is_none();
        let looked: Vec<usize> = next.iter().copied().filter(takes_look).collect();
        let Some(seen) = self.read_keys(&looked).await? else { return Ok(WatchPass::Changed) };
        if seen.now_ms >= self.window.not_after_ms {
            return Ok(WatchPass::End(self.is_expired()));
        }
        if self.order.acts() && seen.now_ms < self.window.not_before_ms {
            // A ledger in which nothing is recorded goes, unless it has changed meanwhile.
            if seen.ledger.iter().all(|letter| *letter == OPEN) {
                self.transact(&[vec![b"UNLINK".to_vec(), self.ledger.clone()]]).await?;
            }
            return Ok(WatchPass::End(GuardVerdict::TooEarly(self.window.not_before_ms - seen.now_ms)));
        }
        if seen.ledger.len() != self.letters.len() {
            // Voided, because of an effect that was refused.
            return if seen.ledger.is_empty() {
                Ok(WatchPass::End(GuardVerdict::Incomplete))
            } else {
                Err(RedisError::unexpected(self.conn.address(), "GET"))
            };
        }
        // Whatever this call did is known, even if the ledger was lost since.
        for (ours, theirs) in self.letters.iter_mut().zip(&seen.ledger) {
            if *ours == OPEN {
                *ours = *theirs;
            }
        }
        if self.due().is_empty() {
            return Ok(WatchPass::End(self.verdict()?));
        }
        let (mut letters, mut ours, mut texts) = (self.letters.clone(), Vec::new(), Vec::new());
        let unread = KeyReading { expiry: 0, idle_s: None, saved: true, fields_expire: false };
        for index in next.iter().copied().filter(|index| self.letters[*index] == OPEN) {
            letters[index] = match (decided(self.finalize(index)), seen.readings.get(&index)) {
                (Some(letter), _) => letter,
                (None, Some(reading)) => self.order.outcome_code(index, *reading, seen.now_ms),
                (None, None) if self.order.acts() => Outcome::Spared.code() as u8,
                (None, None) => self.order.outcome_code(index, unread, seen.now_ms),
            };
            if let Some(outcome) = Outcome::from_code(letters[index]) {
                ours.push(outcome);
                texts.push(self.finalize(index).is_some_and(ExpectedContent::is_text));
            }
        }
        if !self.execute(&letters).await? {
            return Ok(WatchPass::Changed);
        }
        self.committed.extend(ours);
        self.texts.extend(texts);
        self.letters = letters;
        if self.due().is_empty() { Ok(WatchPass::End(self.verdict()?)) } else { Ok(WatchPass::Done) }
    }

    /// What the letters say.
    fn verdict(&self) -> Result<GuardVerdict, RedisError> {
        super::verdict(self.conn, &Value::BulkString(self.letters.clone()), self.letters.len())
    }

    /// It is too late: what this call has done is known, whatever the ledger would have said of the rest.
    fn is_expired(&self) -> GuardVerdict {
        if self.committed.is_empty() {
            return GuardVerdict::Expired;
        }
        let known = |letter: &u8| Outcome::from_code(*letter).unwrap_or(Outcome::Unconfirmed);
        GuardVerdict::Outcomes(self.letters.iter().map(known).collect())
    }

    /// The first write: makes the ledger if there is none, watches, reads. `None` if the ledger went at once.
    async fn read_keys(&mut self, next: &[usize]) -> Result<Option<WatchedState>, RedisError> {
        let (open, end) = (vec![OPEN; self.letters.len()], self.window.not_after_ms.to_string());
        let keys = || next.iter().map(|index| self.part.group.keys[*index].as_bytes());
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
            if let Some(seal) = self.finalize(*index) {
                batch.add(&[seal.lookup_command(), key]);
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
        if self.asks_fields {
            self.read_field_ttls(&mut readings).await?;
        }
        // A ledger that is gone because its time has come is no riddle.
        let late = now_ms >= self.window.not_after_ms;
        Ok(match ledger {
            Some(ledger) => Some(WatchedState { now_ms, ledger, readings }),
            None if late => Some(WatchedState { now_ms, ledger: Vec::new(), readings }),
            None => None,
        })
    }

    /// What the next of the `replies` say of a candidate.
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
            // It is gone, or the server does not know, which it says after it has looked the key up.
            _ => None,
        };
        let counter = if expiry == -2 { &mut self.made.misses } else { &mut self.made.hits };
        *counter += 1 + u64::from(asks_idle);
        let saved = match self.finalize(index) {
            None => true,
            Some(seal) => self.fits(seal, replies.next())?,
        };
        Ok(KeyReading { expiry, idle_s, saved, fields_expire: false })
    }

    /// Whether the value that `reply` holds is the one that was saved.
    fn fits(&mut self, seal: &ExpectedContent, reply: Option<Value>) -> Result<bool, RedisError> {
        let unexpected = || RedisError::unexpected(self.conn.address(), "DUMP");
        // It may be gone since it was asked for its expiry.
        let gone = reply == Some(Value::Nil);
        let (hits, misses) = (u64::from(!gone), u64::from(gone));
        self.made += if seal.is_text() { Lookups::reads(hits, misses) } else { Lookups::of(hits, misses) };
        match reply {
            Some(Value::BulkString(value)) => Ok(seal.fits(&value)),
            Some(Value::Nil) => Ok(false),
            Some(other) if is_no_string(self.conn, &other) => Ok(false),
            Some(other) => Err(self.conn.fault(&other).unwrap_or_else(unexpected)),
            None => Err(unexpected()),
        }
    }

    /// What is watched may be asked further questions: what they say holds, or the second write is refused.
    async fn read_field_ttls(
        &mut self,
        readings: &mut BTreeMap<usize, KeyReading>,
    ) -> Result<(), RedisError> {
        let lasting: Vec<usize> =
            readings.iter().filter(|(_, reading)| reading.expiry == -1).map(|(index, _)| *index).collect();
        for some in lasting.chunks(FIELDS_KEYS_AT_ONCE) {
            let keys: Vec<&[u8]> = some.iter().map(|index| self.part.group.keys[*index].as_bytes()).collect();
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

    /// The second write. `false` if something had changed, and nothing was done.
    async fn execute(&mut self, letters: &[u8]) -> Result<bool, RedisError> {
        let effects = self.order.effects(self.part.group, &self.letters, letters);
        let record = [b"SET".to_vec(), self.ledger.clone(), letters.to_vec(), b"KEEPTTL".to_vec()];
        let mut commands = vec![record.to_vec()];
        commands.extend(effects);
        let Some(refused) = self.transact(&commands).await? else { return Ok(false) };
        let Some(refused) = refused else { return Ok(true) };
        // The server began, and refused a part: what was recorded is not true then.
        self.conn.command(&[b"SET", &self.ledger, b"", b"XX", b"KEEPTTL"]).await?;
        Err(refused)
    }

    /// Ends the watch of the connection, too.
    async fn transact(
        &mut self,
        commands: &[Vec<Vec<u8>>],
    ) -> Result<Option<Option<RedisError>>, RedisError> {
        let done = transaction(self.conn, commands).await?;
        self.watching = false;
        Ok(done)
    }
}

/// What the first write saw.
struct WatchedState {
    now_ms: u64,
    ledger: Vec<u8>,
    /// By the number of the candidate.
    readings: BTreeMap<usize, KeyReading>,
}
