//! The bytes of a file that are at hand, of which items are read whole or not at all.

use crate::error::Fault;

/// Why an item was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Not all of its bytes are at hand.
    Short,
    /// It is wrong.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Bytes at hand, and how many of them were read. A copy looks ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Window<'a> {
    /// Of `bytes`, none of which was read.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn read(&self) -> usize {
        self.at
    }

    /// The bytes that were read after the first `from` ones.
    pub(crate) fn since(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    /// The bytes that were not read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Reads `count` bytes, or as many as there are.
    #[inline]
    pub(crate) fn up_to(&mut self, count: u64) -> &'a [u8] {
        let rest = self.rest();
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(rest.len());
        self.at += count;
        &rest[..count]
    }

    /// The next `count` bytes, which stay unread.
    #[inline]
    pub(crate) fn peek(&self, count: u64) -> Result<&'a [u8], Stop> {
        let count = usize::try_from(count).map_err(|_| Stop::Short)?;
        self.rest().get(..count).ok_or(Stop::Short)
    }

    /// Reads one byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.bytes.get(self.at).ok_or(Stop::Short)?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let bytes = *self.rest().first_chunk::<N>().ok_or(Stop::Short)?;
        self.at += N;
        Ok(bytes)
    }
}
