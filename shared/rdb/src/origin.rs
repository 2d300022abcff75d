//! What a file says of itself: its format and version at its beginning, and auxiliary fields.

use std::fmt;

use crate::error::Fault;
use crate::window::{Stop, Window};

/// The words with which a file begins. From version 80 on, some numbers mean different things in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `REDIS`: Redis, and Valkey before 9.0.
    #[default]
    Redis,
    /// `VALKEY`: from Valkey 9.0 on.
    Valkey,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "REDIS",
            Self::Valkey => "VALKEY",
        })
    }
}

/// The versions of `REDIS` files. Those up to 12 are in the sources of the servers, 13 and 14 (Redis 8.6 and 8.8) in those
/// of librdb; the templates of hashes of 15 were never seen in a file.
const REDIS_VERSIONS: std::ops::RangeInclusive<u16> = 1..=14;

/// The version of `VALKEY` files.
const VALKEY_VERSION: u16 = 80;

/// The same for people.
pub(crate) const VERSIONS: &str = "REDIS 1 to 14 and VALKEY 80";

/// Bytes of the beginning: word and version.
const HEAD_BYTES: usize = 9;

/// The first version that states how many keys a database has, and has binary scores.
const CHECKSUM_FROM: u16 = 5;

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The words that it begins with.
    pub format: Format,
    /// Its version.
    pub version: u16,
    /// The server that wrote it, such as `Redis 7.0.15`.
    pub server: Option<String>,
    /// When it was written, in seconds since 1970: TTLs count from then.
    pub saved_s: Option<u64>,
    /// The replication id: a primary and its replicas have the same, and write it if there are any.
    pub data_set: Option<String>,
}

impl Origin {
    /// Reads the beginning of a file.
    pub(crate) fn read(window: &mut Window<'_>) -> Result<Self, Stop> {
        let head = window.array::<HEAD_BYTES>()?;
        let (format, digits) = match &head {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (Format::Redis, digits.as_slice()),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (Format::Valkey, digits.as_slice()),
            _ => return Err(Fault::NotRdb.into()),
        };
        let version = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let version: u16 = version.ok_or(Fault::NotRdb)?;
        let is_known = match format {
            Format::Redis => REDIS_VERSIONS.contains(&version),
            Format::Valkey => version == VALKEY_VERSION,
        };
        if !is_known {
            return Err(Fault::Version { format, version }.into());
        }
        Ok(Self { format, version, ..Self::default() })
    }

    /// Whether a checksum follows the end mark.
    pub(crate) fn has_checksum(&self) -> bool {
        self.version >= CHECKSUM_FROM
    }

    /// Takes an auxiliary field.
    pub(crate) fn aux(&mut self, name: &[u8], value: &[u8]) {
        let text = std::str::from_utf8(value).ok().filter(|text| text.chars().all(|c| c.is_ascii_graphic()));
        let Some(text) = text else { return };
        match name {
            b"redis-ver" => self.server = Some(format!("Redis {text}")),
            b"valkey-ver" => self.server = Some(format!("Valkey {text}")),
            b"repl-id" => self.data_set = Some(text.to_owned()),
            b"ctime" => self.saved_s = text.parse().ok(),
            _ => {}
        }
    }
}
