//! Whether as many keys were found as the file states, in each database and in each hash slot. How many of them expire it
//! states as well; that is not compared, because there are files of other servers in which it is wrong.

use std::fmt;

use crate::error::Fault;
use crate::limits::{DIFFERENCES_MAX, SLOTS};

/// A part of a file with another number of keys than it states. `Display` is a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The database.
    pub database: u32,
    /// The hash slot, if it is about one.
    pub slot: Option<u16>,
    /// The keys that the file states.
    pub stated: u64,
    /// Those that were found.
    pub found: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, slot, stated, found } = self;
        if let Some(slot) = slot {
            write!(f, "hash slot {slot} of ")?;
        }
        write!(f, "database {database} has {stated} keys by what the file states, but {found} were found")
    }
}

/// A part of a file whose keys are being counted.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    slot: Option<u16>,
    stated: Option<u64>,
    found: u64,
}

/// Counts the keys of a file by database and slot.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) database: u32,
    whole: Part,
    slot: Part,
    pub(crate) differences: Vec<Difference>,
    pub(crate) further_differences: u64,
}

impl Counts {
    /// A database begins.
    pub(crate) fn select(&mut self, database: u64) -> Result<(), Fault> {
        self.end();
        self.database = u32::try_from(database).map_err(|_| Fault::Database(database))?;
        Ok(())
    }

    /// The file states how many keys the database has.
    pub(crate) fn database_has(&mut self, keys: u64) {
        // Servers before 4.0 wrote the highest number for more, too.
        self.whole.stated = Some(keys).filter(|keys| *keys < u32::MAX.into());
    }

    /// A slot begins, and the file states how many keys it has.
    pub(crate) fn slot_has(&mut self, slot: u64, keys: u64) -> Result<(), Fault> {
        self.end_slot();
        let number = u16::try_from(slot).ok().filter(|_| slot < SLOTS).ok_or(Fault::Slot(slot))?;
        self.slot = Part { slot: Some(number), stated: Some(keys), found: 0 };
        Ok(())
    }

    /// A slot begins, as Valkey 8 states it: `slot,keys,expiring`. Anything else is ignored.
    pub(crate) fn slot_has_as_text(&mut self, text: &[u8]) -> Result<(), Fault> {
        let text = std::str::from_utf8(text).unwrap_or_default();
        let numbers: Vec<u64> = text.split(',').map_while(|number| number.parse().ok()).collect();
        match *numbers.as_slice() {
            [slot, keys, _] => self.slot_has(slot, keys),
            _ => Ok(()),
        }
    }

    /// A key was found.
    #[inline]
    pub(crate) fn found(&mut self) {
        self.whole.found += 1;
        self.slot.found += 1;
    }

    /// The database has ended.
    pub(crate) fn end(&mut self) {
        self.end_slot();
        let whole = std::mem::take(&mut self.whole);
        self.compare(whole);
    }

    fn end_slot(&mut self) {
        let slot = std::mem::take(&mut self.slot);
        self.compare(slot);
    }

    fn compare(&mut self, Part { slot, stated, found }: Part) {
        let Some(stated) = stated.filter(|stated| *stated != found) else { return };
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference { database: self.database, slot, stated, found });
        } else {
            self.further_differences += 1;
        }
    }
}
