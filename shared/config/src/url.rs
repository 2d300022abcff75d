//! A Redis URL, parsed as far as the settings need: its scheme, and user name, password and database if it has them.
//! The Redis client parses host and port.

use std::fmt;

use keysweep_model::address;
use keysweep_model::redact::redact;
use keysweep_model::secret::Secret;
use keysweep_model::sentinel_url::SentinelUrl;

const TCP_SCHEMES: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];
const TLS_SCHEMES: [&str; 2] = ["rediss", "valkeys"];
const SOCKET_SCHEMES: [&str; 3] = ["unix", "redis+unix", "valkey+unix"];

/// A URL of one seed node. It may contain a password, so it is shown redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    text: String,
    pub(super) login: Option<UrlLogin>,
    pub(super) db: Option<u32>,
}

/// The user information of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlLogin {
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
}

impl RedisUrl {
    /// Parses a URL; `None` if it has no known scheme, no host or path, or a port or database that is not a number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://")?;
        let parts = match scheme.to_ascii_lowercase().as_str() {
            tcp if TCP_SCHEMES.contains(&tcp) => parse_tcp(rest)?,
            sentinel if SentinelUrl::is_scheme(sentinel) => parse_sentinel(text, rest)?,
            socket if SOCKET_SCHEMES.contains(&socket) => parse_socket(rest)?,
            _ => return None,
        };
        let (login, db) = parts;
        Some(Self { text: text.to_owned(), login, db })
    }

    /// Whether it uses TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        let scheme = self.text.split(':').next().unwrap_or_default();
        TLS_SCHEMES.iter().any(|tls| scheme.eq_ignore_ascii_case(tls)) || SentinelUrl::is_encrypted(scheme)
    }

    /// The whole URL, with its password, for the code that connects. User name, password and database to use are in
    /// [`Settings`](super::Settings).
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.text))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

type UrlParts = (Option<UrlLogin>, Option<u32>);

/// `[user[:password]@]host[:port][/db][?query]`
fn parse_tcp(rest: &str) -> Option<UrlParts> {
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let (login, address) = match authority.rsplit_once('@') {
        Some((user_info, address)) => (Some(parse_login(user_info)?), address),
        None => (None, authority),
    };
    // An `@` after the host can only belong to a login whose password has an unescaped character: `me:12#x@cache` is
    // not port 12 of `me`.
    if !is_address(address) || tail.contains('@') {
        return None;
    }
    let path = tail.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let db = if path.is_empty() { None } else { Some(path.parse().ok()?) };
    Some((login, db))
}

/// `[user[:password]@]host[:port][,host[:port]]…/name[/db]`
fn parse_sentinel(url: &str, rest: &str) -> Option<UrlParts> {
    SentinelUrl::parse(url)?;
    let (authority, path) = rest.split_once('/')?;
    let login = match authority.rsplit_once('@') {
        Some((login, _)) => Some(parse_login(login)?),
        None => None,
    };
    let db = match path.split_once('/').map(|(_, db)| db.trim_end_matches('/')) {
        Some(db) if !db.is_empty() => Some(db.parse().ok()?),
        _ => None,
    };
    Some((login, db))
}

/// `/path/of/socket[?db=1&user=me&pass=word]`
fn parse_socket(rest: &str) -> Option<UrlParts> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return None;
    }
    let (mut username, mut password, mut db) = (None, None, None);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "db" => db = Some(value.parse().ok()?),
            "user" => username = Some(percent_decode(value)?),
            "pass" => password = Some(Secret::new(percent_decode(value)?)),
            _ => {}
        }
    }
    let login = (username.is_some() || password.is_some()).then_some(UrlLogin { username, password });
    Some((login, db))
}

pub(super) fn parse_login(user_info: &str) -> Option<UrlLogin> {
    let (name, word) = user_info.split_once(':').unwrap_or((user_info, ""));
    let username = Some(percent_decode(name)?).filter(|name| !name.is_empty());
    let password = Some(percent_decode(word)?).filter(|word| !word.is_empty());
    Some(UrlLogin { username, password: password.map(Secret::new) })
}

/// Appended to the error of a URL that may have such a password.
const ENCODING: &str = "; in a password, write `#`, `/`, `?`, `%` and `@` percent-encoded: `%23`, `%2F`, `%3F`, `%25` \
                        and `%40`";

/// A hint for a URL that cannot be parsed because of its password; empty unless its login (or the query of a socket)
/// has characters that must be escaped.
pub fn encoding_hint(url: &str) -> &'static str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let login = rest.rfind('@').map(|at| &rest[..at]);
    let ends_early = login.is_some_and(|login| login.contains(['#', '/', '?', '@']));
    let secret = login.or_else(|| rest.split_once('?').map(|(_, query)| query)).unwrap_or_default();
    let is_broken = percent_decode(secret).is_none();
    if ends_early || is_broken { ENCODING } else { "" }
}

pub(super) fn is_address(text: &str) -> bool {
    address::split(text).is_some()
}

/// Decodes `%40` and other escapes; `None` for an invalid escape, or for bytes that are not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shows user, password and database; nothing for a rejected URL.
    #[track_caller]
    fn check(input: &str, expected: Option<(&str, &str, Option<u32>)>) {
        let url = RedisUrl::parse(input);
        let seen = url.as_ref().map(|url| {
            let login = url.login.as_ref();
            let user = login.and_then(|login| login.username.as_deref()).unwrap_or_default();
            let word = login.and_then(|login| login.password.as_ref()).map(Secret::expose);
            (user, word.unwrap_or_default(), url.db)
        });
        assert_eq!(seen, expected, "{input:?}");
    }

    #[test]
    fn reads_what_a_url_carries() {
        check("redis://127.0.0.1:6379", Some(("", "", None)));
        check("rediss://me:p%40w@cache:1/3", Some(("me", "p@w", Some(3))));
        check("valkey://:pw@cache", Some(("", "pw", None)));
        check("redis://me@[::1]:6379/", Some(("me", "", None)));
        check("REDIS://cache?protocol=resp3", Some(("", "", None)));
        check("redis+sentinel://me:p%40w@a:1,b/main/2", Some(("me", "p@w", Some(2))));
        check("rediss+sentinel://a/main", Some(("", "", None)));
        check("unix:///run/r.sock?db=2&user=me&pass=pw", Some(("me", "pw", Some(2))));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for text in [
            "",
            "cache:6379",
            "http://cache",
            "redis://",
            "redis://cache:port",
            "redis://cache:0",
            "redis://cache:70000",
            "redis://cache/x",
            "redis://a:1,b:1",
            "redis://me:p/w@cache",
            "redis://me:p#w@cache",
            "redis://me:12#w@cache",
            "redis://me:12?w@cache",
            "redis://me:12/3?w@cache",
            "redis://me:%zz@cache",
            "redis://[::1]x",
            "unix://",
            "redis+sentinel://a:1",
            "redis+sentinel://a/m/99999999999",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_password_that_ends_the_login_too_early_gets_a_hint() {
        for text in [
            "redis://me:p#w@cache",
            "redis://me:p/w@cache:6379",
            "redis://me:p?w@cache",
            "redis://me:50%off@cache",
            "nats://me:p@w@h",
            "redis+sentinel://me:p/w@a/m",
            "unix:///run/r.sock?pass=50%off",
        ] {
            assert_eq!(encoding_hint(text), ENCODING, "{text}");
        }
        for text in ["cache:6379", "redis://me:p%2Fw@cache:port", "redis://cache/x", "http://cache/a?b#c", ""]
        {
            assert_eq!(encoding_hint(text), "", "{text}");
        }
    }

    #[test]
    fn debug_and_display_hide_the_password() {
        let url = RedisUrl::parse("redis://me:pw@cache").expect("a good URL");
        assert_eq!(format!("{url} {url:?}"), "redis://me:***@cache redis://me:***@cache");
        assert_eq!(url.expose(), "redis://me:pw@cache");
        let url = RedisUrl::parse("redis+sentinel://me:pw@a:1,b:2/main").expect("a good URL");
        assert_eq!(format!("{url}"), "redis+sentinel://me:***@a:1,b:2/main");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(redis://)?.*") {
            let _ = RedisUrl::parse(&text);
        }
    }
}
