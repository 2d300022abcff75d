//! Makes files by hand.

use crate::checksum;

/// A file that is being made.
#[derive(Clone, Debug)]
pub(super) struct File(Vec<u8>);

impl File {
    pub(super) fn redis(version: u16) -> Self {
        Self(format!("REDIS{version:04}").into_bytes())
    }

    pub(super) fn valkey() -> Self {
        Self(b"VALKEY080".to_vec())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn number(self, number: u64) -> Self {
        match number {
            0..64 => self.bytes(&[number as u8]),
            64..16_384 => self.bytes(&(0x4000 | number as u16).to_be_bytes()),
            _ => self.bytes(&[0x81]).bytes(&number.to_be_bytes()),
        }
    }

    pub(super) fn number_ms(self, ms: i64) -> Self {
        self.bytes(&ms.to_le_bytes())
    }

    pub(super) fn text(self, text: &[u8]) -> Self {
        self.number(text.len() as u64).bytes(text)
    }

    pub(super) fn aux(self, name: &[u8], value: &[u8]) -> Self {
        self.bytes(&[250]).text(name).text(value)
    }

    pub(super) fn database(self, number: u64, keys: u64, expiring: u64) -> Self {
        self.bytes(&[254]).number(number).bytes(&[251]).number(keys).number(expiring)
    }

    pub(super) fn slot(self, slot: u64, keys: u64, expiring: u64) -> Self {
        self.bytes(&[244]).number(slot).number(keys).number(expiring)
    }

    pub(super) fn key(self, kind: u8, name: &[u8]) -> Self {
        self.bytes(&[kind]).text(name)
    }

    pub(super) fn string(self, name: &[u8]) -> Self {
        self.key(0, name).text(b"v")
    }

    /// A stream with three entries, and a group with a consumer and two entries that are not acknowledged.
    pub(super) fn stream_3(self) -> Self {
        let blocks = self.number(1).text(&[1; 16]).text(&[2; 40]);
        let ids = blocks.number(3).number(7_000_000).number(0).number(6_000_000).number(0);
        let history = ids.number(0).number(0).number(3);
        let group = history.number(1).text(b"group").number(5).number(0).number(2).number(2);
        let pending = group.bytes(&[3; 24]).number(1).bytes(&[4; 24]).number(2);
        pending.number(1).text(b"consumer").bytes(&[5; 16]).number(2).bytes(&[3; 16]).bytes(&[4; 16])
    }

    /// Calls `with` with the bytes so far.
    pub(super) fn with<T>(self, with: impl FnOnce(&[u8]) -> T) -> T {
        with(&self.0)
    }

    pub(super) fn end(self) -> Vec<u8> {
        let Self(mut bytes) = self.bytes(&[255]);
        bytes.extend(checksum(&bytes).to_le_bytes());
        bytes
    }
}
