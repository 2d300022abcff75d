//! Files that are cut off, damaged, forged or of another kind, and memory.

use keysweep_testkit::hostile::fuzz;

use super::files::File;
use super::{colourful, read, read_in_pieces};
use crate::limits::KEY_BYTES_MAX;
use crate::{Fault, Format, Parser, RdbError};

#[test]
fn a_file_that_is_cut_off_anywhere_is_an_error_there() {
    let file = colourful();
    let whole = read(&file);
    for cut in 0..file.len() {
        for size in [1, 7, file.len()] {
            let read = read_in_pieces(&file[..cut], size);
            assert_eq!(read.end, Err(RdbError { offset: cut as u64, fault: Fault::Truncated }));
            assert_eq!(read.keys, whole.keys[..read.keys.len()], "{cut}");
        }
    }
}

#[test]
fn a_bit_that_is_wrong_anywhere_is_an_error() {
    let file = colourful();
    let whole = read(&file);
    for bit in 0..file.len() * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let damaged = read(&damaged);
        assert!(damaged.end.is_err(), "bit {bit}: {damaged:?}");
        assert!(damaged.keys.len() <= whole.keys.len() * 20);
    }
}

#[test]
fn faults_say_what_and_where() {
    let check = |bytes: &[u8], expected: &str| {
        let error = read(bytes).end.unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(b"", "at byte 0: the file ends here, before its end mark: it is not complete");
    check(
        b"PK\x03\x04aaaaaaaa",
        "at byte 0: this is no RDB file: it begins neither with `REDIS` nor with `VALKEY` and a version",
    );
    check(
        b"REDIS00x1\xff",
        "at byte 0: this is no RDB file: it begins neither with `REDIS` nor with `VALKEY` and a version",
    );
    check(
        b"REDIS0015\xff",
        "at byte 0: REDIS files of version 15 are not read: those of REDIS 1 to 14 and VALKEY 80 are",
    );
    check(
        b"REDIS0000\xff",
        "at byte 0: REDIS files of version 0 are not read: those of REDIS 1 to 14 and VALKEY 80 are",
    );
    check(
        b"VALKEY081\xff",
        "at byte 0: VALKEY files of version 81 are not read: those of REDIS 1 to 14 and VALKEY 80 are",
    );
    check(
        b"REDIS0011\xf2",
        "at byte 9: `242` is no type of value and no operation that is known; the file may be damaged, or of a newer server",
    );
    check(
        b"REDIS0011\x06\x00",
        "at byte 9: `6` is a type or an operation that only pre-releases of servers wrote, which is not read",
    );
    check(b"REDIS0011\xfe\x82", "at byte 9: `0x82` begins no length");
    check(b"REDIS0011\xf4\x80\x00\x00\x40\x00\x01\x01", "at byte 9: there is no hash slot 16384");
    check(b"REDIS0011\x00\xc3\x02\x09\x00a", "at byte 15: a compressed string is damaged");
    check(
        b"REDIS0011\x00\x80\xff\xff\xff\xff",
        "at byte 10: the name of a key has 4294967295 bytes; at most 4194304 are read",
    );
    check(
        b"REDIS0011\xff12345678",
        "at byte 10: the file is damaged: its checksum is `3837363534333231`, that of its contents `629738748d8a22c0`",
    );
    let mut longer = File::redis(11).string(b"a").end();
    longer.extend(b"*1");
    check(
        &longer,
        "at byte 23: more bytes follow the end of the file, such as the commands of an append-only file",
    );
}

#[test]
fn a_file_may_have_no_checksum() {
    let mut unchecked = File::redis(11).string(b"a").end();
    let length = unchecked.len();
    unchecked[length - 8..].fill(0);
    let end = read(&unchecked).end.unwrap();
    assert!(!end.checked && end.entries == 1);
    // Before version 5 there was none.
    let old = [b"REDIS0004".as_slice(), &[254, 0, 253, 1, 0, 0, 0, 0, 1, b'k', 1, b'v', 255]].concat();
    let read = read(&old);
    assert_eq!(
        (read.end.unwrap().checked, read.keys[0].expires_ms, read.origin.format),
        (false, Some(1_000), Format::Redis)
    );
}

#[test]
fn fuzz_files() {
    let valkey = File::valkey().aux(b"valkey-ver", b"9.0.0").database(0, 1, 0).string(b"a").end();
    let slots = File::redis(12).database(0, 2, 0).slot(1, 1, 0).string(b"a").slot(2, 1, 0).string(b"b").end();
    fuzz("rdb files", vec![colourful(), valkey, slots], |bytes| {
        let whole = read(bytes);
        // Every key takes at least three bytes.
        assert!(whole.keys.len() * 3 <= bytes.len());
        assert_eq!(read_in_pieces(bytes, 3), whole);
        assert_eq!(read_in_pieces(bytes, 97), whole);
    });
}

#[test]
fn values_are_skipped_in_little_memory() {
    let begin = File::redis(11).key(0, b"large").bytes(&[0x80]).bytes(&(100_u32 << 20).to_be_bytes());
    let piece = vec![b'x'; 64 << 10];
    let end = File::redis(11).string(b"next").end().split_off(9);
    let info = allocation_counter::measure(|| {
        let (mut parser, mut seen) = (Parser::new(), 0);
        let mut feed = |bytes: &[u8]| parser.feed(bytes, |_| seen += 1).unwrap();
        begin.clone().with(&mut feed);
        (0..1_600).for_each(|_| feed(&piece));
        // Its checksum is that of another file.
        let _ = parser.feed(&end, |_| seen += 1);
        assert_eq!(seen, 2);
    });
    assert!(info.bytes_max < 8 << 10, "{info:?}");
}

#[test]
fn lengths_that_are_only_claimed_take_no_memory() {
    let huge = [0x81, 0x7f, 255, 255, 255, 255, 255, 255, 255];
    for number in [0, 1, 2, 4, 5, 10, 14, 16, 18, 21, 24, 28] {
        let file = File::redis(14).key(number, b"k").bytes(&huge).bytes(&huge).bytes(&huge).bytes(&[0; 200]);
        let info = allocation_counter::measure(|| {
            let (mut parser, mut seen) = (Parser::new(), 0_u64);
            file.clone().with(|bytes| drop(parser.feed(bytes, |_| seen += 1)));
        });
        assert!(info.bytes_max < 8 << 10, "{number}: {info:?}");
    }
    // The name of a key is held as it arrives.
    let name = File::redis(11).bytes(&[0, 0x80]).bytes(&(KEY_BYTES_MAX as u32).to_be_bytes()).bytes(b"abc");
    let info = allocation_counter::measure(|| {
        let mut parser = Parser::new();
        name.clone().with(|bytes| drop(parser.feed(bytes, |_| {})));
    });
    assert!(info.bytes_max < 8 << 10, "{info:?}");
}
