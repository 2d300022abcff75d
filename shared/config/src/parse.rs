//! Parsers of values, one function for each kind. `Err` states what would be right, to follow "it takes" in a
//! [`ConfigError::BadValue`](super::ConfigError::BadValue).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use keysweep_model::address_map::AddressMapping;
use keysweep_model::duration;
use keysweep_model::printable::one_line;
use keysweep_model::redact::redact;
use keysweep_model::secret::{MASK, Secret};
use keysweep_model::size;
use keysweep_signing::PublicKey;

use super::nats::NatsUrl;
use super::setting_kind::{HOST_BYTES_MAX, NAME_BYTES_MAX, PATTERN_BYTES_MAX, SettingKind, TEXT_BYTES_MAX};
use super::table::overrides;
use super::url::{RedisUrl, encoding_hint};
use super::values::BackupPlace;

/// A value, or what would be right.
pub(super) type Parsed<T> = Result<T, String>;

/// The maximum length of a bad text in a message.
const SHOWN_CHARS_MAX: usize = 80;

/// Checks a text without using the value, for `config check`.
pub(super) fn check(kind: SettingKind, text: &str) -> Parsed<()> {
    match kind {
        SettingKind::Switch => switch(kind, text).map(drop),
        SettingKind::Whole { .. } => whole::<u64>(kind, text).map(drop),
        SettingKind::Bytes { .. } => bytes(kind, text).map(drop),
        SettingKind::Duration { .. } => time(kind, text).map(drop),
        SettingKind::Choice(_) => choice(kind, text).map(drop),
        SettingKind::Overrides => field(kind, text).map(drop),
        SettingKind::Name => name(kind, text).map(drop),
        SettingKind::Text => line(kind, text).map(drop),
        SettingKind::Path => path(kind, text).map(drop),
        SettingKind::Place => place(kind, text).map(drop),
        SettingKind::Secret => secret(kind, text).map(drop),
        SettingKind::Source(_) => source(kind, text).map(drop),
        SettingKind::SecretUrls => secret_url(kind, text).map(drop),
        SettingKind::Urls => url(kind, text).map(drop),
        SettingKind::NatsUrls => nats_url(kind, text).map(drop),
        SettingKind::Context => context(kind, text).map(drop),
        SettingKind::Addresses => address(kind, text).map(drop),
        SettingKind::ListenAddress => listen_address(kind, text).map(drop),
        SettingKind::Hosts => host(kind, text).map(drop),
        SettingKind::Patterns => pattern(kind, text).map(drop),
        SettingKind::PublicKeys => public_key(kind, text).map(drop),
    }
}

/// A bad text for a message: on one line, cut, without secrets.
pub(super) fn shown(kind: SettingKind, text: &str) -> String {
    let safe = match kind {
        SettingKind::Secret | SettingKind::SecretUrls => MASK.to_owned(),
        SettingKind::Urls | SettingKind::NatsUrls | SettingKind::Place | SettingKind::Source(_) => {
            redact(text)
        }
        _ => text.to_owned(),
    };
    let mut shown = one_line(&safe.chars().take(SHOWN_CHARS_MAX).collect::<String>());
    if safe.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

pub(super) fn switch(kind: SettingKind, text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(kind.expected()),
    }
}

pub(super) fn whole<T: TryFrom<u64>>(kind: SettingKind, text: &str) -> Parsed<T> {
    let in_bounds = |number: &u64| match kind {
        SettingKind::Whole { min, max } => (min..=max).contains(number),
        _ => true,
    };
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok().filter(|_| digits_only).filter(in_bounds);
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| kind.expected())
}

/// A number of bytes. The error of a small number without a unit names units that would be in bounds.
pub(super) fn bytes(kind: SettingKind, text: &str) -> Parsed<u64> {
    let SettingKind::Bytes { min, max } = kind else { return Err(kind.expected()) };
    match size::parse(text) {
        Some(bytes) if (min..=max).contains(&bytes) => Ok(bytes),
        _ => {
            let units = size::UNITS.map(|(unit, _)| unit);
            Err(kind.expected()
                + &missing_unit(text, &units, |with_unit| {
                    size::parse(with_unit).filter(|bytes| (min..=max).contains(bytes))
                }))
        }
    }
}

pub(super) fn time(kind: SettingKind, text: &str) -> Parsed<Duration> {
    let in_bounds = |value: &Duration| match kind {
        SettingKind::Duration { min, max } => (min..=max).contains(value),
        _ => true,
    };
    let read = |text: &str| duration::parse(text).ok().filter(in_bounds);
    let hint = || missing_unit(text, &["ms", "s", "m", "h", "d"], read);
    read(text).ok_or_else(|| kind.expected() + &hint())
}

/// The maximum number of units that a message offers.
const OFFERED_MAX: usize = 3;

/// A hint for a number without a unit: the number with each unit that `read` accepts, the smallest units first; empty
/// if there is none.
fn missing_unit<T: PartialEq>(text: &str, units: &[&str], read: impl Fn(&str) -> Option<T>) -> String {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return String::new();
    }
    let mut offered: Vec<(String, T)> = Vec::new();
    for with_unit in units.iter().map(|unit| format!("{digits}{unit}")) {
        // Zero is the same in every unit.
        let value = read(&with_unit).filter(|value| offered.iter().all(|(_, other)| other != value));
        offered.extend(value.map(|value| (with_unit, value)));
    }
    let mut texts: Vec<String> = offered.into_iter().map(|(text, _)| format!("`{text}`")).collect();
    texts.truncate(OFFERED_MAX);
    match texts.pop() {
        None => String::new(),
        Some(only) if texts.is_empty() => format!("; a unit is missing: write {only}"),
        Some(last) => format!("; a unit is missing: write {} or {last}", texts.join(", ")),
    }
}

/// The word as the table writes it.
pub(super) fn choice(kind: SettingKind, text: &str) -> Parsed<&'static str> {
    let found = match kind {
        SettingKind::Choice(words) => words.iter().copied().find(|word| *word == text),
        _ => None,
    };
    found.ok_or_else(|| kind.expected())
}

/// The variant that the word of the table names.
pub(super) fn variant<T: FromStr>(kind: SettingKind, text: &str) -> Parsed<T> {
    choice(kind, text)?.parse().map_err(|_| kind.expected())
}

/// The name of a request field, given as it is (`dryRun`) or in snake_case (`dry_run`).
pub(super) fn field(kind: SettingKind, text: &str) -> Parsed<&'static str> {
    let capital =
        |c: char| if c.is_ascii_uppercase() { format!("_{}", c.to_ascii_lowercase()) } else { c.into() };
    let is = |word: &&str| *word == text || word.chars().map(capital).collect::<String>() == text;
    overrides().into_iter().find(is).ok_or_else(|| kind.expected())
}

/// Whether `text` may be the name of a job or a deployment.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

pub(super) fn name(kind: SettingKind, text: &str) -> Parsed<String> {
    if is_name(text) { Ok(text.to_owned()) } else { Err(kind.expected()) }
}

pub(super) fn line(kind: SettingKind, text: &str) -> Parsed<String> {
    let fits = (1..=TEXT_BYTES_MAX).contains(&text.trim().len()) && !text.contains(char::is_control);
    if fits { Ok(text.trim().to_owned()) } else { Err(kind.expected()) }
}

pub(super) fn path(kind: SettingKind, text: &str) -> Parsed<PathBuf> {
    if text.is_empty() { Err(kind.expected()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn place(kind: SettingKind, text: &str) -> Parsed<BackupPlace> {
    match text.split_once("://") {
        None if !text.is_empty() => Ok(BackupPlace::Directory(PathBuf::from(text))),
        Some(("nats", bucket)) => name(kind, bucket).map(BackupPlace::Bucket),
        _ => Err(kind.expected()),
    }
}

pub(super) fn secret(kind: SettingKind, text: &str) -> Parsed<Secret> {
    if text.is_empty() { Err(kind.expected()) } else { Ok(Secret::new(text)) }
}

/// The word without its colon, and the text after it.
pub(super) fn source(kind: SettingKind, text: &str) -> Parsed<(&'static str, String)> {
    let words = if let SettingKind::Source(words) = kind { words } else { &[] };
    let found = words.iter().find_map(|word| match word.strip_suffix(':') {
        Some(name) => text.strip_prefix(word).filter(|rest| !rest.is_empty()).map(|rest| (name, rest)),
        None => (text == *word).then_some((*word, "")),
    });
    match found {
        Some((word, rest)) if rest.len() <= TEXT_BYTES_MAX => Ok((word, rest.to_owned())),
        _ => Err(kind.expected()),
    }
}

pub(super) fn secret_url(kind: SettingKind, text: &str) -> Parsed<Secret> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Ok(Secret::new(text))
        }
        _ => Err(kind.expected()),
    }
}

pub(super) fn url(kind: SettingKind, text: &str) -> Parsed<RedisUrl> {
    RedisUrl::parse(text).ok_or_else(|| kind.expected() + encoding_hint(text))
}

pub(super) fn address(kind: SettingKind, text: &str) -> Parsed<AddressMapping> {
    AddressMapping::parse(text).ok_or_else(|| kind.expected())
}

pub(super) fn listen_address(kind: SettingKind, text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| kind.expected())
}

/// A host name in lower case.
pub(super) fn host(kind: SettingKind, text: &str) -> Parsed<String> {
    let fits = (1..=HOST_BYTES_MAX).contains(&text.len());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if fits && text.bytes().all(plain) { Ok(text.to_ascii_lowercase()) } else { Err(kind.expected()) }
}

/// Checks only the length; the matcher checks the pattern.
pub(super) fn pattern(kind: SettingKind, text: &str) -> Parsed<String> {
    let fits = (1..=PATTERN_BYTES_MAX).contains(&text.len());
    if fits { Ok(text.to_owned()) } else { Err(kind.expected()) }
}

pub(super) fn public_key(kind: SettingKind, text: &str) -> Parsed<PublicKey> {
    text.parse().map_err(|_| kind.expected())
}

pub(super) fn nats_url(kind: SettingKind, text: &str) -> Parsed<NatsUrl> {
    NatsUrl::parse(text).ok_or_else(|| kind.expected() + encoding_hint(text))
}

/// A file name without extension. The nats CLI rejects the same names.
pub(super) fn context(kind: SettingKind, text: &str) -> Parsed<String> {
    let name = line(kind, text)?;
    if name.contains(['/', '\\']) || name.contains("..") { Err(kind.expected()) } else { Ok(name) }
}
