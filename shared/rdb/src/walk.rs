//! Skips a value item by item, whatever pieces of it are at hand, and notes what its items say of it.

use crate::error::Fault;
use crate::kind::ModuleType;
use crate::length::{StringHead, length, string_head};
use crate::limits::PEEKED_BYTES_MAX;
use crate::lzf::expand;
use crate::packed::{HEAD_BYTES, Packing};
use crate::shape::{Item, Moment, Shape};
use crate::window::{Stop, Window};

/// Shapes that are within each other at most; those of streams are four deep.
const DEPTH_MAX: usize = 8;

/// How fields with values and expiry times are packed.
const FIELDS: Packing = Packing::Listpack { strings_per_element: 3 };

/// Bytes at their end that say whether the last field expires.
const FIELDS_END_BYTES: u64 = 2;

/// What was noted of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// The number of its elements, as far as it is known; only containers have some.
    pub(crate) elements: Option<u64>,
    /// Whether a part of it does not say how many elements it has.
    pub(crate) uncounted: bool,
    /// Whether it has fields that expire.
    pub(crate) expiring: bool,
    /// Whether it has fields that do not, and says so.
    pub(crate) lasting: bool,
    /// Of which module's type it is.
    pub(crate) module: Option<ModuleType>,
}

/// A shape, and how far it was walked.
#[derive(Clone, Copy, Debug)]
struct Frame {
    shape: Shape,
    /// The next item.
    at: usize,
    /// How often the shape is still there, after this time.
    more: u64,
}

/// A value that is being skipped.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    frames: Vec<Frame>,
    /// Bytes to pass over before the next item.
    skip: u64,
    /// Whether the end of packed fields follows.
    at_fields_end: bool,
    /// Whether parts of a module follow.
    in_module: bool,
    noted: Noted,
    /// For the beginnings of compressed values.
    scratch: Vec<u8>,
}

impl Walk {
    /// Begins to skip what has this shape.
    pub(crate) fn begin(&mut self, shape: Shape) {
        self.frames.clear();
        self.frames.push(Frame { shape, at: 0, more: 0 });
        (self.skip, self.at_fields_end, self.in_module) = (0, false, false);
        self.noted = Noted::default();
    }

    /// Goes on with the bytes in `window`; returns what was noted when the end is reached.
    pub(crate) fn go_on(&mut self, window: &mut Window<'_>) -> Result<Noted, Stop> {
        loop {
            if self.skip > 0 {
                self.skip -= window.up_to(self.skip).len() as u64;
                if self.skip > 0 {
                    return Err(Stop::Short);
                }
            }
            if self.at_fields_end {
                self.note_last_field(window.array()?);
                self.at_fields_end = false;
            }
            if self.in_module {
                self.module_part(window)?;
                continue;
            }
            let Some(frame) = self.frames.last_mut() else { return Ok(self.noted) };
            let Some(&item) = frame.shape.get(frame.at) else {
                if frame.more == 0 {
                    self.frames.pop();
                } else {
                    (frame.at, frame.more) = (0, frame.more - 1);
                }
                continue;
            };
            let mut ahead = *window;
            let step = self.item(item, &mut ahead)?;
            *window = ahead;
            if let Some(frame) = self.frames.last_mut() {
                frame.at += 1;
            }
            self.apply(step)?;
        }
    }

    /// Reads an item. Nothing is changed if it is short.
    #[inline]
    fn item(&mut self, item: Item, window: &mut Window<'_>) -> Result<Step, Stop> {
        Ok(match item {
            Item::Bytes(count) => Step::Skip(count),
            Item::Number => {
                length(window)?;
                Step::Done
            }
            Item::Text => Step::Skip(string_head(window)?.bytes()),
            Item::Packed(packing) => {
                let head = string_head(window)?;
                let elements = self.elements(packing, head, window)?;
                self.count(elements);
                Step::Skip(head.bytes())
            }
            Item::Score => match window.byte()? {
                // Not a number, and the two infinities.
                253.. => Step::Done,
                text => Step::Skip(text.into()),
            },
            Item::Times(times, shape) => Step::Repeat(shape, times),
            Item::Each(shape) => Step::Repeat(shape, length(window)?),
            Item::EachElement(shape) => {
                let elements = length(window)?;
                self.count(Some(elements));
                Step::Repeat(shape, elements)
            }
            Item::Elements => {
                let elements = length(window)?;
                self.count(Some(elements));
                Step::Done
            }
            Item::PerElement(shape) => Step::Repeat(shape, self.noted.elements.unwrap_or_default()),
            Item::OneElement => {
                self.count(Some(1));
                Step::Done
            }
            Item::Choice(choices) => {
                let form = length(window)?;
                let choice = choices.iter().find(|(number, _)| *number == form);
                let (_, shape) = choice.ok_or(Fault::Form(form))?;
                Step::Repeat(shape, 1)
            }
            Item::ModuleId => {
                self.noted.module = Some(ModuleType(length(window)?));
                Step::Done
            }
            Item::ModuleParts => Step::Module,
            Item::Expiry(moment) => {
                let expires = expires(moment, window)?;
                self.noted.expiring |= expires;
                self.noted.lasting |= !expires;
                Step::Done
            }
            Item::PackedFields => {
                let head = string_head(window)?;
                let elements = self.elements(FIELDS, head, window)?;
                self.count(elements);
                Step::SkipFields(head.bytes())
            }
        })
    }

    fn apply(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Done | Step::Repeat(_, 0) => {}
            Step::Skip(bytes) => self.skip = bytes,
            Step::SkipFields(bytes) => match bytes.checked_sub(FIELDS_END_BYTES) {
                Some(before) => (self.skip, self.at_fields_end) = (before, true),
                None => self.skip = bytes,
            },
            Step::Module => self.in_module = true,
            Step::Repeat(..) if self.frames.len() == DEPTH_MAX => return Err(Fault::Nesting),
            Step::Repeat(shape, times) => self.frames.push(Frame { shape, at: 0, more: times - 1 }),
        }
        Ok(())
    }

    /// Notes whether the last of packed fields expires: those that do not are behind all others. Before the end mark
    /// stands the size of the last string: that of a small number, which is 0, or of one of eight bytes. The end is the
    /// same in a compressed string, because the last bytes are not part of a repetition (`lzf_compress`).
    fn note_last_field(&mut self, end: [u8; 2]) {
        match end {
            [9, 0xff] => self.noted.expiring = true,
            _ => self.noted.lasting = true,
        }
    }

    /// Reads a part of what a module has written: a mark, and what it announces.
    fn module_part(&mut self, window: &mut Window<'_>) -> Result<(), Stop> {
        let mut ahead = *window;
        match length(&mut ahead)? {
            0 => self.in_module = false,
            1 | 2 => {
                length(&mut ahead)?;
            }
            3 => self.skip = 4,
            4 => self.skip = 8,
            5 => self.skip = string_head(&mut ahead)?.bytes(),
            form => return Err(Fault::Form(form).into()),
        }
        *window = ahead;
        Ok(())
    }

    fn count(&mut self, elements: Option<u64>) {
        match elements {
            Some(more) => {
                let sum = self.noted.elements.unwrap_or_default().saturating_add(more);
                self.noted.elements = Some(sum);
            }
            None => self.noted.uncounted = true,
        }
    }

    /// The number of elements in a packed value whose head was read, and whose bytes follow.
    fn elements(
        &mut self,
        packing: Packing,
        head: StringHead,
        window: &Window<'_>,
    ) -> Result<Option<u64>, Stop> {
        Ok(match head {
            StringHead::Plain(bytes) => packing.elements(window.peek(bytes.min(HEAD_BYTES as u64))?),
            StringHead::Number(_) => None,
            StringHead::Compressed { packed, .. } => {
                let begin = window.peek(packed.min(PEEKED_BYTES_MAX))?;
                self.scratch.clear();
                let expanded = expand(begin, HEAD_BYTES, &mut self.scratch);
                if !expanded.is_valid {
                    return Err(Fault::Compressed.into());
                }
                packing.elements(&self.scratch)
            }
        })
    }
}

/// What follows from an item.
#[derive(Clone, Copy, Debug)]
enum Step {
    Done,
    /// So many bytes belong to it.
    Skip(u64),
    /// The same; they end with the expiry time of a field.
    SkipFields(u64),
    /// The shape so many times.
    Repeat(Shape, u64),
    /// Parts of a module.
    Module,
}

fn expires(moment: Moment, window: &mut Window<'_>) -> Result<bool, Stop> {
    Ok(match moment {
        Moment::Signed => i64::from_le_bytes(window.array()?) != -1,
        Moment::Number => length(window)? != 0,
    })
}
