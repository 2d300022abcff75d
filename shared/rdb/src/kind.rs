//! The types of keys, as `TYPE` names them.

use std::fmt;

/// The characters of the names of modules' types.
const MODULE_CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Characters of such a name.
const MODULE_NAME_CHARACTERS: u32 = 9;

/// Bits of the version behind it.
const MODULE_VERSION_BITS: u32 = 10;

/// The type of a key. `Display` is what `TYPE` answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    #[default]
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
    /// An array (Redis 8.8).
    Array,
    /// A type of a module.
    Module(ModuleType),
}

/// The name of a module's type, with its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleType(pub(crate) u64);

impl Kind {
    /// What `TYPE` answers; `None` of a module's type, which only `Display` has.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
            Self::Array => "array",
            Self::Module(_) => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(module) => module.fmt(f),
            known => f.write_str(known.name().unwrap_or_default()),
        }
    }
}

impl fmt::Display for ModuleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..MODULE_NAME_CHARACTERS).rev().try_for_each(|place| {
            let index = self.0 >> (MODULE_VERSION_BITS + 6 * place) & 0x3f;
            // Six bits are an index of 64 characters.
            let character = MODULE_CHARACTERS.get(usize::try_from(index).unwrap_or_default());
            fmt::Write::write_char(f, character.copied().unwrap_or(b'?').into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_names() {
        let characters =
            b"ReJSON-RL".iter().map(|of| MODULE_CHARACTERS.iter().position(|it| it == of).unwrap());
        let id = characters.fold(0_u64, |id, index| id << 6 | index as u64) << MODULE_VERSION_BITS | 3;
        assert_eq!(Kind::Module(ModuleType(id)).to_string(), "ReJSON-RL");
        assert_eq!(Kind::Zset.to_string(), "zset");
    }
}
