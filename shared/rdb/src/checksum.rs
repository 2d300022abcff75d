//! The checksum of files and packed values.

use crc::{CRC_64_REDIS, Crc, Digest, Table};

/// Sixteen bytes at a time: byte by byte, it takes longer than everything else.
static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// The checksum of `bytes`.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    CRC.checksum(bytes)
}

/// The checksum of bytes that arrive piece by piece.
pub(crate) struct Checksum(Digest<'static, u64, Table<16>>);

impl Default for Checksum {
    fn default() -> Self {
        Self(CRC.digest())
    }
}

impl Checksum {
    /// Adds bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// That of all that was added.
    pub(crate) fn value(&self) -> u64 {
        self.0.clone().finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_redis() {
        // What Redis 7.0 answers to DUMP of a key that holds 10.
        let dumped = b"\x00\xc0\x0a\x0a\x00\x6e\x9f\x57\x45\x0e\xae\x63\xbb";
        let (content, stated) = dumped.split_at(5);
        assert_eq!(checksum(content).to_le_bytes(), stated);
        let mut pieces = Checksum::default();
        content.iter().for_each(|byte| pieces.add(&[*byte]));
        assert_eq!(pieces.value().to_le_bytes(), stated);
    }
}
