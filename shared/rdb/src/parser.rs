//! The parser: what follows what in a file.

use crate::checksum::Checksum;
use crate::counts::Counts;
use crate::entry::{Entry, Summary};
use crate::error::{Fault, RdbError};
use crate::kind::Kind;
use crate::length::length;
use crate::limits::{AUX_BYTES_MAX, ITEM_BYTES_MAX, KEY_BYTES_MAX};
use crate::origin::{Format, Origin};
use crate::shape::{self, Shape};
use crate::text::{TextRead, TextReader};
use crate::walk::{Noted, Walk};
use crate::window::{Stop, Window};

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The beginning of the file.
    #[default]
    Head,
    /// The number of a type or of an operation.
    Number,
    /// The name of an auxiliary field.
    AuxName,
    /// Its value.
    AuxValue,
    /// The name of a key.
    Key,
    /// Its value.
    Value,
    /// Something that is only skipped.
    Aside,
    /// The checksum.
    Checksum,
    /// Nothing.
    End,
}

/// What was said of the next key before its type.
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    expires_ms: Option<u64>,
    idle_s: Option<u64>,
    freq: Option<u8>,
}

/// Reads a file as its bytes arrive.
#[derive(Default)]
pub struct Parser {
    state: State,
    origin: Origin,
    /// The beginning of an item whose end is not at hand.
    carry: Vec<u8>,
    /// Bytes that were read, those of `carry` not counted.
    offset: u64,
    sum: Checksum,
    checked: bool,
    counts: Counts,
    entries: u64,
    attributes: Attributes,
    /// The type of the key that is being read.
    kind: Kind,
    /// The shape of its value.
    shape: Shape,
    text: TextReader,
    aux_name: Vec<u8>,
    walk: Walk,
}

impl Parser {
    /// A parser at the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the file has said of itself so far.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The keys that were found so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Reads the next `bytes` of the file, and calls `emit` with each key whose value ends in them.
    ///
    /// # Errors
    /// The first fault. The parser is not to be used after it; the keys before it were emitted.
    pub fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(Entry<'_>)) -> Result<(), RdbError> {
        while !self.carry.is_empty() && !bytes.is_empty() {
            let held = self.carry.len();
            let more = bytes.len().min((2 * ITEM_BYTES_MAX).saturating_sub(held));
            self.carry.extend_from_slice(&bytes[..more]);
            let mut carry = std::mem::take(&mut self.carry);
            let read = self.run(&carry, &mut emit)?;
            if read < held {
                // All of `bytes` were added, because an item is shorter than what is held together.
                carry.drain(..read);
                self.carry = carry;
                bytes = &bytes[more..];
            } else {
                bytes = &bytes[read - held..];
            }
        }
        if !bytes.is_empty() {
            let read = self.run(bytes, &mut emit)?;
            self.carry.extend_from_slice(&bytes[read..]);
        }
        Ok(())
    }

    /// The end of the file was reached.
    ///
    /// # Errors
    /// If it is not the end that it should have.
    pub fn finish(&self) -> Result<Summary, RdbError> {
        let offset = self.offset + self.carry.len() as u64;
        if self.state != State::End {
            return Err(RdbError { offset, fault: Fault::Truncated });
        }
        Ok(Summary {
            entries: self.entries,
            bytes: offset,
            checked: self.checked,
            differences: self.counts.differences.clone(),
            further_differences: self.counts.further_differences,
        })
    }

    /// Reads the items that are whole; returns how many bytes they have.
    fn run(&mut self, bytes: &[u8], emit: &mut impl FnMut(Entry<'_>)) -> Result<usize, RdbError> {
        let mut window = Window::new(bytes);
        let mut summed = 0;
        let stop = loop {
            let before = window.read();
            if let Err(stop) = self.step(&mut window, emit) {
                break stop;
            }
            // The checksum covers all before it.
            if matches!(self.state, State::Checksum) {
                self.sum.add(window.since(summed));
                summed = window.read();
            }
            if matches!(self.state, State::End) && window.read() == before {
                break Stop::Short;
            }
        };
        if !matches!(self.state, State::Checksum | State::End) {
            self.sum.add(window.since(summed));
        }
        match stop {
            Stop::Short => {
                self.offset += window.read() as u64;
                Ok(window.read())
            }
            Stop::Fault(fault) => Err(RdbError { offset: self.offset + window.read() as u64, fault }),
        }
    }

    /// Reads one item.
    fn step(&mut self, window: &mut Window<'_>, emit: &mut impl FnMut(Entry<'_>)) -> Result<(), Stop> {
        match self.state {
            State::Head => {
                let mut ahead = *window;
                self.origin = Origin::read(&mut ahead)?;
                *window = ahead;
                self.state = State::Number;
            }
            State::Number => {
                let mut ahead = *window;
                let number = ahead.byte()?;
                self.number(number, &mut ahead)?;
                *window = ahead;
            }
            State::AuxName | State::AuxValue => self.aux(window)?,
            State::Key => match self.text.read(window, KEY_BYTES_MAX, true)? {
                TextRead::Kept => {
                    self.walk.begin(self.shape);
                    self.state = State::Value;
                }
                TextRead::TooLong(bytes) => return Err(Fault::KeyTooLong(bytes).into()),
            },
            State::Value => {
                let noted = self.walk.go_on(window)?;
                self.state = State::Number;
                self.emit(noted, emit);
            }
            State::Aside => {
                self.walk.go_on(window)?;
                self.state = State::Number;
            }
            State::Checksum => {
                let mut ahead = *window;
                self.checksum(u64::from_le_bytes(ahead.array()?))?;
                *window = ahead;
            }
            State::End if window.rest().is_empty() => {}
            State::End => return Err(Fault::Trailing.into()),
        }
        Ok(())
    }

    /// Reads what follows the number of a type or an operation, as far as it must be at hand together.
    fn number(&mut self, number: u8, window: &mut Window<'_>) -> Result<(), Stop> {
        match number {
            255 => self.end(),
            254 => self.counts.select(length(window)?)?,
            253 => {
                let seconds = i64::from(i32::from_le_bytes(window.array()?));
                self.expires(seconds.saturating_mul(1_000));
            }
            252 => self.expires(i64::from_le_bytes(window.array()?)),
            251 => {
                let keys = key_count(window)?;
                self.counts.database_has(keys);
            }
            250 => self.state = State::AuxName,
            249 => self.attributes.freq = Some(window.byte()?),
            248 => self.attributes.idle_s = Some(length(window)?),
            247 => self.aside(shape::MODULE_AUX),
            245 => self.aside(shape::FUNCTION),
            244 => {
                let slot = length(window)?;
                let keys = key_count(window)?;
                self.counts.slot_has(slot, keys)?;
            }
            243 => self.aside(match self.origin.format {
                Format::Redis => shape::KEY_METADATA,
                Format::Valkey => shape::SLOT_IMPORT,
            }),
            6 | 246 => return Err(Fault::PreRelease(number).into()),
            _ => {
                let value = shape::of_value(number, self.origin.format);
                (self.kind, self.shape) = value.ok_or(Fault::Unknown(number))?;
                self.state = State::Key;
            }
        }
        Ok(())
    }

    fn expires(&mut self, at_ms: i64) {
        // A time before 1970 is in the past as well.
        self.attributes.expires_ms = Some(u64::try_from(at_ms).unwrap_or_default());
    }

    fn aside(&mut self, shape: Shape) {
        self.walk.begin(shape);
        self.state = State::Aside;
    }

    fn aux(&mut self, window: &mut Window<'_>) -> Result<(), Stop> {
        let read = self.text.read(window, AUX_BYTES_MAX, false)?;
        if self.state == State::AuxName {
            self.aux_name.clear();
            if read == TextRead::Kept {
                self.aux_name.extend_from_slice(self.text.text());
            }
            self.state = State::AuxValue;
            return Ok(());
        }
        self.state = State::Number;
        match self.aux_name.as_slice() {
            _ if read != TextRead::Kept => {}
            b"slot-info" => self.counts.slot_has_as_text(self.text.text())?,
            name => self.origin.aux(name, self.text.text()),
        }
        Ok(())
    }

    fn emit(&mut self, noted: Noted, emit: &mut impl FnMut(Entry<'_>)) {
        let Attributes { expires_ms, idle_s, freq } = std::mem::take(&mut self.attributes);
        self.entries += 1;
        self.counts.found();
        emit(Entry {
            database: self.counts.database,
            key: self.text.text(),
            expires_ms,
            idle_s,
            freq,
            kind: noted.module.map_or(self.kind, Kind::Module),
            elements: noted.elements.filter(|_| !noted.uncounted),
            fields_expire: noted.expiring && !noted.lasting,
            saved_s: self.origin.saved_s,
        });
    }

    fn end(&mut self) {
        self.counts.end();
        self.state = if self.origin.has_checksum() { State::Checksum } else { State::End };
    }

    fn checksum(&mut self, stated: u64) -> Result<(), Fault> {
        self.state = State::End;
        let computed = self.sum.value();
        // 0 where the server computes none, by its settings.
        self.checked = stated != 0;
        match stated == 0 || stated == computed {
            true => Ok(()),
            false => Err(Fault::Checksum { stated, computed }),
        }
    }
}

/// Reads how many keys there are, and passes over how many of them expire.
fn key_count(window: &mut Window<'_>) -> Result<u64, Stop> {
    let keys = length(window)?;
    length(window)?;
    Ok(keys)
}
