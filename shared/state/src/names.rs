//! The keys of a batch as JSON, in the order of the batch: for each slot and reason `[slot, reason, n, [key, …]]`, where
//! `n` is the number of the first key. A key is a string if it is UTF-8 without NUL, and `{"hex": "…"}` otherwise, so
//! that `sqlite3` shows it. One text per batch costs a tenth of a row per key.

use std::borrow::Cow;

use keysweep_model::key::Key;
use keysweep_model::messages::Reason;
use keysweep_model::printable::hex;
use serde::{Deserialize, Serialize};

/// Keys of one slot that were candidates for one reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SlotKeys<K> {
    pub(crate) slot: u16,
    pub(crate) reason: Reason,
    pub(crate) keys: K,
}

/// The same as it is stored: slot, reason, number of the first key, keys.
#[derive(Serialize, Deserialize)]
struct Stored<'a>(u16, Reason, usize, #[serde(borrow)] Vec<Name<'a>>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Name<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Bytes {
        #[serde(borrow)]
        hex: Cow<'a, str>,
    },
}

impl<'a> Name<'a> {
    fn of(key: &'a Key) -> Self {
        match std::str::from_utf8(key.as_bytes()) {
            Ok(text) if !text.contains('\0') => Self::Text(text.into()),
            _ => Self::Bytes { hex: hex(key.as_bytes()).into() },
        }
    }

    fn key(self) -> Option<Key> {
        match self {
            Self::Text(text) => Some(Key::new(text.into_owned())),
            Self::Bytes { hex } => {
                let pairs = hex.as_bytes().chunks(2);
                let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                pairs.map(byte).collect::<Option<Vec<u8>>>().map(Key::new)
            }
        }
    }
}

/// The text for the keys of a batch.
pub(crate) fn write<'a, K>(groups: impl Iterator<Item = SlotKeys<K>>) -> serde_json::Result<String>
where
    K: Iterator<Item = &'a Key>,
{
    let mut count = 0;
    let group = |group: SlotKeys<K>| {
        let (from, names) = (count, group.keys.map(Name::of).collect::<Vec<_>>());
        count += names.len();
        Stored(group.slot, group.reason, from, names)
    };
    serde_json::to_string(&groups.map(group).collect::<Vec<_>>())
}

/// The keys of `text`.
///
/// # Errors
/// When the text was not written by [`write`].
pub(crate) fn read(text: &str) -> serde_json::Result<Vec<SlotKeys<Vec<Key>>>> {
    let stored: Vec<Stored<'_>> = serde_json::from_str(text)?;
    let wrong = || serde::de::Error::custom("a key is neither text nor hexadecimal");
    let group = |Stored(slot, reason, _, names): Stored<'_>| {
        let keys: Option<Vec<Key>> = names.into_iter().map(Name::key).collect();
        Ok(SlotKeys { slot, reason, keys: keys.ok_or_else(wrong)? })
    };
    stored.into_iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let keys =
            [&b"user:1"[..], b"", b"a\"\\\n", b"with\0nul", b"\xff\x00\x80", "é".as_bytes()].map(Key::new);
        let (some, others) = keys.split_at(2);
        let groups = [(7, Reason::Stale, some), (16_383, Reason::Inactive, others)]
            .map(|(slot, reason, keys)| SlotKeys { slot, reason, keys });
        let names = |group: &SlotKeys<&[Key]>| SlotKeys {
            slot: group.slot,
            reason: group.reason,
            keys: group.keys.to_vec(),
        };
        let expected: Vec<_> = groups.iter().map(names).collect();
        let text = write(groups.into_iter().map(|SlotKeys { slot, reason, keys }| SlotKeys {
            slot,
            reason,
            keys: keys.iter(),
        }))
        .unwrap();
        let beginning = r#"[[7,"Stale",0,["user:1",""]],[16383,"Inactive",2,["a\"\\\n",{"hex":"776974"#;
        assert!(text.starts_with(beginning), "{text}");
        assert_eq!(read(&text).unwrap(), expected);
        for wrong in ["", "[[1]]", r#"[[1,"Stale",0,[{"hex":"0g"}]]]"#, r#"[[1,"Stale",0,[{"hex":"é"}]]]"#] {
            read(wrong).unwrap_err();
        }
    }
}
