//! Displays untrusted names: printable text of any script is unchanged; everything else is escaped, so that no name
//! moves the cursor, changes the writing direction, or hides a part of itself. Pure.
//!
//! Escaped are bytes that are not UTF-8 (`\xff`), control characters (`\n`, `\x1b`, `\u{9b}`), and characters without
//! a visible shape: direction overrides, zero-width characters, blanks other than the ordinary space, and unassigned
//! code points. A backslash is doubled, so that two names never look the same.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Invisible characters that Rust's own escaping treats as printable: fillers, joiners and variation selectors.
const INVISIBLE: [(char, char); 8] = [
    ('\u{34f}', '\u{34f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{e0100}', '\u{e01ef}'),
];

/// Whether `c` is printable.
#[must_use]
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic() || c == ' ';
    }
    let invisible = INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c));
    // After a letter, a combining mark is not escaped.
    let mut text = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut text[1..]).len();
    let kept = str::from_utf8(&text[..length]).is_ok_and(|text| text.escape_debug().count() == 2);
    kept && !invisible
}

/// Whether `c` combines with the character before it.
fn combines(c: char) -> bool {
    c.escape_debug().count() > 1
}

/// Displays a name of bytes. See the module.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most names need no escape, and scans show the names of all keys that they measure.
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
        if let (true, Ok(text)) = (self.0.iter().all(plain), str::from_utf8(self.0)) {
            return f.write_str(text);
        }
        for chunk in self.0.utf8_chunks() {
            // The base of a combining mark must be part of the name, not an escape.
            let mut has_base = false;
            for c in chunk.valid().chars() {
                let shown = c != '\\' && is_printable(c) && (has_base || c.is_ascii() || !combines(c));
                match c {
                    c if shown => f.write_char(c)?,
                    c if c.is_ascii() => write!(f, "{}", [c as u8].escape_ascii())?,
                    c => write!(f, "{}", c.escape_unicode())?,
                }
                has_base = shown;
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

/// A text on one line: like [`Printable`], but a backslash is unchanged, as in messages.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) {
            line.push(c);
        } else {
            line.extend(c.escape_debug());
        }
    }
    line
}

/// A text of several lines: like [`one_line`], but line breaks are kept.
#[must_use]
pub fn page(text: &str) -> String {
    text.split('\n').map(one_line).collect::<Vec<_>>().join("\n")
}

/// A JSON document: unprintable characters become escapes such as `\u202e`, with the same meaning.
#[must_use]
pub fn json(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for c in document.chars() {
        if is_printable(c) || c == '\n' {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// At most the first `max` bytes of `name`, without splitting a character.
#[must_use]
pub fn beginning(name: &[u8], max: usize) -> &[u8] {
    if name.len() <= max {
        return name;
    }
    let is_inside = |at: usize| name[at] & 0b1100_0000 == 0b1000_0000;
    // A character has at most four bytes; a longer sequence is not text.
    let back = (0..=3.min(max)).find(|back| !is_inside(max - back)).unwrap_or(0);
    &name[..max - back]
}

/// `text` in at most `chars_max` characters: the end of a longer one is replaced by `…`.
#[must_use]
pub fn shortened(text: &str, chars_max: usize) -> Cow<'_, str> {
    if text.chars().nth(chars_max).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect())
}

/// Bytes as hexadecimal digits in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(name: impl AsRef<[u8]>, expected: &str) {
        assert_eq!(Printable(name.as_ref()).to_string(), expected, "{:?}", name.as_ref());
    }

    #[test]
    fn text_in_any_script_is_shown() {
        for name in [
            "permissions:42",
            "it's \"quoted\"",
            "sitzung:müller",
            "сессия:42",
            "会话:用户",
            "संदेश:१",
            "ผู้ใช้:1",
            "جلسة:1",
            "cart:🛒",
            "e\u{301}",
        ] {
            check(name, name);
        }
    }

    #[test]
    fn what_a_screen_does_not_show_is_escaped() {
        check("a\n\t\0\u{1b}[2J\u{7f}", r"a\n\t\x00\x1b[2J\x7f");
        check("c1\u{9b}2J", r"c1\u{9b}2J");
        check("user:\u{202e}nimda", r"user:\u{202e}nimda");
        check("\u{2066}a\u{2069}\u{200f}\u{61c}", r"\u{2066}a\u{2069}\u{200f}\u{61c}");
        check("ad\u{200b}min\u{200d}\u{feff}\u{2060}", r"ad\u{200b}min\u{200d}\u{feff}\u{2060}");
        check("a\u{ad}\u{a0}\u{3000}\u{2028}", r"a\u{ad}\u{a0}\u{3000}\u{2028}");
        check("a\u{3164}\u{fe0f}\u{34f}\u{e0101}", r"a\u{3164}\u{fe0f}\u{34f}\u{e0101}");
        check("\u{e000}\u{10ffff}\u{e0041}", r"\u{e000}\u{10ffff}\u{e0041}");
        check("\u{301}a", r"\u{301}a");
        check("a\u{200b}\u{301}", r"a\u{200b}\u{301}");
        check(b"a\xff\xc3", r"a\xff\xc3");
        check(r"a\nb", r"a\\nb");
    }

    #[test]
    fn documents_say_the_same_with_escapes() {
        let document = serde_json::json!({ "key": "a\u{202e}\u{9b}\u{e0041}ключ\\\n" });
        let shown = json(&document.to_string());
        assert_eq!(shown, r#"{"key":"a\u202e\u009b\udb40\udc41ключ\\\n"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), document);
    }

    #[test]
    fn no_character_is_cut_in_two() {
        let cut = |name: &'static str, max| Printable(beginning(name.as_bytes(), max)).to_string();
        assert_eq!([cut("ключ", 3), cut("ключ", 4), cut("ключ", 99)], ["к", "кл", "ключ"]);
        assert_eq!([cut("🛒", 3), cut("🛒", 0), cut("abc", 2)], ["", "", "ab"]);
        assert_eq!(beginning(&[0x80; 9], 6).len(), 6);
    }

    #[test]
    fn a_long_text_ends_with_an_ellipsis() {
        let texts = [shortened("äöü", 2), shortened("äöü", 3), shortened("", 3), shortened("abcd", 3)];
        assert_eq!(texts, ["ä…", "äöü", "", "ab…"]);
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }

    proptest! {
        #[test]
        fn names_stay_apart_and_short(a: Vec<u8>, b: Vec<u8>) {
            let (left, right) = (Printable(&a).to_string(), Printable(&b).to_string());
            prop_assert_eq!(a == b, left == right);
            prop_assert!(left.len() <= 4 * a.len() && left.chars().all(is_printable));
        }

        #[test]
        fn texts_stay_apart_too(a in "\\PC{0,9}|.{0,9}", b in "\\PC{0,9}|.{0,9}") {
            prop_assert_eq!(a == b, Printable(a.as_bytes()).to_string() == Printable(b.as_bytes()).to_string());
        }
    }
}
