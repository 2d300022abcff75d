//! Reads the values of keys in steps: as many per write as their sizes allow, and none that is too large. Each step is
//! one write, so that the caller can wait for a rate limit permit before it.

use std::collections::VecDeque;

use keysweep_model::key::Key;
use keysweep_model::messages::Lookups;

use super::conn::Conn;
use super::dump::{self, DumpedValue, ProbedValue};
use super::error::RedisError;
use crate::limits::{BACKUP_WRITE_BYTES, BACKUP_WRITE_KEYS};

/// The result for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueContent {
    /// The value; the server uses about this many bytes for it.
    Held(DumpedValue, u64),
    /// The value takes about this many bytes, which is too much, or the server does not send it.
    TooLarge(u64),
    /// The key is gone, served by another node, or has just changed its type.
    Gone,
}

/// Reads the values of a list of keys.
#[derive(Debug)]
pub struct ValueReader<'k> {
    keys: Vec<&'k Key>,
    /// The index of the first key that was not probed.
    next: usize,
    value_bytes_max: u64,
    /// Values of this many bytes or more are not requested: the node does not send them.
    bytes_end: u64,
    bytes_at_once: u64,
    /// Probed keys by their indexes, in parts whose values one write requests.
    parts: VecDeque<Vec<(usize, ProbedValue)>>,
}

impl<'k> ValueReader<'k> {
    /// A reader of `keys` behind `conn` that skips values of more than `value_bytes_max` bytes. It uses what is known
    /// now of the reply sizes of the server.
    #[must_use]
    pub fn new(conn: &Conn, keys: Vec<&'k Key>, value_bytes_max: u64) -> Self {
        let bytes_at_once = conn.value_bytes_at_once().min(BACKUP_WRITE_BYTES);
        let bytes_end = conn.value_bytes_end();
        Self { keys, next: 0, value_bytes_max, bytes_end, bytes_at_once, parts: VecDeque::new() }
    }

    /// The approximate number of value bytes that one write requests.
    #[must_use]
    pub fn bytes_at_once(&self) -> u64 {
        self.bytes_at_once
    }

    /// How many keys the next step covers, at most `most`; 0 if all are read.
    #[must_use]
    pub fn keys_next(&self, conn: &Conn, most: u64) -> usize {
        if let Some(part) = self.parts.front() {
            return part.iter().filter(|(_, found)| self.wants(found).is_some()).count();
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, BACKUP_WRITE_KEYS);
        most.min(conn.texts_at_once()).min(self.keys.len() - self.next)
    }

    /// Reads the next step in one write that covers at most `most` keys. Returns the results with the indexes of their
    /// keys, in order, and the lookups that this took.
    pub async fn step(
        &mut self,
        conn: &Conn,
        most: u64,
    ) -> Result<(Vec<(usize, ValueContent)>, Lookups), RedisError> {
        if let Some(part) = self.parts.front() {
            let wanted = part.iter().filter_map(|(at, found)| Some((self.keys[*at], self.wants(found)?)));
            let wanted: Vec<(&Key, bool)> = wanted.collect();
            let requested = part.iter().filter(|(_, found)| self.wants(found).is_some());
            let bytes = requested.map(|(_, found)| found.bytes()).sum();
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

    /// Whether it is a string, for a value that is still to be requested.
    fn wants(&self, found: &ProbedValue) -> Option<bool> {
        match found {
            ProbedValue::Other { bytes, text } => {
                (*bytes <= self.value_bytes_max && *bytes < self.bytes_end).then_some(*text)
            }
            ProbedValue::Text(_) | ProbedValue::Gone => None,
        }
    }

    /// Splits `found` into parts whose values one write requests. All parts but the first have such values.
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

    /// The results for `part`; `values` are those of the requested keys.
    fn contents(
        &self,
        part: Vec<(usize, ProbedValue)>,
        values: Vec<Option<DumpedValue>>,
    ) -> Vec<(usize, ValueContent)> {
        let mut values = values.into_iter();
        let content = |found: ProbedValue| {
            let size = found.bytes();
            let held = match found {
                ProbedValue::Text(held) => Some(held),
                ref other if self.wants(other).is_some() => values.next().flatten(),
                ProbedValue::Other { .. } => return ValueContent::TooLarge(size),
                ProbedValue::Gone => None,
            };
            let Some(held) = held else { return ValueContent::Gone };
            // For a large value, the server estimates the size from a sample of its members.
            let size = size.max(held.value.len() as u64);
            if held.value.len() as u64 > self.value_bytes_max {
                return ValueContent::TooLarge(size);
            }
            ValueContent::Held(held, size)
        };
        let (places, found): (Vec<usize>, Vec<ProbedValue>) = part.into_iter().unzip();
        places.into_iter().zip(found.into_iter().map(content)).collect()
    }
}
