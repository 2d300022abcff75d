//! Texts and predicates.

use proptest::prelude::*;

use super::generated::an_expression;
use crate::limits::{PREDICATE_BYTES_MAX, PREDICATE_DEPTH_MAX};
use crate::{Predicate, Problem};

#[track_caller]
fn check(text: &str, shown: &str) {
    let predicate: Predicate = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(predicate.to_string(), shown, "{text}");
    assert_eq!(shown.parse::<Predicate>().as_ref(), Ok(&predicate), "{text}");
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = text.parse::<Predicate>().expect_err(text);
    assert_eq!(error.to_string(), expected, "{text}");
}

#[test]
fn predicates_are_shown_in_one_form() {
    let example = "ttl = none and idle > 7d and type in (string, hash) and bytes < 1MiB";
    check(example, example);
    check("  idle>90m\n", "idle > 90m");
    check("idle>=168h", "idle >= 7d");
    check("bytes = 1024", "bytes = 1KiB");
    check("ttl=none or ttl>7d and freq<2", "ttl = none or ttl > 7d and freq < 2");
    check("(ttl=none or ttl>7d) and freq<2", "(ttl = none or ttl > 7d) and freq < 2");
    check("((ttl = none))", "ttl = none");
    check("not(length != 3)", "not length != 3");
    check("not not ttl = none", "not not ttl = none");
    check("not (ttl = none and idle > 1d) or freq = 0", "not (ttl = none and idle > 1d) or freq = 0");
    check("ttl = none and (idle > 1d and freq = 0)", "ttl = none and (idle > 1d and freq = 0)");
    check("type in(hash)", "type = hash");
    check("user=inactive or user!=inactive", "user = inactive or user = active");
    check("type not in (set,list)", "type not in (set, list)");
    check(r#"type = "ReJSON-RL" and type != "hash""#, r#"type = "ReJSON-RL" and type != hash"#);
    check(r#"key~"^user:\d+\"$" and ttl = none"#, r#"key ~ "^user:\d+\"$" and ttl = none"#);
    check(r#"key ~ "ключ""#, r#"key ~ "ключ""#);
}

#[test]
fn mistakes_are_named_with_their_column_and_the_way_out() {
    let term = "a term such as `ttl = none` or `idle > 7d` should";
    check_error("", &format!("column 1: the end stands where {term}"));
    check_error("ttl = none and", &format!("column 15: the end stands where {term}"));
    check_error("ttl = none and or", &format!("column 16: `or` stands where {term}"));
    check_error("()", &format!("column 2: `)` stands where {term}"));
    check_error(
        "idle > 7d and tll = none",
        "column 15: `tll` is not a fact of a key: use `key`, `ttl`, `user`, `type`, `idle`, `freq`, `bytes`, `length`",
    );
    check_error("idle 7d", "column 6: `7d` does not follow `idle`: use `<`, `<=`, `=`, `!=`, `>=`, `>`");
    check_error("type > hash", "column 6: `>` does not follow `type`: use `=`, `!=`, `in`, `not in`");
    check_error("user > 30d", "column 6: `>` does not follow `user`: use `=`, `!=`");
    check_error("user = idle", "column 8: `idle` is not what a user is: use `active` or `inactive`");
    check_error(r#"key = "a""#, "column 5: `=` does not follow `key`: use `~`");
    check_error("key ~ ^a", "column 7: `^` does not follow `~`: write a regular expression in double quotes");
    let duration = "write a whole number and one of `ms`, `s`, `m`, `h`, `d`, such as `15m`";
    check_error("idle > 1h30m", &format!("column 8: `1h30m` is not a duration: {duration}"));
    check_error("idle > none", &format!("column 8: `none` is not a duration: {duration}"));
    check_error("ttl == none", &format!("column 6: `=` is not a duration: {duration}"));
    check_error("idle > 7", "column 8: `7` is not a duration: a unit is missing: write `7s` or `7m`");
    check_error(
        "bytes > 10KB",
        "column 9: `10KB` is not a size: write bytes, or a whole number and one of `KiB`, `MiB`, `GiB`, `TiB`",
    );
    check_error("freq > -1", "column 8: `-1` is not a whole number");
    check_error("length > 99999999999999999999", "column 10: `99999999999999999999` is not a whole number");
    check_error("ttl > none", "column 7: `none` has no size: write `ttl = none` or `ttl != none`");
    check_error("ttl = none idle > 7d", "column 12: `idle` stands where `and`, `or` or the end should");
    check_error("ttl = none AND idle > 7d", "column 12: `AND` stands where `and`, `or` or the end should");
    check_error("ttl = none)", "column 11: `)` stands where `and`, `or` or the end should");
    check_error("(ttl = none", "column 12: the end stands where `and`, `or` or `)` should");
}

#[test]
fn mistakes_in_lists_and_texts_are_named() {
    check_error(
        "type = sting",
        "column 8: `sting` is not a type: use `string`, `list`, `set`, `zset`, `hash`, `stream`, `vectorset`, or the name \
         of a module's type in quotes",
    );
    check_error(
        "type in hash",
        "column 9: `hash` does not follow `in`: write a list such as `(string, hash)`",
    );
    check_error("type in (hash set)", "column 15: `set` stands where `,` or `)` should");
    check_error(r#"type = "a b""#, "column 8: the name of a type has 1 to 32 letters, digits, `-` and `_`");
    check_error(r#"ttl = none and key ~ "a\""#, "column 22: the text that begins here has no end: add `\"`");
    check_error(r#"key ~ "a(""#, "column 7: this is not a regular expression: unclosed group");
    check_error(
        r#"key ~ "(\w{1000}){1000}""#,
        "column 7: this regular expression takes more than 262144 bytes of memory: use fewer or smaller repetitions",
    );
    // Columns are characters, not bytes.
    check_error(r#"key ~ "ключ" x"#, "column 14: `x` stands where `and`, `or` or the end should");
    check_error("idle > 7d\u{202e}", r"column 10: `\u{202e}` stands where `and`, `or` or the end should");
}

#[test]
fn long_and_deep_texts_are_refused() {
    let problem = |text: String| text.parse::<Predicate>().map_err(|error| error.problem);
    let nested = |depth| format!("{}ttl = none{}", "(".repeat(depth), ")".repeat(depth));
    assert!(problem(nested(PREDICATE_DEPTH_MAX)).is_ok());
    assert_eq!(problem(nested(PREDICATE_DEPTH_MAX + 1)), Err(Problem::TooDeep));
    assert_eq!(problem("not ".repeat(PREDICATE_DEPTH_MAX + 1) + "ttl = none"), Err(Problem::TooDeep));
    assert_eq!(problem("(not ".repeat(500)), Err(Problem::TooDeep));
    let blank = " ".repeat(PREDICATE_BYTES_MAX) + "ttl = none";
    assert_eq!(problem(blank.clone()), Err(Problem::TooLong(blank.len())));
    // It is short as it is written, but not as it is shown.
    let dense = vec!["freq=1"; 380].join(" or ");
    assert!(dense.len() <= PREDICATE_BYTES_MAX && matches!(problem(dense), Err(Problem::TooLong(_))));
    let group = format!(r#"key ~ "{}{}""#, "(".repeat(200), ")".repeat(200));
    assert!(matches!(problem(group), Err(Problem::BadRegex(_))));
}

proptest! {
    #[test]
    fn what_is_shown_parses_to_the_same(expression in an_expression(any::<u64>())) {
        let shown = expression.to_string();
        let parsed: Predicate = shown.parse().unwrap();
        prop_assert_eq!(parsed.expression(), &expression);
        prop_assert_eq!(parsed.to_string(), shown);
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = text.parse::<Predicate>();
    }

    /// Pieces of the language in any order come further than any text.
    #[test]
    fn no_pieces_panic(pieces in prop::collection::vec(
        prop::sample::select(vec![
            "ttl", "idle", "type", "key", "bytes", "=", "!=", ">", "~", "(", ")", ",", "\"", "\\", "none", "not", "and",
            "or", "in", "7d", "1KiB", "hash", "\"a", "ü", "🛒", " ", "\n", "*", "[", "{9999}",
        ]),
        0..40,
    )) {
        for separator in ["", " "] {
            let text = pieces.join(separator);
            match text.parse::<Predicate>() {
                Ok(parsed) => prop_assert_eq!(parsed.to_string().parse(), Ok(parsed)),
                Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{}", error),
            }
        }
    }
}
