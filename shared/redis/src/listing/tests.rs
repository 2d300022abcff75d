//! Replies that are cut at any byte: the parsed results, and what is refused.

use keysweep_model::messages::Lookups;

use super::replies::Replies;
use super::window_reply::{KeySpan, WindowReply};
use super::{KeyState, Listing, LookupKind, Ttl};
use crate::limits::REPLY_BYTES_MAX;
use crate::{RedisError, RedisErrorKind};

const SCAN: Listing = Listing::Scan { cursor: 0, count: 10 };
const SLOT: Listing = Listing::KeysInSlot { slot: 1, count: 10 };

/// The next cursor, and the keys.
type Page = (u64, Vec<String>);

/// Parses `bytes` that arrive in two pieces, cut at `cut`.
fn read_cut(
    bytes: &[u8],
    cut: usize,
    kind: LookupKind,
    lookups: usize,
    listings: &[Listing],
) -> Result<(Vec<Page>, Vec<KeyState>, Lookups), RedisError> {
    let mut answers = WindowReply { bytes: bytes.to_vec(), ..WindowReply::default() };
    let mut replies = Replies::new("a:1", kind, lookups, listings, &mut answers.found);
    replies.read(&bytes[..cut])?;
    assert!(replies.read(bytes)?, "all of it is there");
    let text = |place: &KeySpan| String::from_utf8(answers.key(*place).to_vec()).unwrap();
    let pages = answers.pages().map(|page| (page.next, page.keys.iter().map(text).collect()));
    Ok((pages.collect(), answers.seen().to_vec(), answers.lookups()))
}

/// Parses `bytes`, cut at every position.
fn read(
    bytes: &str,
    kind: LookupKind,
    lookups: usize,
    listings: &[Listing],
) -> Result<(Vec<Page>, Vec<KeyState>, Lookups), RedisErrorKind> {
    let bytes = bytes.replace(' ', "\r\n").into_bytes();
    let whole = read_cut(&bytes, 0, kind, lookups, listings).map_err(|fault| fault.kind);
    for cut in 1..bytes.len() {
        let again = read_cut(&bytes, cut, kind, lookups, listings).map_err(|fault| fault.kind);
        assert_eq!(again, whole, "cut at {cut}");
    }
    whole
}

fn page(next: u64, keys: &[&str]) -> Page {
    (next, keys.iter().map(|key| (*key).to_owned()).collect())
}

#[test]
fn pages_of_both_kinds_and_ttls_are_parsed() {
    let bytes = ":5 :-1 :-2 *2 $2 17 *2 $1 a $0  *2 $1 b $2 cd *0 ";
    let (pages, seen, lookups) = read(bytes, LookupKind::Ttl, 3, &[SCAN, SLOT, SLOT]).unwrap();
    assert_eq!(pages, [page(17, &["a", ""]), page(0, &["b", "cd"]), page(0, &[])]);
    assert_eq!(seen, [Ttl::Remaining(5), Ttl::Persistent, Ttl::Gone].map(KeyState::only));
    assert_eq!(lookups, Lookups::of(2, 1));
    assert_eq!(read("", LookupKind::Ttl, 0, &[]), Ok((vec![], vec![], Lookups::default())));
}

#[test]
fn times_follow_the_servers_clock() {
    let (_, seen, _) = read("*2 $1 2 $6 500999 :3000 :-1 :100 ", LookupKind::Expiry, 3, &[]).unwrap();
    let left =
        |left_ms, at_ms| KeyState { expires_at_ms: Some(at_ms), ..KeyState::only(Ttl::Remaining(left_ms)) };
    assert_eq!(seen, [left(500, 3_000), KeyState::only(Ttl::Persistent), left(0, 100)]);
    // Nothing is looked up, so no clock is needed.
    assert_eq!(read("*0 ", LookupKind::Expiry, 0, &[SLOT]).unwrap().0, [page(0, &[])]);
}

#[test]
fn idle_times_and_their_lookups_are_parsed() {
    let check = |bytes: &str, expected: KeyState, hits, misses| {
        let (_, seen, lookups) =
            read(&format!("*2 $1 0 $1 0 {bytes}"), LookupKind::ExpiryAndIdle, 1, &[]).unwrap();
        assert_eq!((&*seen, lookups), (&[expected][..], Lookups::of(hits, misses)), "{bytes}");
    };
    check(":-1 :7 ", KeyState { idle_ms: Some(7_000), ..KeyState::only(Ttl::Persistent) }, 2, 0);
    check(":-2 $-1 ", KeyState::only(Ttl::Gone), 0, 2);
    // Refused because of an LFU policy.
    check(":-1 -ERR ", KeyState::only(Ttl::Persistent), 2, 0);
    check(":-1 -MOVED ", KeyState::only(Ttl::Moved), 1, 0);
}

#[test]
fn buffer_is_reused_and_cleared() {
    let mut answers = WindowReply::default();
    let mut read = |bytes: &str, lookups, listings: &[Listing]| {
        answers.clear();
        answers.bytes.extend_from_slice(bytes.replace(' ', "\r\n").as_bytes());
        let WindowReply { bytes, found, .. } = &mut answers;
        assert!(Replies::new("a:1", LookupKind::Ttl, lookups, listings, found).read(bytes).unwrap());
        (answers.keys().collect::<Vec<_>>().concat(), answers.seen().len(), answers.lookups().hits)
    };
    assert_eq!(read(":1 :2 *2 $1 a $2 bc *1 $1 d ", 2, &[SLOT, SLOT]), (b"abcd".to_vec(), 2, 2));
    assert_eq!(read(":3 *1 $1 e ", 1, &[SLOT]), (b"e".to_vec(), 1, 1));
    assert_eq!(read("*0 ", 0, &[SLOT]), (Vec::new(), 0, 0));
    // A large buffer is not kept for ever.
    let long = REPLY_BYTES_MAX;
    read(&format!("*1 ${long} {} ", "x".repeat(long)), 0, &[SLOT]);
    read("*0 ", 0, &[SLOT]);
    assert!(answers.bytes.capacity() < long);
}

#[test]
fn moved_slots_are_reported_per_key_and_other_errors_end_the_window() {
    assert_eq!(
        read("-ASK :1 ", LookupKind::Ttl, 2, &[]).unwrap().1,
        [Ttl::Moved, Ttl::Remaining(1)].map(KeyState::only)
    );
    assert_eq!(read("-NOPERM ", LookupKind::Ttl, 1, &[]), Err(RedisErrorKind::PermissionDenied));
    assert_eq!(read("-LOADING ", LookupKind::Ttl, 0, &[SLOT]), Err(RedisErrorKind::Unavailable));
    assert_eq!(read("-ERR ", LookupKind::Expiry, 1, &[]), Err(RedisErrorKind::CommandError));
}

#[test]
fn replies_of_another_shape_are_refused() {
    let check = |bytes: &str, lookups, listings: &[Listing]| {
        assert_eq!(read(bytes, LookupKind::Ttl, lookups, listings), Err(RedisErrorKind::Protocol), "{bytes}");
    };
    check("$1 a ", 1, &[]);
    check(":-3 ", 1, &[]);
    check("*3 ", 0, &[SCAN]);
    check("*2 $1 x ", 0, &[SCAN]);
    check("*1 :1 ", 0, &[SLOT]);
    check(":1 ", 0, &[SLOT]);
    check("HTTP/1.1 ", 1, &[]);
    // More replies than requests.
    check(":1 :2 ", 1, &[]);
    check("*0 :1 ", 0, &[SLOT]);
}

#[test]
fn fuzz_windows() {
    let seeds = [
        ":5 :-1 :-2 *2 $2 17 *2 $1 a $0  *2 $1 b $2 cd *0 ",
        "*2 $1 2 $6 500999 :3000 :7 :-1 :100 :1 *2 $1 0 *1 $1 k *0 *0 ",
        "-ASK 1 a:1 :1 :2 *2 $1 0 *0 *0 *0 ",
        "-NOPERM User x has no permissions to run the 'pttl' command ",
    ];
    let seeds = seeds.map(|seed| seed.replace(' ', "\r\n").into_bytes()).to_vec();
    keysweep_testkit::hostile::fuzz("windows", seeds, |bytes| {
        for kind in [LookupKind::Ttl, LookupKind::Expiry, LookupKind::ExpiryAndIdle] {
            let mut answers = WindowReply { bytes: bytes.to_vec(), ..WindowReply::default() };
            let mut replies = Replies::new("a:1", kind, 3, &[SCAN, SLOT, SLOT], &mut answers.found);
            let whole = replies.read(&bytes[..bytes.len() / 2]).and_then(|_| replies.read(bytes));
            if let Ok(true) = whole {
                assert_eq!((answers.pages().count(), answers.seen().len()), (3, 3));
                assert!(answers.keys().map(<[u8]>::len).sum::<usize>() <= bytes.len());
            }
        }
    });
}
