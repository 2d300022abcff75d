//! What a part of a name is: a word, a variable, or words with variables between them.

use crate::limits::{HOLES_MAX, WORD_BYTES_MAX};
use crate::recognize::{
    Classes, DAY_BYTES, Run, UUID_BYTES, begins_with_date, begins_with_day, begins_with_uuid, is_email,
    is_random_rest, numeric, run,
};
use crate::segments::{ADDRESS, AT, DIGIT, REST, SPECIAL, Segment, WEAK};

/// The shape of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape<'s> {
    /// Variable as a whole.
    Variable(Classes),
    /// The part as a pattern: a word, or a text with `*` for each of its variables.
    Text(&'s [u8], &'s [Classes]),
}

/// Memory for the text of a shape, used again for each part.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    text: Vec<u8>,
    holes: Vec<Classes>,
}

/// The shape of `segment`.
#[inline]
pub(crate) fn shape<'s>(segment: &Segment<'s>, scratch: &'s mut Scratch) -> Shape<'s> {
    let Segment { token, kinds, .. } = *segment;
    if kinds & (DIGIT | AT | SPECIAL | REST | ADDRESS) == 0 {
        return if token.len() > WORD_BYTES_MAX {
            Shape::Variable(Classes::WORD)
        } else {
            Shape::Text(token, &[])
        };
    }
    match kinds {
        DIGIT => Shape::Variable(Classes::NUMBER),
        REST => Shape::Variable(Classes::WORD),
        ADDRESS => Shape::Variable(Classes::IP),
        _ => special(token, kinds, scratch),
    }
}

/// The shape of a token that is not only letters, and not only digits.
fn special<'s>(token: &'s [u8], kinds: u8, scratch: &'s mut Scratch) -> Shape<'s> {
    if let Some(class) = whole(token, kinds) {
        return Shape::Variable(class);
    }
    if token.len() > WORD_BYTES_MAX {
        return Shape::Variable(Classes::WORD);
    }
    if kinds & (DIGIT | SPECIAL) == 0 {
        return Shape::Text(token, &[]);
    }
    scratch.text.clear();
    scratch.holes.clear();
    if !scratch.write(token) {
        let mut all = Classes::default();
        scratch.holes.iter().for_each(|class| all.add(*class));
        return Shape::Variable(all);
    }
    Shape::Text(&scratch.text, &scratch.holes)
}

/// What `token` is, if it is one variable.
fn whole(token: &[u8], kinds: u8) -> Option<Classes> {
    if kinds & AT != 0 && is_email(token) {
        return Some(Classes::EMAIL);
    }
    if kinds & DIGIT == 0 {
        return None;
    }
    if kinds & WEAK == 0 {
        return match run(token) {
            Run::Variable(class) => Some(class),
            _ => None,
        };
    }
    match kinds {
        _ if kinds == DIGIT | WEAK => Some(numeric(token)),
        _ if token.len() == UUID_BYTES && begins_with_uuid(token) => Some(Classes::UUID),
        _ if begins_with_date(token) => Some(Classes::DATE),
        _ => None,
    }
}

impl Scratch {
    /// Writes the pattern of `token`, which has several parts. Returns whether a word is among them.
    fn write(&mut self, token: &[u8]) -> bool {
        let (mut rest, mut words) = (token, false);
        while !rest.is_empty() {
            if begins_with_uuid(rest) {
                self.hole(Classes::UUID);
                rest = &rest[UUID_BYTES..];
                continue;
            }
            if begins_with_day(rest) {
                self.hole(Classes::DATE);
                rest = &rest[DAY_BYTES..];
                continue;
            }
            if is_random_rest(rest) {
                self.hole(Classes::TOKEN);
                break;
            }
            let end = rest.iter().position(|byte| b".-_".contains(byte)).unwrap_or(rest.len());
            words |= self.part(&rest[..end]);
            if let Some(separator) = rest.get(end) {
                self.text.push(*separator);
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        words
    }

    /// Writes one part without separators. Returns whether it has a word.
    fn part(&mut self, part: &[u8]) -> bool {
        if !part.iter().any(u8::is_ascii_digit) {
            self.word(part);
            return !part.is_empty();
        }
        match run(part) {
            Run::Variable(class) => {
                self.hole(class);
                false
            }
            Run::Numbered(letters) => {
                self.word(&part[..letters]);
                self.hole(Classes::NUMBER);
                true
            }
            Run::Word => {
                self.word(part);
                true
            }
        }
    }

    fn word(&mut self, word: &[u8]) {
        for byte in word {
            if b"*?[\\".contains(byte) {
                self.text.push(b'\\');
            }
            self.text.push(*byte);
        }
    }

    /// Writes a variable. Those beyond [`HOLES_MAX`] are not distinguished.
    fn hole(&mut self, class: Classes) {
        self.text.push(b'*');
        match self.holes.get_mut(HOLES_MAX - 1) {
            Some(last) => last.add(class),
            None => self.holes.push(class),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segments::Segments;

    /// The patterns of the parts of `name`, each with its separators.
    fn patterns(name: &str) -> String {
        let mut scratch = Scratch::default();
        let mut all = Vec::new();
        for segment in Segments::of(name.as_bytes()) {
            match shape(&segment, &mut scratch) {
                Shape::Variable(_) => all.push(b'*'),
                Shape::Text(text, _) => all.extend_from_slice(text),
            }
            all.extend_from_slice(segment.separators);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn names_become_patterns() {
        let check = |name: &str, expected| assert_eq!(patterns(name), expected, "{name}");
        check("user:42:profile", "user:*:profile");
        check("cart:550e8400-e29b-41d4-a716-446655440000", "cart:*");
        check("cache:page:d41d8cd98f00b204e9800998ecf8427e", "cache:page:*");
        check("celery-task-meta-550e8400-e29b-41d4-a716-446655440000", "celery-task-meta-*");
        check("user:anna.k42@mail.example.org:settings", "user:*:settings");
        check("rl:login:10.1.2.3", "rl:login:*");
        check("stat:processed:2024-11-29", "stat:processed:*");
        check("usage:acme-foods:2024-11-29T05", "usage:acme-foods:*");
        check("queue:order-42", "queue:order-*");
        check("queue:order42", "queue:order*");
        check("report:daily-2024-11-29.csv", "report:daily-*.csv");
        check("chat:12-45:messages", "chat:*:messages");
        check("sess:mFz3kq0aB4cD5e-Zz_7Qp1", "sess:*");
        check("app:sess-mFz3kq0aB4cD5e-Zz_7Qp1", "app:sess-*");
        check("api:v1:users", "api:v1:users");
        check(
            "views.decorators.cache:d41d8cd98f00b204e9800998ecf8427e.en-us",
            "views.decorators.cache:*.en-us",
        );
        check("{user1000}.following", "{user*}.following");
        check("a*b:1", r"a\*b:*");
        check("a?", r"a\?");
        check(r"a\:1", r"a\\:*");
        check("", "");
        check(&"x".repeat(65), "*");
        check(&format!("k:{}", "ab1-".repeat(20)), "k:*");
    }

    #[test]
    fn a_pattern_has_a_class_for_each_of_its_variables() {
        let mut scratch = Scratch::default();
        let segment = Segments::of(b"k:alpha-1-beta-5f2b8c9e-2-3-x9y8z7w6-omega").nth(1).unwrap();
        let Shape::Text(text, holes) = shape(&segment, &mut scratch) else { panic!("a text") };
        assert_eq!(text, b"alpha-*-beta-*-*-*-*-omega");
        let mut last = Classes::NUMBER;
        last.add(Classes::TOKEN);
        assert_eq!(holes, [Classes::NUMBER, Classes::HEX, Classes::NUMBER, last]);
    }
}
