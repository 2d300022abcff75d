//! Tests with files that are made by hand.

mod damaged;
mod files;
mod forms;

use crate::{Entry, Kind, Origin, Parser, RdbError, Summary};
use files::File;

/// A key, for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) database: u32,
    pub(super) key: Vec<u8>,
    pub(super) expires_ms: Option<u64>,
    pub(super) idle_s: Option<u64>,
    pub(super) freq: Option<u8>,
    pub(super) kind: Kind,
    pub(super) elements: Option<u64>,
    pub(super) fields_expire: bool,
}

impl Seen {
    fn of(entry: Entry<'_>) -> Self {
        let Entry { database, key, expires_ms, idle_s, freq, kind, elements, fields_expire, .. } = entry;
        Self { database, key: key.to_vec(), expires_ms, idle_s, freq, kind, elements, fields_expire }
    }
}

/// What is read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) keys: Vec<Seen>,
    pub(super) origin: Origin,
    pub(super) end: Result<Summary, RdbError>,
}

/// Reads `bytes` in pieces of `size`.
pub(super) fn read_in_pieces(bytes: &[u8], size: usize) -> Read {
    let (mut parser, mut keys) = (Parser::new(), Vec::new());
    let fed = bytes.chunks(size).try_for_each(|piece| parser.feed(piece, |entry| keys.push(Seen::of(entry))));
    let origin = parser.origin().clone();
    Read { keys, origin, end: fed.and_then(|()| parser.finish()) }
}

pub(super) fn read(bytes: &[u8]) -> Read {
    read_in_pieces(bytes, bytes.len().max(1))
}

/// A file with something of everything.
pub(super) fn colourful() -> Vec<u8> {
    let file = File::redis(12).aux(b"redis-ver", b"8.0.2").aux(b"ctime", b"1790000000").database(0, 5, 2);
    let file = file.bytes(&[245]).text(b"#!lua name=f").bytes(&[247, 1, 2, 1, 5]).text(b"saved").bytes(&[0]);
    let file = file.bytes(&[252]).number_ms(1_790_000_500_000).key(0, b"s").text(b"value");
    let file = file.bytes(&[248, 9]).key(1, b"list").bytes(&[2]).text(b"a").text(b"b");
    let file = file.bytes(&[249, 200]).key(21, b"stream").stream_3();
    let file = file.bytes(&[253, 1, 2, 3, 4]).key(18, b"quick").bytes(&[1, 1]).text(&[b'x'; 100]);
    let file = file.key(0, b"").bytes(b"\xc3\x05\x08\x01ab\x80\x01");
    file.database(7, 1, 0).key(7, b"module").bytes(&[0x80, 0, 0, 4, 3, 2, 9, 3, 1, 2, 3, 4, 0]).end()
}

#[test]
fn what_a_file_says_is_read() {
    let Read { keys, origin, end } = read(&colourful());
    assert_eq!((origin.server.as_deref(), origin.saved_s), (Some("Redis 8.0.2"), Some(1_790_000_000)));
    let end = end.unwrap();
    assert_eq!((end.entries, end.checked, end.differences.len()), (6, true, 0));
    let names: Vec<&[u8]> = keys.iter().map(|seen| &*seen.key).collect();
    assert_eq!(names, [&b"s"[..], b"list", b"stream", b"quick", b"", b"module"]);
    let said: Vec<_> =
        keys.iter().map(|seen| (seen.expires_ms, seen.idle_s, seen.freq, seen.elements)).collect();
    assert_eq!(
        said,
        [
            (Some(1_790_000_500_000), None, None, None),
            (None, Some(9), None, Some(2)),
            (None, None, Some(200), Some(3)),
            (Some(0x0403_0201 * 1_000), None, None, Some(1)),
            (None, None, None, None),
            (None, None, None, None),
        ]
    );
    let kinds: Vec<String> = keys.iter().map(|seen| seen.kind.to_string()).collect();
    assert_eq!(kinds, ["string", "list", "stream", "list", "string", "AAAAAAAAB"]);
    assert_eq!(keys.iter().map(|seen| seen.database).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 7]);
}

#[test]
fn pieces_of_every_size_give_the_same() {
    let file = colourful();
    let whole = read(&file);
    for size in 1..=file.len() {
        assert_eq!(read_in_pieces(&file, size), whole, "{size}");
    }
}

#[test]
fn numbers_of_keys_are_compared_with_what_the_file_states() {
    let check = |file: File, expected: &[&str]| {
        let end = read(&file.end()).end.unwrap();
        let said: Vec<String> = end.differences.iter().map(ToString::to_string).collect();
        assert_eq!(said, expected);
    };
    let begun = || File::redis(11).aux(b"redis-ver", b"8.0.2");
    check(begun().database(0, 1, 0).string(b"a"), &[]);
    check(begun().string(b"a"), &[]);
    let two = "database 0 has 2 keys by what the file states, but 1 were found";
    check(begun().database(0, 2, 0).string(b"a").database(1, 1, 0).string(b"a"), &[two]);
    // How many expire may be wrong.
    check(begun().database(0, 1, 0).bytes(&[252]).number_ms(5).string(b"a"), &[]);
    let slot = format!("hash slot 300 of {two}");
    check(begun().database(0, 1, 0).slot(300, 2, 0).string(b"a"), &[&slot]);
    check(
        begun().database(0, 2, 0).slot(300, 2, 0).string(b"a").slot(301, 0, 0).string(b"b"),
        &[&slot, &slot.replace("300", "301").replace("2 keys", "0 keys")],
    );
    // As Valkey 8 writes it.
    check(begun().database(0, 1, 0).aux(b"slot-info", b"300,2,0").string(b"a"), &[&slot]);
    check(begun().database(0, 1, 0).aux(b"slot-info", b"300,1,0").string(b"a"), &[]);
}

#[test]
fn many_differences_are_counted() {
    let mut file = File::redis(11);
    for slot in 0..50 {
        file = file.slot(slot, 1, 0);
    }
    let end = read(&file.end()).end.unwrap();
    assert_eq!((end.differences.len(), end.further_differences), (8, 42));
}
