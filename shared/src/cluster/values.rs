//! Reads what keys hold, some at a time: as many in one write as their sizes allow, and none that is too large. Each step
//! is one write, so that whoever reads can wait for a turn before it.

use std::collections::VecDeque;

use super::conn::Conn;
use super::dump::{self, DumpedValue, ProbedValue};
use super::error::RedisError;
use crate::key::Key;
use crate::limits::{BACKUP_WRITE_BYTES, BACKUP_WRITE_KEYS};
use crate::messages::Lookups;

/// What was read of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueContent {
    /// This, of which the server holds about so many bytes.
    Held(DumpedValue, u64),
    /// It takes about so many bytes, which is too much, or the server does not send them.
    TooLarge(u64),
    /// It is gone, served elsewhere, or has just become something else.
    Gone,
}

/// See the module.
#[derive(Debug)]
pub struct ValueReader<'k> {
    keys: Vec<&'k Key>,
    /// The first of them that was not looked at.
    next: usize,
    value_bytes_max: u64,
    /// Values that take so many bytes are not asked for: the node does not send them.
    bytes_end: u64,
    bytes_at_once: u64,
    /// Keys that were looked at, by their places, in pieces whose values one write asks for.
    parts: VecDeque<Vec<(usize, ProbedValue)>>,
}

impl<'k> ValueReader<'k> {
    /// Will read `keys` behind `conn`, but no value of more than `value_bytes_max` bytes. All of it goes by what is known
    /// now of how much the server sends in one piece.
    #[must_use]
    pub fn new(conn: &Conn, keys: Vec<&'k Key>, value_bytes_max: u64) -> Self {
        let bytes_at_once = conn.value_bytes_at_once().min(BACKUP_WRITE_BYTES);
        let bytes_end = conn.value_bytes_end();
        Self { keys, next: 0, value_bytes_max, bytes_end, bytes_at_once, parts: VecDeque::new() }
    }

    /// Bytes of values, about, that one write asks for.
    #[must_use]
    pub fn bytes_at_once(&self) -> u64 {
        self.bytes_at_once
    }

    /// How many keys the next step is about, of at most `most`; 0 if all are read.
    #[must_use]
    pub fn keys_next(&self, conn: &Conn, most: u64) -> usize {
        if let Some(part) = self.parts.front() {
            return part.iter().filter(|(_, found)| self.wants(found).is_some()).count();
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, BACKUP_WRITE_KEYS);
        most.min(conn.texts_at_once()).min(self.keys.len() - self.next)
    }

    /// Reads on, in one write that is about at most `most` keys. What was read, each with its place among the keys, in
    /// their order; and the look-ups that it took.
    pub async fn step(
        &mut self,
        conn: &Conn,
        most: u64,
    ) -> Result<(Vec<(usize, ValueContent)>, Lookups), RedisError> {
        if let Some(part) = self.parts.front() {
            let wanted = part.iter().filter_map(|(at, found)| Some((self.keys[*at], self.wants(found)?)));
            let wanted: Vec<(&Key, bool)> = wanted.collect();
            let asked = part.iter().filter(|(_, found)| self.wants(found).is_some());
            let bytes = asked.map(|(_, found)| found.bytes()).sum();
            let (values, lookups) = dump::values(conn, &wanted, bytes).await?;
            let part = self.parts.pop_front().unwrap_or_default();
            return Ok((self.contents(part, values), lookups));
        }
        let window = self.next..self.next + self.keys_next(conn, most);
        let (found, lookups) = dump::probe(conn, &self.keys[window.clone()]).await?;
        self.next = window.end;
        self.parts = self.parts(window.zip(found).collect());
        let is_read =
            |part: &Vec<(usize, ProbedValue)>| part.iter().all(|(_, found)| self.wants(found).is_none());
        let read = if self.parts.front().is_some_and(is_read) { self.parts.pop_front() } else { None };
        Ok((self.contents(read.unwrap_or_default(), Vec::new()), lookups))
    }

    /// Whether it is a string, for what is still to be asked for.
    fn wants(&self, found: &ProbedValue) -> Option<bool> {
        match found {
            ProbedValue::Other { bytes, text } => {
                (*bytes <= self.value_bytes_max && *bytes < self.bytes_end).then_some(*text)
            }
            ProbedValue::Text(_) | ProbedValue::Gone => None,
        }
    }

    /// `found` in pieces whose values one write asks for. All but the first have such values.
    fn parts(&self, found: Vec<(usize, ProbedValue)>) -> VecDeque<Vec<(usize, ProbedValue)>> {
        let mut parts: VecDeque<Vec<_>> = VecDeque::new();
        let mut bytes = 0;
        for (at, found) in found {
            let more = if self.wants(&found).is_some() { found.bytes() } else { 0 };
            match parts.back_mut() {
                Some(part) if more == 0 || bytes + more <= self.bytes_at_once => {
                    bytes += more;
                    part.push((at, found));
                }
                _ => {
                    bytes = more;
                    parts.push_back(vec![(at, found)]);
                }
            }
        }
        parts
    }

    /// What `part` holds; `values` are of those keys that were asked for.
    fn contents(
        &self,
        part: Vec<(usize, ProbedValue)>,
        values: Vec<Option<DumpedValue>>,
    ) -> Vec<(usize, ValueContent)> {
        let mut values = values.into_iter();
        let content = |found: ProbedValue| {
            let weighs = found.bytes();
            let held = match found {
                ProbedValue::Text(held) => Some(held),
                ref other if self.wants(other).is_some() => values.next().flatten(),
                ProbedValue::Other { .. } => return ValueContent::TooLarge(weighs),
                ProbedValue::Gone => None,
            };
            let Some(held) = held else { return ValueContent::Gone };
            // The server weighs only some members of a large value.
            let weighs = weighs.max(held.value.len() as u64);
            if held.value.len() as u64 > self.value_bytes_max {
                return ValueContent::TooLarge(weighs);
            }
            ValueContent::Held(held, weighs)
        };
        let (places, found): (Vec<usize>, Vec<ProbedValue>) = part.into_iter().unzip();
        places.into_iter().zip(found.into_iter().map(content)).collect()
    }
}
