//! Generates hostile input: real encodings, truncated, spliced, and changed. Not guided by coverage, only by seeds.
//! `cargo test` runs some hundreds of cases of each kind, `cargo xtask fuzz` as many as fit into its time, and shows
//! failures in their smallest form.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::{BoxedStrategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// Cases of one target in a test run.
const CASES: u32 = 300;

/// Cases between two checks of the time.
const CASES_AT_ONCE: u32 = 500;

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    /// Replaces a byte.
    Set(usize, u8),
    /// Flips a bit.
    Flip(usize, u8),
    /// Removes the rest.
    Cut(usize),
    /// Inserts bytes.
    Insert(usize, Vec<u8>),
    /// Removes some bytes.
    Remove(usize, usize),
    /// Repeats some bytes many times.
    Repeat(usize, usize, usize),
    /// Overwrites some bytes.
    Overwrite(usize, Vec<u8>),
}

/// Bytes that are difficult for decoders: wrong lengths, extreme numbers, markers of every format.
const PIECES: &[&[u8]] = &[
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\x91\x91\x91\x91\x91\x91\x91\x91",
    b"\xc0",
    b"\x80",
    b"\x90",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"16384",
    b"65536",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*268435456\r\n",
    b"$536870912\r\n",
    b"%2147483647\r\n",
    b"-MOVED 99999 :0\r\n",
    b"\r\n",
    b"\n",
    b",",
    b":",
    b"@",
    b"[",
    b"{",
    b"\"",
    b"\\",
    b"*",
    b"\x00",
    b"\xff\xfe",
    b"\xc3\xbf",
    b"1e999",
    b"null",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..24),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let at = || any::<usize>();
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => at().prop_map(Change::Cut),
        3 => (at(), piece()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        2 => (at(), 0..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (at(), 1..40_usize, 1..200_usize).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        4 => (at(), piece()).prop_map(|(at, piece)| Change::Overwrite(at, piece)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |at: usize| at.checked_rem(bytes.len() + 1).unwrap_or_default();
    match change {
        Change::Set(at, byte) => {
            let at = place(*at);
            if let Some(there) = bytes.get_mut(at) {
                *there = *byte;
            }
        }
        Change::Flip(at, bit) => {
            let at = place(*at);
            if let Some(there) = bytes.get_mut(at) {
                *there ^= 1 << bit;
            }
        }
        Change::Cut(at) => bytes.truncate(place(*at)),
        Change::Insert(at, piece) => {
            let at = place(*at);
            drop(bytes.splice(at..at, piece.iter().copied()));
        }
        Change::Remove(at, length) => {
            let at = place(*at);
            let end = (at + length).min(bytes.len());
            drop(bytes.drain(at..end));
        }
        Change::Repeat(at, length, times) => {
            let at = place(*at);
            let end = (at + length).min(bytes.len());
            let again = bytes[at..end].repeat(*times);
            drop(bytes.splice(end..end, again));
        }
        Change::Overwrite(at, piece) => {
            let at = place(*at);
            let end = (at + piece.len()).min(bytes.len());
            drop(bytes.splice(at..end, piece.iter().copied()));
        }
    }
}

/// Bytes derived from `seeds`: unchanged, changed, or a combination of two.
fn hostile(seeds: Vec<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    let seed = prop::sample::select(seeds);
    let whole = (seed.clone(), prop::collection::vec(change(), 0..8)).prop_map(|(mut bytes, changes)| {
        changes.iter().for_each(|change| apply(&mut bytes, change));
        bytes
    });
    let spliced =
        (seed.clone(), seed, any::<usize>(), any::<usize>()).prop_map(|(one, other, end, begin)| {
            let (end, begin) = (end % (one.len() + 1), begin % (other.len() + 1));
            [&one[..end], &other[begin..]].concat()
        });
    prop_oneof![8 => whole, 1 => spliced, 1 => prop::collection::vec(any::<u8>(), 0..200)].boxed()
}

/// One derived encoding, deterministic for `rng_seed`.
pub fn tampered(seeds: Vec<Vec<u8>>, rng_seed: u64) -> Vec<u8> {
    let config =
        Config { rng_seed: RngSeed::Fixed(rng_seed), failure_persistence: None, ..Config::default() };
    let tree = hostile(seeds).new_tree(&mut TestRunner::new(config));
    tree.map(|tree| tree.current()).unwrap_or_default()
}

/// The time for each target; `None` in a test run, which runs a few cases.
#[expect(clippy::disallowed_methods, reason = "how long a test tries is no setting of keysweep")]
fn each() -> Option<Duration> {
    let seconds = std::env::var("KEYSWEEP_FUZZ_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("KEYSWEEP_FUZZ_SECONDS is a number")))
}

/// Calls `target` with bytes derived from `seeds`, each of which must be valid. It must not panic.
pub fn fuzz(name: &str, seeds: Vec<Vec<u8>>, target: impl Fn(&[u8])) {
    seeds.iter().for_each(|seed| target(seed));
    let (begin, strategy, mut tried) = (Instant::now(), hostile(seeds), 0_u64);
    let limit = each();
    let mut rounds = 0..;
    loop {
        let round = rounds.next().unwrap_or_default();
        // The same cases in each test run; different ones in each round of a long run.
        let rng_seed = match limit {
            None => RngSeed::Fixed(7),
            Some(_) => RngSeed::Fixed(u64::from(std::process::id()) << 32 | round),
        };
        let cases = if limit.is_some() { CASES_AT_ONCE } else { CASES };
        let config = Config { cases, rng_seed, failure_persistence: None, ..Config::default() };
        let failed = TestRunner::new(config).run(&strategy, |bytes| {
            target(&bytes);
            Ok(())
        });
        match failed {
            Ok(()) => {}
            Err(TestError::Fail(why, bytes)) => {
                panic!("{name}, {rng_seed:?}: {why}; the bytes: b\"{}\"", bytes.escape_ascii());
            }
            Err(TestError::Abort(why)) => panic!("{name}, {rng_seed:?}: {why}"),
        }
        tried += u64::from(cases);
        if limit.is_none_or(|limit| begin.elapsed() >= limit) {
            break;
        }
    }
    println!("fuzz {name}: {tried} cases in {:.1} s", begin.elapsed().as_secs_f64());
}
