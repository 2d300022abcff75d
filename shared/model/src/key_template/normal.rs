//! Normal forms of user ids. The id of one user has several spellings: `7`, `0007`, `{7}` and `user:7`, or
//! `bob@example.com`, `Bob@Example.com` and `bob%40example.com`. Two ids with the same normal form count as the same
//! user. If they are two users, the caches of one of them are kept for longer than needed; no other error is possible,
//! because equal ids have equal forms. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Separators of an id after which a common prefix may end, from its start.
const PREFIX_ENDS_MAX: usize = 8;

/// The normal form of `id`: percent-decoded (repeatedly, if needed), case-folded, without braces, and without the
/// leading zeros of its numbers. Only an empty id has an empty form.
#[must_use]
pub fn normal(id: &[u8]) -> Cow<'_, [u8]> {
    if is_normal(id) {
        return Cow::Borrowed(id);
    }
    let decoded = in_one_case(percent_decoded(id));
    let bare: Vec<u8> = decoded.iter().copied().filter(|byte| !b"{}".contains(byte)).collect();
    // An id that consists of braces keeps them.
    Cow::Owned(without_leading_zeros(if bare.is_empty() { &decoded } else { &bare }))
}

/// Whether an id is its own normal form, as nearly all are.
fn is_normal(id: &[u8]) -> bool {
    let mut before = 0_u8;
    for (at, byte) in id.iter().enumerate() {
        let leading_zero =
            *byte == b'0' && !before.is_ascii_digit() && id.get(at + 1).is_some_and(u8::is_ascii_digit);
        if leading_zero || byte.is_ascii_uppercase() || !byte.is_ascii() || b"%{}".contains(byte) {
            return false;
        }
        before = *byte;
    }
    true
}

/// The byte that `%XX` encodes.
fn decoded(three: &[u8]) -> Option<u8> {
    let [b'%', high, low] = *three else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// A decoded byte is examined again together with the bytes after it, so that `%2540` is `@`, too.
fn percent_decoded(id: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(id.len());
    for byte in id {
        out.push(*byte);
        while let Some(byte) = out.last_chunk::<3>().and_then(|three| decoded(three)) {
            out.truncate(out.len() - 3);
            out.push(byte);
        }
    }
    out
}

/// Folds the case. Upper case first: then `ß` is `ss`, and both forms of the Greek sigma are equal. If the bytes are
/// not text, only ASCII letters are folded.
fn in_one_case(id: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(id) {
        Ok(text) => {
            let upper = text.chars().flat_map(char::to_uppercase);
            upper.flat_map(char::to_lowercase).collect::<String>().into_bytes()
        }
        Err(e) => e.into_bytes().to_ascii_lowercase(),
    }
}

fn without_leading_zeros(id: &[u8]) -> Vec<u8> {
    let mut form: Vec<u8> = Vec::with_capacity(id.len());
    for (at, byte) in id.iter().enumerate() {
        let within_number = form.last().is_some_and(u8::is_ascii_digit);
        let more_digits = id.get(at + 1).is_some_and(u8::is_ascii_digit);
        if *byte != b'0' || within_number || !more_digits {
            form.push(*byte);
        }
    }
    form
}

/// The prefixes that more than half of the ids have, such as `user:` of `user:7`, or `u` of `u7`, the shortest first.
/// Each id is given by the normal forms of its readings, nearly always one. A prefix ends with a separator, or before
/// a form's rest of digits only: a coincidental common beginning of names is not one. Where a prefix distinguishes
/// tenants or kinds of users, and most ids have none of them, they stay distinct.
#[must_use]
pub fn common_prefixes<'a>(ids: impl IntoIterator<Item = &'a [Vec<u8>]>) -> Vec<Vec<u8>> {
    let (mut counts, mut all) = (BTreeMap::<&[u8], usize>::new(), 0);
    for readings in ids {
        all += 1;
        let ends = |form: &'a Vec<u8>| prefix_ends(form).map(|end| &form[..end]);
        // Once for each id.
        for prefix in readings.iter().flat_map(ends).collect::<BTreeSet<_>>() {
            *counts.entry(prefix).or_default() += 1;
        }
    }
    let common = counts.into_iter().filter(|(_, count)| *count > all / 2);
    let mut common: Vec<Vec<u8>> = common.map(|(prefix, _)| prefix.to_vec()).collect();
    common.sort_by_key(Vec::len);
    common
}

/// The lengths of the possible prefixes of a form. The rest is never empty.
fn prefix_ends(form: &[u8]) -> impl Iterator<Item = usize> {
    let separator = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
    let separated = (1..form.len()).filter(move |end| separator(&form[end - 1])).take(PREFIX_ENDS_MAX);
    let digits = form.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let number = form.len() - digits;
    let after_letter = digits > 0 && number > 0 && !separator(&form[number - 1]);
    separated.chain(after_letter.then_some(number))
}

/// The rest of a normal form after `prefix`, if it starts with that and has more.
#[must_use]
pub fn behind<'a>(form: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    form.strip_prefix(prefix).filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(id: impl AsRef<[u8]>) -> String {
        normal(id.as_ref()).escape_ascii().to_string()
    }

    #[test]
    fn forms() {
        let check = |id: &str, expected: &str| assert_eq!(text(id), text(expected), "{id}");
        for same in ["7", "0007", "{7}", "%37", "%2537", "{0{07}}", "%7B7%7D"] {
            check(same, "7");
        }
        for same in ["Bob@Example.com", "bob%40example.com", "BOB%2540EXAMPLE.COM", "{bob@example.com}"] {
            check(same, "bob@example.com");
        }
        check("550E8400-E29B-41D4-A716-446655440000", "550e8400-e29b-41d4-a716-446655440000");
        check("STRASSE", "straße");
        check("ΟΔΟΣ", "οδος");
        check("%C3%89mile", "émile");
        check("user:0007", "user:7");
        check("u007", "u7");
        // Texts that are numbers, and texts that only look like it.
        assert_eq!(
            ["0", "000", "10", "%4", "%zz", "a b", "00a"].map(text),
            ["0", "0", "10", "%4", "%zz", "a b", "0a"]
        );
        assert_eq!(["", "{}", "%7b%7D"].map(text), ["", "{}", "{}"]);
        assert_eq!(text(b"\xff\x00A0"), r"\xff\x00a0");
        for (one, other) in [("7", "70"), ("7", "8"), ("user:7", "7"), ("a:7", "b:7"), ("", "0")] {
            assert_ne!(text(one), text(other));
        }
    }

    #[test]
    fn prefixes_that_most_have() {
        let check = |forms: &[&str], expected: &str| {
            let ids: Vec<[Vec<u8>; 1]> = forms.iter().map(|form| [form.as_bytes().to_vec()]).collect();
            let found = common_prefixes(ids.iter().map(<[_; 1]>::as_slice));
            let found: Vec<String> = found.iter().map(|prefix| prefix.escape_ascii().to_string()).collect();
            assert_eq!(found.join(" "), expected, "{forms:?}");
        };
        check(&["user:1", "user:2", "user:31"], "user:");
        check(&["user:1", "user:2", "7"], "user:");
        check(&["app:user:1", "app:user:2", "app:svc:1"], "app: app:user:");
        check(&["user:7"], "user:");
        check(&["u1", "u22", "u3"], "u");
        check(&["acct/7/x", "acct/8/x"], "acct/");
        // Coincidental common beginnings of names and numbers.
        check(&["1001", "1002", "1003"], "");
        check(&["alice", "alfred"], "");
        check(&["a:1", "b:1"], "");
        check(&["t1:7", "t1:8", "t2:7", "t2:8"], "");
        check(&["user:", "user:"], "");
        check(&["550e8400-e29b-41d4", "660e8400-e29b-41d5"], "");
        check(&[], "");
        assert_eq!(behind(b"user:7", b"user:"), Some(b"7".as_slice()));
        assert_eq!(behind(b"user:", b"user:"), None);
        assert_eq!(behind(b"8", b"user:"), None);
    }

    #[test]
    fn an_id_counts_once_however_many_readings_it_has() {
        let ids: Vec<Vec<Vec<u8>>> =
            [["user", "user:7"].as_slice(), &["user", "user:8"], &["9", "9:x", "9:x:y"]]
                .iter()
                .map(|readings| readings.iter().map(|form| form.as_bytes().to_vec()).collect())
                .collect();
        assert_eq!(common_prefixes(ids.iter().map(Vec::as_slice)), [b"user:".to_vec()]);
        assert!(common_prefixes(ids[1..].iter().map(Vec::as_slice)).is_empty());
    }

    fn encoded(id: &[u8], upper: bool) -> String {
        id.iter().map(|byte| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") }).collect()
    }

    proptest! {
        #[test]
        fn the_ways_to_write_an_id_have_one_form(id in prop::collection::vec(any::<u8>(), 1..40), number: u32) {
            let form = text(&id);
            prop_assert_eq!(text(encoded(&id, true)), form.as_str());
            prop_assert_eq!(text(encoded(encoded(&id, false).as_bytes(), true)), form.as_str());
            prop_assert_eq!(text(id.to_ascii_uppercase()), text(id.to_ascii_lowercase()));
            prop_assert_eq!(text(format!("{number:020}")), number.to_string());
            prop_assert!(!normal(&id).is_empty());
        }

        #[test]
        fn ids_of_braces_keep_them_however_they_are_encoded(id in "[{}]{1,4}") {
            prop_assert_eq!(text(&id), id.as_str());
            prop_assert_eq!(text(encoded(encoded(id.as_bytes(), false).as_bytes(), true)), id.as_str());
        }

        #[test]
        fn words_in_any_case_and_braces_have_one_form(id in "[a-zA-Zäöéß0-9@._ -]{1,30}") {
            prop_assert_eq!(text(id.to_uppercase()), text(id.to_lowercase()));
            prop_assert_eq!(text(format!("{{{id}}}")), text(&id));
            prop_assert_eq!(text(&*normal(id.as_bytes())), text(&id), "a form is its own form");
        }

        #[test]
        fn what_is_taken_for_normal_is(id in prop::collection::vec(any::<u8>(), 0..20)) {
            if is_normal(&id) {
                prop_assert_eq!(without_leading_zeros(&in_one_case(percent_decoded(&id))), id);
            }
        }

        #[test]
        fn a_prefix_that_all_have_is_found_and_leaves_something(ids in prop::collection::vec("[a-z0-9]{1,8}", 1..50)) {
            let forms: Vec<[Vec<u8>; 1]> =
                ids.iter().map(|id| [text(format!("user:{id}")).into_bytes()]).collect();
            let prefixes = common_prefixes(forms.iter().map(<[_; 1]>::as_slice));
            prop_assert!(prefixes.first().is_some_and(|prefix| prefix == b"user:"), "{prefixes:?}");
            for (form, prefix) in forms.iter().flat_map(|[form]| prefixes.iter().map(move |it| (form, it))) {
                prop_assert!(behind(form, prefix).is_none_or(|rest| !rest.is_empty()));
            }
        }
    }
}
