//! A NATS URL: its address for the client, and its login kept separately, so that no text contains a secret.

use std::fmt;

use keysweep_model::secret::{MASK, Secret};

use crate::url::{is_address, parse_login};

/// Websockets would need another transport, so `ws` and `wss` are not among them.
const SCHEMES: [&str; 2] = ["nats", "tls"];

/// A URL of one server of a NATS cluster. It is shown without its password or token.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl {
    scheme: &'static str,
    host: String,
    pub(super) login: Option<NatsLogin>,
}

/// The login in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NatsLogin {
    /// `user:password@`
    User(String, Option<Secret>),
    /// `token@`
    Token(Secret),
}

impl NatsUrl {
    /// Parses `[nats://|tls://][user:password@|token@]host[:port]`. The scheme is optional, as in the nats CLI. `None`
    /// for another scheme, no host, a port that is not a number, or text after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        let scheme = SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, host) = match rest.rsplit_once('@') {
            Some((user_info, host)) => (Some(login(user_info)?), host),
            None => (None, rest),
        };
        let is_plain = !host.contains(['/', '?', '#', '\\']) && !host.contains(char::is_control);
        (is_plain && is_address(host)).then(|| Self { scheme, host: host.to_owned(), login })
    }

    /// Scheme, host and port as given, without user, password and token: the address for the client (port 4222 by
    /// default) and for logs. The login is in [`NatsSettings`](crate::NatsSettings).
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }
}

/// `%40` and other escapes are decoded, as in other clients.
fn login(user_info: &str) -> Option<NatsLogin> {
    // Unescaped, these would end the login for other parsers.
    if user_info.contains(['/', '?', '#', '@']) {
        return None;
    }
    let parts = parse_login(user_info)?;
    let name = parts.username?;
    Some(match user_info.contains(':') {
        true => NatsLogin::User(name, parts.password),
        false => NatsLogin::Token(Secret::new(name)),
    })
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, login } = self;
        match login {
            None => write!(f, "{scheme}://{host}"),
            Some(NatsLogin::User(name, _)) => write!(f, "{scheme}://{name}:{MASK}@{host}"),
            Some(NatsLogin::Token(_)) => write!(f, "{scheme}://{MASK}@{host}"),
        }
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shows the URL, its address, and its password or token in plain text.
    #[track_caller]
    fn check(input: &str, expected: Option<(&str, &str, &str)>) {
        let url = NatsUrl::parse(input);
        let seen = url.map(|url| {
            let secret = match &url.login {
                None => "",
                Some(NatsLogin::User(_, word)) => word.as_ref().map_or("-", Secret::expose),
                Some(NatsLogin::Token(token)) => token.expose(),
            };
            (url.to_string(), url.address(), secret.to_owned())
        });
        let seen = seen.as_ref().map(|(url, address, secret)| (&**url, &**address, &**secret));
        assert_eq!(seen, expected, "{input:?}");
    }

    #[test]
    fn reads_what_a_url_carries() {
        check("nats://a:4222", Some(("nats://a:4222", "nats://a:4222", "")));
        check("TLS://a/", Some(("tls://a", "tls://a", "")));
        check("localhost:4222", Some(("nats://localhost:4222", "nats://localhost:4222", "")));
        check("nats://[::1]:4222", Some(("nats://[::1]:4222", "nats://[::1]:4222", "")));
        check("nats://me:p%40w@a", Some(("nats://me:***@a", "nats://a", "p@w")));
        check("nats://me:@a", Some(("nats://me:***@a", "nats://a", "-")));
        check("tls://tok@a:1", Some(("tls://***@a:1", "tls://a:1", "tok")));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for text in [
            "",
            "nats://",
            "ws://a",
            "http://a",
            "nats://a:port",
            "nats://a:0",
            "nats://a/x",
            "nats://a?x",
            "nats://a:1,b:1",
            "nats://:pw@a",
            "nats://@a",
            "nats://me:p/w@a",
            "nats://me:%zz@a",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((nats|tls)://)?.*") {
            let _ = NatsUrl::parse(&text);
        }
    }
}
