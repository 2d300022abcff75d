//! Keys of which nearly the same was seen, as one row: the cost of a fit does not depend on the number of keys. Times are
//! in units of the TTL.

use std::collections::BTreeMap;

use crate::sample::{FollowUp, Idle, SampledKey};

/// What was seen of the keys of a row, on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Since the key was written.
    pub(crate) age: f64,
    /// The last access was at least so long ago,
    pub(crate) idle_low: f64,
    /// and at most so long.
    pub(crate) idle_high: f64,
    /// What was seen after its expiry.
    pub(crate) after: After,
}

/// What was seen after the expiry of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    /// Nothing.
    Unknown,
    /// The first miss, so long after it.
    CameBack(f64),
    /// No miss within that time.
    NotBack(f64),
}

/// The rows of a sample.
pub(crate) struct Rows {
    /// Keys whose idle time is known.
    pub(crate) keys: Vec<Row>,
    /// Each row once.
    pub(crate) rows: Vec<Row>,
    /// The row of each of `keys`.
    row_of_key: Vec<usize>,
    /// The age of the youngest key. If the stated TTL is too long, all ages are too high by the difference, which is at most
    /// this.
    youngest: f64,
}

/// Keys of the same class are in one row.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    read: bool,
    first: i32,
    second: i32,
    after: AfterClass,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum AfterClass {
    Unknown,
    CameBack(i32),
    NotBack(i32),
}

/// Classes of ages of keys that were not read, per TTL.
const UNREAD_CLASSES: f64 = 32.0;

/// Classes of times per factor of e: six per factor of ten.
const TIME_CLASSES: f64 = 2.6;

/// Classes of times until a key came back, per factor of e.
const BACK_CLASSES: f64 = 1.5;

/// Classes of times for which keys were awaited, per TTL.
const AWAITED_CLASSES: f64 = 4.0;

/// Times below this are one class.
const TIME_MIN: f64 = 1e-5;

impl Rows {
    /// The rows of the keys whose idle times are known.
    pub(crate) fn new(keys: &[SampledKey], ttl_ms: u64) -> Self {
        let keys: Vec<Row> =
            keys.iter().filter_map(|key| Some(Row::new(key, &key.idle?, ttl_ms as f64))).collect();
        let mut classes: BTreeMap<Class, Vec<usize>> = BTreeMap::new();
        for (key, row) in keys.iter().enumerate() {
            classes.entry(row.class()).or_default().push(key);
        }
        let mut row_of_key = vec![0; keys.len()];
        let mut rows = Vec::with_capacity(classes.len());
        for members in classes.values() {
            for &key in members {
                row_of_key[key] = rows.len();
            }
            rows.push(Row::mean(members, &keys));
        }
        let youngest = keys.iter().map(|row| row.age).fold(1.0, f64::min);
        Self { keys, rows, row_of_key, youngest }
    }

    /// Whether it may be the write that was the last access to a key, even if the stated TTL is a little too long.
    pub(crate) fn is_unread(&self, key: &Row) -> bool {
        key.idle_high + self.youngest >= key.age
    }

    /// The weight of each row, if each key has the weight that `of_key` returns.
    pub(crate) fn weights(&self, mut of_key: impl FnMut() -> f64) -> Vec<f64> {
        let mut weights = vec![0.0; self.rows.len()];
        for &row in &self.row_of_key {
            weights[row] += of_key();
        }
        weights
    }
}

impl Row {
    fn new(key: &SampledKey, idle: &Idle, ttl_ms: f64) -> Self {
        let age = (1.0 - key.remaining_ms as f64 / ttl_ms).max(0.0);
        let after = match key.follow_up {
            Some(FollowUp::CameBack { after_ms }) => After::CameBack(after_ms as f64 / ttl_ms),
            Some(FollowUp::NotBack { within_ms }) => After::NotBack(within_ms as f64 / ttl_ms),
            Some(FollowUp::EndedEarly) | None => After::Unknown,
        };
        let low = idle.at_least_ms as f64 / ttl_ms;
        Self {
            age,
            idle_low: low.min(age),
            idle_high: (idle.at_most_ms as f64 / ttl_ms).max(low).min(age),
            after,
        }
    }

    /// Whether the key was read since it was written; if it may be the write that was its last access, it was not.
    pub(crate) fn is_read(&self) -> bool {
        self.idle_high < self.age
    }

    fn class(&self) -> Class {
        let read = self.is_read();
        let idle = (self.idle_low + self.idle_high) / 2.0;
        let (first, second) = if read {
            (time_class(self.age - idle, TIME_CLASSES), time_class(idle, TIME_CLASSES))
        } else {
            ((self.age * UNREAD_CLASSES) as i32, 0)
        };
        let after = match self.after {
            After::Unknown => AfterClass::Unknown,
            After::CameBack(time) => AfterClass::CameBack(time_class(time, BACK_CLASSES)),
            After::NotBack(time) => AfterClass::NotBack((time * AWAITED_CLASSES) as i32),
        };
        Class { read, first, second, after }
    }

    fn mean(members: &[usize], keys: &[Self]) -> Self {
        let mean = |value: fn(&Self) -> f64| {
            members.iter().map(|&key| value(&keys[key])).sum::<f64>() / members.len() as f64
        };
        let time = mean(|row| match row.after {
            After::Unknown => 0.0,
            After::CameBack(time) | After::NotBack(time) => time,
        });
        let after = match members.first().map(|&key| keys[key].after) {
            Some(After::CameBack(_)) => After::CameBack(time),
            Some(After::NotBack(_)) => After::NotBack(time),
            Some(After::Unknown) | None => After::Unknown,
        };
        Self {
            age: mean(|row| row.age),
            idle_low: mean(|row| row.idle_low),
            idle_high: mean(|row| row.idle_high),
            after,
        }
    }
}

fn time_class(time: f64, per_e: f64) -> i32 {
    (time.max(TIME_MIN).ln() * per_e).floor() as i32
}
