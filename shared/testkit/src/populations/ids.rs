//! Ids as applications make them. Each is different for a different number, or random enough to be.

use fastrand::Rng;

const FIRST: [&str; 24] = [
    "anna", "ben", "carla", "david", "elif", "farid", "grace", "hugo", "ines", "jonas", "kemal", "laura",
    "maria", "nina", "omar", "paula", "quentin", "rosa", "samir", "tomas", "ulrike", "vera", "wanda",
    "yusuf",
];
const LAST: [&str; 20] = [
    "adler", "becker", "costa", "dubois", "eriksen", "ferrari", "garcia", "haas", "ivanov", "jansen",
    "kowalski", "lopez", "moreau", "novak", "okafor", "petrov", "rossi", "silva", "tanaka", "yilmaz",
];
const ADJECTIVES: [&str; 24] = [
    "blue", "red", "green", "black", "white", "warm", "light", "soft", "classic", "modern", "slim", "wide",
    "vintage", "organic", "kids", "outdoor", "leather", "cotton", "wooden", "silver", "golden", "tiny",
    "large", "foldable",
];
const THINGS: [&str; 24] = [
    "shoes",
    "jacket",
    "lamp",
    "table",
    "chair",
    "mug",
    "backpack",
    "watch",
    "scarf",
    "boots",
    "tent",
    "bottle",
    "keyboard",
    "headphones",
    "blanket",
    "mirror",
    "vase",
    "knife",
    "pan",
    "bench",
    "shelf",
    "rug",
    "curtain",
    "pillow",
];

fn pick<'a>(rng: &mut Rng, words: &[&'a str]) -> &'a str {
    words[rng.usize(..words.len())]
}

fn text(rng: &mut Rng, alphabet: &[u8], length: usize) -> String {
    (0..length).map(|_| char::from(alphabet[rng.usize(..alphabet.len())])).collect()
}

/// `550e8400-e29b-41d4-a716-446655440000`: version 4.
pub(super) fn uuid(rng: &mut Rng) -> String {
    let bits = rng.u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// `01ARZ3NDEKTSV4RRFFQ69G5FAV`: a time, and 80 random bits.
pub(super) fn ulid(rng: &mut Rng) -> String {
    format!("01J{}", text(rng, b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", 23))
}

/// So many hexadecimal digits: 24 for an object id, 32 for an MD5 hash, 64 for a SHA-256 hash.
pub(super) fn hex(rng: &mut Rng, digits: usize) -> String {
    text(rng, b"0123456789abcdef", digits)
}

/// Base64 for addresses, as tokens and session ids are made.
pub(super) fn token(rng: &mut Rng, length: usize) -> String {
    text(rng, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", length)
}

/// `anna.kowalski42@example.com`
pub(super) fn email(rng: &mut Rng, n: u64) -> String {
    let domain = pick(rng, &["example.com", "mail.example.org", "acme.example", "post.example.net"]);
    format!("{}.{}{n}@{domain}", pick(rng, &FIRST), pick(rng, &LAST))
}

/// An address: mostly IPv4, sometimes IPv6.
pub(super) fn ip(rng: &mut Rng) -> String {
    if rng.u8(..10) == 0 {
        let group = |rng: &mut Rng| format!("{:x}", rng.u16(1..));
        let groups: Vec<String> = (0..4).map(|_| group(rng)).collect();
        return format!("2001:db8:{:x}:{:x}:{}", rng.u16(1..), rng.u16(1..), groups.join(":"));
    }
    format!("{}.{}.{}.{}", rng.u8(1..224), rng.u8(..), rng.u8(..), rng.u8(1..255))
}

/// The `n`-th day.
pub(super) fn date(n: u64) -> String {
    format!("{}-{:02}-{:02}", 1990 + n / 336, n / 28 % 12 + 1, n % 28 + 1)
}

/// `blue-leather-shoes`, and a number if there are more than so many words.
pub(super) fn slug(rng: &mut Rng, n: u64) -> String {
    let mut words = vec![pick(rng, &ADJECTIVES)];
    words.extend((0..n % 2).map(|_| pick(rng, &ADJECTIVES)));
    let words = words.join("-");
    // A word for the number keeps slugs apart without digits, as in most catalogues.
    let (thing, more) = (THINGS[(n % 24) as usize], ADJECTIVES[(n / 24 % 24) as usize]);
    match n / 576 {
        0 => format!("{words}-{more}-{thing}"),
        many => {
            format!("{words}-{more}-{thing}-{}", FIRST[(many % 24) as usize].to_owned() + &letters(many / 24))
        }
    }
}

/// A number in letters.
#[must_use]
pub fn letters(mut n: u64) -> String {
    let mut text = String::new();
    while n > 0 {
        text.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    text
}
