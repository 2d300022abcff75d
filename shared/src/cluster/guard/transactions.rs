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

use super::judge::{OPEN, Order, Reading, decided};
use super::{Answer, Mode, Part, Seal, Verdict, Window, ledger_key, lookups};
use crate::cluster::conn::{Batch, Conn};
use crate::cluster::fault::{Fault, FaultKind};
use crate::cluster::fields::{self, Fields};
use crate::cluster::node::server_time;
use crate::cluster::save::is_no_string;
use crate::cluster::socket::Expected;
use crate::limits::FIELDS_KEYS_AT_ONCE;
use crate::messages::Lookups;
use crate::outcome::Outcome;

/// How often a single key that changes each time is read again, before it is spared.
const TRIES_MAX: u32 = 10;

/// The connection that transactions go over, kept open between them.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Option<Conn>>>);

impl Kept {
    /// See [`super::Means::call`].
    pub(super) async fn call(
        &self,
        conn: &Conn,
        (window, mode): (Window, Mode),
        parts: &[Part<'_>],
    ) -> Vec<Result<Answer, Fault>> {
        let mut answers = Vec::new();
        for part in parts {
            answers.push(self.act(conn, (window, mode), *part).await);
        }
        answers
    }

    async fn act(
        &self,
        conn: &Conn,
        (window, mode): (Window, Mode),
        part: Part<'_>,
    ) -> Result<Answer, Fault> {
        let own = conn.alone().await?;
        let mut work = Work::new(&own, window, mode, part);
        let answer = work.finish().await?;
        if !work.watching {
            let kept = own.keep();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        Ok(answer)
    }
}

/// What one pass over a group came to.
enum Pass {
    /// What it wanted to do is done. Something may be left.
    Done,
    /// Something had changed; nothing was done.
    Changed,
    /// There is nothing more to do.
    End(Verdict),
}

/// A group that is worked on.
struct Work<'a> {
    conn: &'a Conn,
    window: Window,
    ledger: Vec<u8>,
    order: Order<'a>,
    part: Part<'a>,
    /// The letters as far as we know them.
    letters: Vec<u8>,
    /// Those that this call decided.
    ours: Vec<Outcome>,
    /// Whether hashes are asked whether their fields expire.
    asks_fields: bool,
    /// Whether each of those was saved as a string.
    texts: Vec<bool>,
    /// Whether the connection may watch something.
    watching: bool,
    made: Lookups,
}

impl<'a> Work<'a> {
    fn new(conn: &'a Conn, window: Window, mode: Mode, part: Part<'a>) -> Self {
        let (order, asks_fields) = (Order::of(mode, part.group), mode.asks_fields(part.group));
        let ledger = ledger_key(window.run, window.batch, part.number, part.group.slot);
        let letters = vec![OPEN; part.group.keys.len()];
        let (ours, texts, made) = (Vec::new(), Vec::new(), Lookups::default());
        Self { conn, window, ledger, order, part, letters, ours, texts, asks_fields, watching: false, made }
    }

    /// What was saved of a candidate, if that counts.
    fn seal(&self, index: usize) -> Option<&'a Seal> {
        self.part.seals.filter(|_| self.order.acts())?.get(index)
    }

    /// Candidates that are this call's to decide, and not decided yet.
    fn due(&self) -> Vec<usize> {
        let is_due = |index: &usize| self.letters[*index] == OPEN && self.seal(*index) != Some(&Seal::Later);
        (0..self.letters.len()).filter(is_due).collect()
    }

    /// Works until each candidate has its letter.
    async fn finish(&mut self) -> Result<Answer, Fault> {
        let count = self.letters.len();
        let (mut step, mut tries) = (count.max(1), 0);
        // Each pass gets something done, halves the step, or is one of the tries of a key.
        for _ in 0..count * (TRIES_MAX as usize + 2) + 64 {
            let due = self.due();
            let next = &due[..step.min(due.len())];
            let given_up = next.len() == 1 && tries >= TRIES_MAX;
            match self.pass(next, given_up).await? {
                Pass::End(verdict) => return Ok(self.answer(verdict)),
                Pass::Done => (step, tries) = (step.saturating_mul(2).min(count.max(1)), 0),
                Pass::Changed if next.len() > 1 => (step, tries) = (next.len() / 2, 0),
                Pass::Changed => tries += 1,
            }
        }
        let why = "the ledger of the batch does not stay; is the server evicting keys?";
        Err(Fault::new(FaultKind::NotReady, self.conn.address(), why))
    }

    fn answer(&self, verdict: Verdict) -> Answer {
        let saved = self.part.seals.map(|_| self.texts.as_slice());
        let known = lookups(self.part.group.reason, self.order.asks_idle(), saved, &self.ours);
        Answer { verdict, beyond: self.made.beyond(known) }
    }

    /// Reads the candidates `next` and does what is to be done; spares them unread if they are `given_up`.
    async fn pass(&mut self, next: &[usize], given_up: bool) -> Result<Pass, Fault> {
        let takes_look =
            |index: &usize| !given_up && self.order.acts() && decided(self.seal(*index)).is_none();
        let looked: Vec<usize> = next.iter().copied().filter(takes_look).collect();
        let Some(seen) = self.look(&looked).await? else { return Ok(Pass::Changed) };
        if seen.now_ms >= self.window.not_after_ms {
            return Ok(Pass::End(self.late()));
        }
        if self.order.acts() && seen.now_ms < self.window.not_before_ms {
            // A ledger in which nothing is recorded goes, unless it has changed meanwhile.
            if seen.ledger.iter().all(|letter| *letter == OPEN) {
                self.transact(&[vec![b"UNLINK".to_vec(), self.ledger.clone()]]).await?;
            }
            return Ok(Pass::End(Verdict::Early(self.window.not_before_ms - seen.now_ms)));
        }
        if seen.ledger.len() != self.letters.len() {
            // Voided, because of an effect that was refused.
            return if seen.ledger.is_empty() {
                Ok(Pass::End(Verdict::Incomplete))
            } else {
                Err(Fault::unexpected(self.conn.address(), "GET"))
            };
        }
        // Whatever this call did is known, even if the ledger was lost since.
        for (ours, theirs) in self.letters.iter_mut().zip(&seen.ledger) {
            if *ours == OPEN {
                *ours = *theirs;
            }
        }
        if self.due().is_empty() {
            return Ok(Pass::End(self.verdict()?));
        }
        let (mut letters, mut ours, mut texts) = (self.letters.clone(), Vec::new(), Vec::new());
        let unread = Reading { expiry: 0, idle_s: None, saved: true, fields_expire: false };
        for index in next.iter().copied().filter(|index| self.letters[*index] == OPEN) {
            letters[index] = match (decided(self.seal(index)), seen.readings.get(&index)) {
                (Some(letter), _) => letter,
                (None, Some(reading)) => self.order.letter(index, *reading, seen.now_ms),
                (None, None) if self.order.acts() => Outcome::Spared.letter() as u8,
                (None, None) => self.order.letter(index, unread, seen.now_ms),
            };
            if let Some(outcome) = Outcome::from_letter(letters[index]) {
                ours.push(outcome);
                texts.push(self.seal(index).is_some_and(Seal::is_text));
            }
        }
        if !self.carry_out(&letters).await? {
            return Ok(Pass::Changed);
        }
        self.ours.extend(ours);
        self.texts.extend(texts);
        self.letters = letters;
        if self.due().is_empty() { Ok(Pass::End(self.verdict()?)) } else { Ok(Pass::Done) }
    }

    /// What the letters say.
    fn verdict(&self) -> Result<Verdict, Fault> {
        super::verdict(self.conn, &Value::BulkString(self.letters.clone()), self.letters.len())
    }

    /// It is too late: what this call has done is known, whatever the ledger would have said of the rest.
    fn late(&self) -> Verdict {
        if self.ours.is_empty() {
            return Verdict::Late;
        }
        let known = |letter: &u8| Outcome::from_letter(*letter).unwrap_or(Outcome::Unconfirmed);
        Verdict::Outcomes(self.letters.iter().map(known).collect())
    }

    /// The first write: makes the ledger if there is none, watches, reads. `None` if the ledger went at once.
    async fn look(&mut self, next: &[usize]) -> Result<Option<Seen>, Fault> {
        let (open, end) = (vec![OPEN; self.letters.len()], self.window.not_after_ms.to_string());
        let keys = || next.iter().map(|index| self.part.group.keys[*index].as_bytes());
        let mut batch = Batch::new();
        batch.add(&[b"SET", &self.ledger, &open, b"NX", b"PXAT", end.as_bytes()]);
        batch.add(&[[b"WATCH".as_slice(), &self.ledger].as_slice(), &keys().collect::<Vec<_>>()].concat());
        batch.add(&[b"TIME"]);
        batch.add(&[b"GET", &self.ledger]);
        for (key, index) in keys().zip(next) {
            batch.add(&[self.order.looks_with(), key]);
            if self.order.asks_idle() {
                batch.add(&[b"OBJECT", b"IDLETIME", key]);
            }
            if let Some(seal) = self.seal(*index) {
                batch.add(&[seal.looks_with(), key]);
            }
        }
        self.watching = true;
        let mut replies = self.conn.batch_for(Expected::Data, batch).await?.into_iter();
        let unexpected = |command| Fault::unexpected(self.conn.address(), command);
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
            self.look_at_fields(&mut readings).await?;
        }
        // A ledger that is gone because its time has come is no riddle.
        let late = now_ms >= self.window.not_after_ms;
        Ok(match ledger {
            Some(ledger) => Some(Seen { now_ms, ledger, readings }),
            None if late => Some(Seen { now_ms, ledger: Vec::new(), readings }),
            None => None,
        })
    }

    /// What the next of the `replies` say of a candidate.
    fn reading(&mut self, index: usize, replies: &mut impl Iterator<Item = Value>) -> Result<Reading, Fault> {
        let unexpected = |command| Fault::unexpected(self.conn.address(), command);
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
        let saved = match self.seal(index) {
            None => true,
            Some(seal) => self.fits(seal, replies.next())?,
        };
        Ok(Reading { expiry, idle_s, saved, fields_expire: false })
    }

    /// Whether the value that `reply` holds is the one that was saved.
    fn fits(&mut self, seal: &Seal, reply: Option<Value>) -> Result<bool, Fault> {
        let unexpected = || Fault::unexpected(self.conn.address(), "DUMP");
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
    async fn look_at_fields(&mut self, readings: &mut BTreeMap<usize, Reading>) -> Result<(), Fault> {
        let lasting: Vec<usize> =
            readings.iter().filter(|(_, reading)| reading.expiry == -1).map(|(index, _)| *index).collect();
        for some in lasting.chunks(FIELDS_KEYS_AT_ONCE) {
            let keys: Vec<&[u8]> = some.iter().map(|index| self.part.group.keys[*index].as_bytes()).collect();
            let (found, lookups) = fields::ask(self.conn, &keys).await?;
            self.made += lookups;
            for (index, found) in some.iter().zip(found) {
                if let Some(reading) = readings.get_mut(index) {
                    reading.fields_expire = found == Fields::Expire;
                }
            }
        }
        Ok(())
    }

    /// The second write. `false` if something had changed, and nothing was done.
    async fn carry_out(&mut self, letters: &[u8]) -> Result<bool, Fault> {
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
    async fn transact(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<Option<Option<Fault>>, Fault> {
        let done = transaction(self.conn, commands).await?;
        self.watching = false;
        Ok(done)
    }
}

/// What the first write saw.
struct Seen {
    now_ms: u64,
    ledger: Vec<u8>,
    /// By the number of the candidate.
    readings: BTreeMap<usize, Reading>,
}

/// Sends `commands` as one transaction. `None` if something that the connection watches had changed, so that nothing
/// was done; otherwise it was, but for the fault of a command that failed.
///
/// # Errors
/// When it was refused as a whole.
pub(in crate::cluster) async fn transaction(
    conn: &Conn,
    commands: &[Vec<Vec<u8>>],
) -> Result<Option<Option<Fault>>, Fault> {
    let mut batch = Batch::new();
    batch.add(&[b"MULTI"]);
    for command in commands {
        batch.add(&command.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    batch.add(&[b"EXEC"]);
    let replies = conn.batch(batch).await?;
    // The first fault says why; that of EXEC only says that there was one.
    if let Some(fault) = replies.iter().find_map(|reply| conn.fault(reply)) {
        return Err(fault);
    }
    match replies.last() {
        Some(Value::Nil) => Ok(None),
        Some(Value::Array(done)) => Ok(Some(done.iter().find_map(|reply| conn.fault(reply)))),
        _ => Err(Fault::unexpected(conn.address(), "EXEC")),
    }
}
