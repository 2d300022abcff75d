//! A string as RESTORE takes it, made from what GET answered: a server need not pack it then. Pure.

use keysweep_rdb::checksum;

/// The version of the serialization that Redis 6.2 writes and every later server reads. Strings look the same in all.
const VERSION: u16 = 9;

/// The type of strings.
const STRING: u8 = 0;

/// `text` as RESTORE takes it: type, length, bytes, version, checksum. The length is at most `u32::MAX`, as a server's
/// own limit for strings is below it.
#[must_use]
pub fn packed_string(text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(text.len() + 16);
    packed.push(STRING);
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    match length {
        [0, 0, 0, low @ 0..64] => packed.push(low),
        [0, 0, high @ 0..64, low] => packed.extend([0x40 | high, low]),
        _ => packed.extend([&[0x80][..], &length].concat()),
    }
    packed.extend(text);
    packed.extend(VERSION.to_le_bytes());
    packed.extend(checksum(&packed).to_le_bytes());
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_form_that_is_due() {
        let check = |length: usize, head: &[u8]| {
            let packed = packed_string(&vec![b'x'; length]);
            assert_eq!(&packed[1..=head.len()], head, "{length}");
            assert_eq!(packed.len(), 1 + head.len() + length + 10, "{length}");
        };
        check(0, &[0]);
        check(63, &[63]);
        check(64, &[0x40, 64]);
        check(16_383, &[0x7f, 0xff]);
        check(16_384, &[0x80, 0, 0, 0x40, 0]);
    }
}
