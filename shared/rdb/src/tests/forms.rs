//! The forms of values, also those that no server here writes, in bytes by hand.

use super::files::File;
use super::{Seen, read};
use crate::{Fault, RdbError};

/// Checks the type, the elements and whether fields expire of a value, behind which another key must be found.
#[track_caller]
fn check_in(file: File, number: u8, value: impl FnOnce(File) -> File, expected: (&str, Option<u64>, bool)) {
    let file = value(file.key(number, b"key")).string(b"next").end();
    let read = read(&file);
    read.end.unwrap();
    let [Seen { kind, elements, fields_expire, .. }, next] = read.keys.as_slice() else {
        panic!("{:?}", read.keys)
    };
    assert_eq!((kind.to_string().as_str(), *elements, *fields_expire), expected);
    assert_eq!(next.key, b"next");
}

#[track_caller]
fn check(number: u8, value: impl FnOnce(File) -> File, expected: (&str, Option<u64>, bool)) {
    check_in(File::redis(14), number, value, expected);
}

/// A listpack of `strings` strings, as far as it matters.
fn listpack(strings: u16) -> Vec<u8> {
    let mut bytes = 100_u32.to_le_bytes().to_vec();
    bytes.extend(strings.to_le_bytes());
    bytes.resize(100, b'x');
    bytes
}

fn ziplist(strings: u16) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.extend(strings.to_le_bytes());
    bytes.resize(100, b'x');
    bytes
}

#[test]
fn plain_containers_say_how_many_elements_they_have() {
    let pairs = |file: File| file.number(2).text(b"a").text(b"1").text(b"b").text(b"2");
    check(1, |file| file.number(2).text(b"a").bytes(&[0xc0, 9]), ("list", Some(2), false));
    check(2, |file| file.number(1).text(b"a"), ("set", Some(1), false));
    check(
        3,
        |file| file.number(3).text(b"a").bytes(b"\x033.5").text(b"b").bytes(&[254]).text(b"c").bytes(&[253]),
        ("zset", Some(3), false),
    );
    check(4, pairs, ("hash", Some(2), false));
    check(5, |file| file.number(1).text(b"a").bytes(&[0; 8]), ("zset", Some(1), false));
}

#[test]
fn packed_containers_do_so_in_their_head() {
    check(9, |file| file.text(b"\x02rest"), ("hash", Some(2), false));
    check(10, |file| file.text(&ziplist(7)), ("list", Some(7), false));
    check(11, |file| file.text(&[2, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5, 6]), ("set", Some(3), false));
    check(12, |file| file.text(&ziplist(8)), ("zset", Some(4), false));
    check(13, |file| file.text(&ziplist(8)), ("hash", Some(4), false));
    check(14, |file| file.number(2).text(&ziplist(8)).text(&ziplist(300)), ("list", Some(308), false));
    check(16, |file| file.text(&listpack(8)), ("hash", Some(4), false));
    check(17, |file| file.text(&listpack(8)), ("zset", Some(4), false));
    check(
        18,
        |file| file.number(2).number(2).text(&listpack(8)).number(1).text(b"large"),
        ("list", Some(9), false),
    );
    check(20, |file| file.text(&listpack(8)), ("set", Some(8), false));
    // Too many for the head, in one of two nodes, and a head that is not there.
    check(20, |file| file.text(&listpack(u16::MAX)), ("set", None, false));
    check(14, |file| file.number(2).text(&ziplist(8)).text(&ziplist(u16::MAX)), ("list", None, false));
    check(20, |file| file.text(b"x"), ("set", None, false));
    // Compressed: six bytes as they are, and repetitions.
    check(20, |file| file.bytes(b"\xc3\x09\x40\x64\x05\x64\0\0\0\x08\0\xe0\x56"), ("set", Some(8), false));
}

#[test]
fn fields_may_expire() {
    let fields = |file: File| file.number(2).number(5).text(b"a").text(b"1").number(9).text(b"b").text(b"2");
    let mixed = |file: File| file.number(2).number(0).text(b"a").text(b"1").number(5).text(b"b").text(b"2");
    let packed = |end: &[u8]| {
        let mut bytes = listpack(9);
        bytes.truncate(100 - end.len());
        [bytes.as_slice(), end].concat()
    };
    let (all, last, none) = (packed(&[9, 0xff]), packed(&[0, 1, 0xff]), packed(&[0xff]));
    check(22, fields, ("hash", Some(2), true));
    check(22, mixed, ("hash", Some(2), false));
    check(24, |file| fields(file.number_ms(1_790_000_000_000)), ("hash", Some(2), true));
    check(24, |file| mixed(file.number_ms(1_790_000_000_000)), ("hash", Some(2), false));
    check(23, |file| file.text(&all), ("hash", Some(3), true));
    check(23, |file| file.text(&last), ("hash", Some(3), false));
    // The earliest time says nothing.
    for at_ms in [0, 1_790_000_000_000] {
        check(25, |file| file.number_ms(at_ms).text(&all), ("hash", Some(3), true));
        check(25, |file| file.number_ms(at_ms).text(&last), ("hash", Some(3), false));
        check(25, |file| file.number_ms(at_ms).text(&none), ("hash", Some(3), false));
    }
    check(25, |file| file.number_ms(0).text(b"x"), ("hash", None, false));
    check(25, |file| file.number_ms(0).text(b""), ("hash", None, false));
}

#[test]
fn valkey_has_another_form_with_the_same_number() {
    let hash = |at| move |file: File| file.number(1).text(b"a").text(b"1").number_ms(at);
    check_in(File::valkey(), 22, hash(-1), ("hash", Some(1), false));
    check_in(File::valkey(), 22, hash(1_790_000_000_000), ("hash", Some(1), true));
    let unknown = read(&File::valkey().key(24, b"key").end()).end;
    assert_eq!(unknown, Err(RdbError { offset: 9, fault: Fault::Unknown(24) }));
}

#[test]
fn streams_have_five_forms() {
    let begin =
        |file: File| file.number(1).text(&[1; 16]).text(&[2; 40]).number(3).number(7_000_000).number(0);
    let history = |file: File| file.number(6_000_000).number(0).number(0).number(0).number(3);
    let pending = |file: File| file.number(1).bytes(&[3; 24]).number(1);
    let consumer =
        |file: File, bytes: &[u8]| file.number(1).text(b"c").bytes(bytes).number(1).bytes(&[3; 16]);
    let group = |file: File| file.number(1).text(b"group").number(5).number(0);
    let producers = |file: File| {
        let file = file.number(60).number(100).number(1).text(b"producer");
        file.number(2).text(b"i").number(5).number(0).text(b"j").number(6).number(0).number(2).number(0)
    };
    let expected = ("stream", Some(3), false);
    check(15, |file| consumer(pending(group(begin(file))), &[5; 8]), expected);
    check(19, |file| consumer(pending(group(history(begin(file))).number(2)), &[5; 8]), expected);
    check(21, |file| consumer(pending(group(history(begin(file))).number(2)), &[5; 16]), expected);
    check(26, |file| producers(consumer(pending(group(history(begin(file))).number(2)), &[5; 16])), expected);
    let given_back = |file: File| file.number(2).bytes(&[6; 32]);
    check(
        27,
        |file| producers(given_back(consumer(pending(group(history(begin(file))).number(2)), &[5; 16]))),
        expected,
    );
}

#[test]
fn arrays_have_elements_of_four_forms() {
    let elements = |file: File| {
        let file = file.number(0).number(0).text(b"a").number(1).number(1).bytes(&[7; 8]);
        file.number(5).number(2).bytes(&[8; 8]).number(9_000).number(3).text(b"b")
    };
    check(28, |file| elements(file.number(4).number(0)), ("array", Some(4), false));
    check(28, |file| elements(file.number(4).number(1).number(9_001)), ("array", Some(4), false));
    let wrong = read(&File::redis(14).key(28, b"key").number(1).number(2).end()).end;
    assert_eq!(wrong.unwrap_err().fault, Fault::Form(2));
}

#[test]
fn modules_and_metadata_are_skipped() {
    let parts = |file: File| {
        let file =
            file.bytes(&[1, 5, 2, 0x40, 200, 3, 1, 2, 3, 4, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5]).text(b"text");
        file.bytes(&[0])
    };
    check(
        7,
        |file| parts(file.bytes(&[0x81]).bytes(&(3 << 10 | 2_u64).to_be_bytes())),
        ("AAAAAAAAD", None, false),
    );
    let metadata = File::redis(13).bytes(&[243, 2, 9, 9, 9, 9]);
    check_in(
        parts(parts(metadata).bytes(&[8; 4])),
        2,
        |file| file.number(1).text(b"a"),
        ("set", Some(1), false),
    );
    let import =
        File::valkey().bytes(&[243]).text(&[b'j'; 40]).number(2).number(0).number(99).number(200).number(300);
    check_in(import, 2, |file| file.number(1).text(b"a"), ("set", Some(1), false));
    let wrong = read(&File::redis(12).key(7, b"key").bytes(&[1, 6]).end()).end;
    assert_eq!(wrong.unwrap_err().fault, Fault::Form(6));
}
