//! The RDB format of a packed value, and which servers read it. Pure.

use keysweep_rdb::checksum;

/// Bytes at the end of a packed value: two of the format, eight of the checksum.
const FOOTER_BYTES: usize = 2 + 8;

/// A format: servers that write it, and servers that read it. Tried between Redis 7.0.15, 8.0.2 and 8.0.6, and Valkey
/// 8.0.1, 8.1.1 and 9.1.2.
const TRIED: [(u16, &str, &str); 4] = [
    (10, "Redis 7.0", "Redis 7.0 and 8.0, Valkey 8.0, 8.1 and 9.1"),
    (11, "Valkey 8.0 and 8.1", "Valkey 8.0, 8.1 and 9.1, Redis 8.0"),
    (12, "Redis 8.0", "Redis 8.0"),
    (80, "Valkey 9.1", "Valkey 9.1"),
];

/// What to say of the packed value `value` if a server's error `detail` refuses its version or checksum; `None` for
/// other errors. Servers have one error for both, and the checksum tells them apart.
#[must_use]
pub fn refused_version(detail: &str, value: &[u8]) -> Option<String> {
    if !detail.contains("DUMP payload version or checksum") {
        return None;
    }
    let (content, footer) = value.split_at_checked(value.len().checked_sub(FOOTER_BYTES)?)?;
    let (format, sum) = footer.split_first_chunk::<2>()?;
    if checksum(&[content, format].concat()).to_le_bytes() != *sum {
        return Some("the checksum of the saved value is wrong".to_owned());
    }
    let format = u16::from_le_bytes(*format);
    let Some((_, writers, readers)) = TRIED.iter().find(|(tried, ..)| *tried == format) else {
        return Some(format!(
            "the value is in RDB format {format}: restore into the version of server that it was saved from"
        ));
    };
    Some(format!(
        "the value is in RDB format {format}, written by {writers}; of the servers that were tried, it \
         can be restored into {readers} alone"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "ERR DUMP payload version or checksum are wrong";

    /// What Redis 8.0 answers to DUMP of a hash.
    const REDIS_8: &[u8] =
        b"\x10\x15\x15\x00\x00\x00\x02\x00\x85\x66\x69\x65\x6c\x64\x06\x85\x76\x61\x6c\x75\x65\x06\xff\
        \x0c\x00\x3a\x37\xd0\x0c\x9c\x93\x50\xf8";

    fn in_format(format: u16) -> Vec<u8> {
        let content = [&REDIS_8[..REDIS_8.len() - FOOTER_BYTES], &format.to_le_bytes()].concat();
        [&content[..], &checksum(&content).to_le_bytes()].concat()
    }

    #[test]
    fn a_refused_version_names_writers_and_readers() {
        let check = |value: &[u8], text| {
            let said = refused_version(REFUSED, value).unwrap_or_default();
            assert!(said.contains(text), "`{text}` is not in `{said}`");
        };
        check(
            REDIS_8,
            "RDB format 12, written by Redis 8.0; of the servers that were tried, it can be restored into Redis 8.0 alone",
        );
        check(&in_format(80), "RDB format 80, written by Valkey 9.1");
        check(&in_format(11), "RDB format 11, written by Valkey 8.0 and 8.1");
        check(&in_format(10), "RDB format 10, written by Redis 7.0");
        check(&in_format(300), "RDB format 300: restore into the version of server that it was saved from");
    }

    #[test]
    fn a_wrong_checksum_is_no_matter_of_the_version() {
        let mut damaged = REDIS_8.to_vec();
        damaged[5] ^= 1;
        let said = refused_version(REFUSED, &damaged);
        assert_eq!(said.as_deref(), Some("the checksum of the saved value is wrong"));
        assert_eq!(refused_version("ERR Bad data format", REDIS_8), None);
        assert_eq!(refused_version(REFUSED, b"short"), None);
    }
}
