//! Recognizes tokens that are ids, hashes, addresses or dates by their form. In doubt a token is a word: if there are many
//! of its kind, its position becomes variable anyway.

/// The kinds of a token, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(pub u16);

impl Classes {
    pub(crate) const NUMBER: Self = Self(1);
    pub(crate) const UUID: Self = Self(1 << 1);
    pub(crate) const ULID: Self = Self(1 << 2);
    pub(crate) const HEX: Self = Self(1 << 3);
    pub(crate) const TOKEN: Self = Self(1 << 4);
    pub(crate) const EMAIL: Self = Self(1 << 5);
    pub(crate) const DATE: Self = Self(1 << 6);
    pub(crate) const IP: Self = Self(1 << 7);
    pub(crate) const WORD: Self = Self(1 << 8);
    /// All of them.
    pub(crate) const ALL: Self = Self((1 << 9) - 1);

    pub(crate) fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }

    /// The placeholder in a template. A position with ids of several kinds is still an id.
    pub(crate) fn name(self) -> &'static str {
        match self {
            // Some hashes have no letter.
            Self(kinds) if kinds & !Self::NUMBER.0 == Self::HEX.0 => "hex",
            Self::EMAIL => "email",
            Self::DATE => "date",
            Self::IP => "ip",
            Self::WORD => "word",
            _ => "id",
        }
    }
}

/// What a token without separators is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// An id of this kind.
    Variable(Classes),
    /// So many letters, and then a number: `user1000`.
    Numbered(usize),
    /// A word.
    Word,
}

/// The shortest token that counts as hexadecimal.
const HEX_MIN: usize = 8;

/// The shortest token that counts as random.
const TOKEN_MIN: usize = 8;

/// From this length on, a token counts as random more readily.
const LONG_TOKEN_MIN: usize = 16;

/// What `token`, which has at least one digit, is. It contains none of `. - _`.
pub(crate) fn run(token: &[u8]) -> Run {
    let digits = token.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == token.len() {
        return Run::Variable(Classes::NUMBER);
    }
    if is_hex(token) {
        return Run::Variable(Classes::HEX);
    }
    if is_ulid(token) {
        return Run::Variable(Classes::ULID);
    }
    if is_random(token) {
        return Run::Variable(Classes::TOKEN);
    }
    let letters = token.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    // `v1` and `s3` are words.
    let numbered = letters + digits == token.len() && (letters > 1 || letters == 1 && digits > 2);
    if numbered { Run::Numbered(letters) } else { Run::Word }
}

/// Hexadecimal digits, with letters of one case.
fn is_hex(token: &[u8]) -> bool {
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let upper = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    token.len() >= HEX_MIN && (token.iter().all(lower) || token.iter().all(upper))
}

/// 26 characters of Crockford's alphabet, the first of which is at most 7.
fn is_ulid(token: &[u8]) -> bool {
    let upper = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z');
    let lower = |byte: &u8| upper(&byte.to_ascii_uppercase()) && !byte.is_ascii_uppercase();
    token.len() == 26 && token[0] <= b'7' && (token.iter().all(upper) || token.iter().all(lower))
}

/// Whether letters, digits and `- _ + = ~` change as often as in random text. In names of code (`getUserById2`) a capital
/// begins a word, so only the change to a capital counts.
fn is_random(token: &[u8]) -> bool {
    if token.len() < TOKEN_MIN {
        return false;
    }
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        b'-' | b'_' | b'+' | b'=' | b'~' => 0,
        _ => u8::MAX,
    };
    let (mut changes, mut digits, mut last) = (0, 0, 0);
    for byte in token {
        let now = kind(*byte);
        if now == u8::MAX {
            return false;
        }
        digits += usize::from(now == 3);
        if now != 0 {
            changes += usize::from(last != 0 && last != now && !(last == 2 && now == 1));
            last = now;
        }
    }
    let least = if token.len() >= LONG_TOKEN_MIN { 3 } else { 4 };
    digits >= 2 && changes * 10 >= least * (token.len() - 1)
}

/// Whether all of `text`, a part or the rest of a name, is random: it may contain `-` and `_`, but no word between them.
pub(crate) fn is_random_rest(text: &[u8]) -> bool {
    if text.len() < LONG_TOKEN_MIN || !is_random(text) {
        return false;
    }
    // Random letters are rarely all small.
    let is_word = |(place, part): (usize, &[u8])| {
        part.len() >= if place == 0 { 3 } else { 4 } && part.iter().all(u8::is_ascii_lowercase)
    };
    !text.split(|byte| b"-_".contains(byte)).enumerate().any(is_word)
}

/// Whether `text` begins with a UUID that ends there or before a separator.
pub(crate) fn begins_with_uuid(text: &[u8]) -> bool {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let Some(uuid) = text.get(..UUID_BYTES) else { return false };
    let fits = |(at, byte): (usize, &u8)| {
        if DASHES.contains(&at) { *byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    uuid[8] == b'-'
        && uuid.iter().enumerate().all(fits)
        && text.get(UUID_BYTES).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// Bytes of a UUID.
pub(crate) const UUID_BYTES: usize = 36;

/// The length of the IPv6 address that `text` begins with, if it does: one of the internet or of a link, since colons
/// separate other things as well.
pub(crate) fn ipv6(text: &[u8]) -> Option<usize> {
    let likely = matches!(text.first(), Some(b'2' | b'f')) && text.get(4) == Some(&b':');
    if !likely {
        return None;
    }
    let length = text.iter().take(40).take_while(|byte| byte.is_ascii_hexdigit() || **byte == b':').count();
    let (mut end, mut groups, mut gap) = (0, 0, false);
    for group in text[..length].split(|byte| *byte == b':') {
        if group.len() > 4 || groups == 8 || group.is_empty() && gap {
            break;
        }
        gap |= group.is_empty();
        end += group.len() + usize::from(groups > 0);
        groups += 1;
    }
    let whole = (groups == 8 || gap && groups >= 3) && text[end - 1] != b':';
    let ends = text.get(end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (whole && ends).then_some(end)
}

/// Whether `token` is an e-mail address.
pub(crate) fn is_email(token: &[u8]) -> bool {
    let mut parts = token.split(|byte| *byte == b'@');
    let (Some(name), Some(domain), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    !name.is_empty() && domain.len() > 2 && domain[1..domain.len() - 1].contains(&b'.')
}

/// What a token of digits and `. - _` is.
pub(crate) fn numeric(token: &[u8]) -> Classes {
    if begins_with_date(token) {
        return Classes::DATE;
    }
    let parts = || token.split(|byte| *byte == b'.');
    if parts().count() == 4
        && parts().all(|part| (1..=3).contains(&part.len()) && part.iter().all(u8::is_ascii_digit))
    {
        return Classes::IP;
    }
    Classes::NUMBER
}

/// Whether `token` begins with a date such as `2024-11-29` or `2024-11`, and ends there or goes on with a time.
pub(crate) fn begins_with_date(token: &[u8]) -> bool {
    let digits =
        |from: usize, to: usize| token.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let separator = token.get(4).copied().unwrap_or_default();
    let century = token.starts_with(b"19") || token.starts_with(b"20");
    if !century
        || !matches!(separator, b'-' | b'_' | b'.')
        || !digits(2, 4)
        || !digits(5, 7)
        || token[5] > b'1'
    {
        return false;
    }
    match token.len() {
        7 => true,
        10 => token[7] == separator && digits(8, 10),
        length => {
            length > 10
                && token[7] == separator
                && digits(8, 10)
                && matches!(token[10], b'T' | b'_' | b'-' | b'.')
        }
    }
}

/// Whether `text` begins with a day that ends there or before a separator.
pub(crate) fn begins_with_day(text: &[u8]) -> bool {
    text.len() >= DAY_BYTES
        && begins_with_date(&text[..DAY_BYTES])
        && text.get(DAY_BYTES).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// Bytes of a day such as `2024-11-29`.
pub(crate) const DAY_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_distinguished_by_their_form() {
        let check = |token: &str, expected| assert_eq!(run(token.as_bytes()), expected, "{token}");
        let (variable, numbered) = (Run::Variable, Run::Numbered);
        check("0", variable(Classes::NUMBER));
        check("1732860000000", variable(Classes::NUMBER));
        check("5f2b8c9e", variable(Classes::HEX));
        check("507F1F77BCF86CD799439011", variable(Classes::HEX));
        check("507f1f77bcf86cd799439011aB", variable(Classes::TOKEN));
        check("01ARZ3NDEKTSV4RRFFQ69G5FAV", variable(Classes::ULID));
        check("01arz3ndektsv4rrffq69g5fav", variable(Classes::ULID));
        check("V1StGXR8Z5", variable(Classes::TOKEN));
        check("cjld2cjxh0000qzrmn831i7rn", variable(Classes::TOKEN));
        check("user1000", numbered(4));
        check("shard7", numbered(5));
        check("getUserById2", numbered(11));
        check("u1234", numbered(1));
        check("sha256", numbered(3));
        for word in ["v1", "s3", "5f2b", "mp3player2", "base64url", "24h", "oauth2callback", "x1"] {
            check(word, Run::Word);
        }
    }

    #[test]
    fn addresses_and_dates() {
        let six = |text: &str| ipv6(text.as_bytes());
        assert_eq!(six("2001:db8:85a3:1:2:8a2e:370:7334"), Some(31));
        assert_eq!(six("2001:db8:85a3:1:2:8a2e:370:7334:28881000"), Some(31));
        assert_eq!(six("2001:db8::7334"), Some(14));
        assert_eq!(six("fe80::1"), Some(7));
        for other in ["2024:11:29", "2024:user:7", "user:1:2:3:4:5:6:7:8", "2001:", "feed:1", "2024::"] {
            assert_eq!(six(other), None, "{other}");
        }
        let check = |token: &str, expected| assert_eq!(numeric(token.as_bytes()), expected, "{token}");
        check("127.0.0.1", Classes::IP);
        check("1.2.3", Classes::NUMBER);
        check("2024-11-29", Classes::DATE);
        check("2024-11", Classes::DATE);
        check("2024.11.29", Classes::DATE);
        check("2024-99", Classes::NUMBER);
        check("12-45", Classes::NUMBER);
        assert!(
            begins_with_date(b"2024-11-29T05")
                && !begins_with_date(b"2024-11-2")
                && !begins_with_date(b"2024")
        );
        assert!(is_email(b"anna.k@mail.example.org"));
        for other in ["@a.b", "a@b", "a@b@c.d", "a@.c", "a@bc."] {
            assert!(!is_email(other.as_bytes()), "{other}");
        }
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        assert!(begins_with_uuid(uuid.as_bytes()) && begins_with_uuid(format!("{uuid}-x").as_bytes()));
        assert!(!begins_with_uuid(format!("{uuid}0").as_bytes()) && !begins_with_uuid(&uuid.as_bytes()[1..]));
    }
}
