//! Hides the password of a URL. It hides more than a URL parser would find, because the URLs in error messages are the
//! malformed ones: a hidden host name is better than a visible part of a password.

use super::secret::MASK;

/// `url` with every part that may be a password replaced by `***`.
///
/// - Before the last `@`: what follows the first `:`; without one, all of it, because some clients
///   read `redis://word@host` as a password.
/// - Without `@`: a port that is not a number.
/// - In the query: the values of `pass`, `password` and `auth`.
#[must_use]
pub fn redact(url: &str) -> String {
    let (scheme, rest) = split_scheme(url);
    let shown = match rest.rfind('@') {
        // The `@` may itself be part of a password in the query.
        Some(at) if query(&rest[..at]) != rest[..at] => MASK.to_owned(),
        Some(at) => format!("{}@{}", user_info(&rest[..at]), query(&rest[at + 1..])),
        // A URL may have several hosts there.
        None if scheme.contains("+sentinel:") && rest.split(',').all(|host| port(host) == host) => {
            query(rest)
        }
        None => query(&port(rest)),
    };
    format!("{scheme}{shown}")
}

/// `redis://` and the rest, if the text before `://` has only characters of a scheme.
fn split_scheme(url: &str) -> (&str, &str) {
    let end = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(end);
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if scheme.trim_end_matches("://").chars().all(is_scheme) { (scheme, rest) } else { ("", url) }
}

/// `name:***`, or `***` without a name.
fn user_info(text: &str) -> String {
    match text.split_once(':') {
        Some((name, _)) => format!("{name}:{MASK}"),
        None => MASK.to_owned(),
    }
}

/// Hides a port that is not a number: `redis://user:password` without a host.
fn port(rest: &str) -> String {
    let host_end = match rest.find(']') {
        Some(bracket) if rest.starts_with('[') => bracket + 1,
        _ => 0,
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len()).max(host_end);
    let Some(colon) = rest[host_end..authority_end].find(':').map(|at| host_end + at) else {
        return rest.to_owned();
    };
    let port = &rest[colon + 1..authority_end];
    if port.chars().all(|c| c.is_ascii_digit()) {
        return rest.to_owned();
    }
    // A slash may belong to the password, so nothing after the colon is safe to show.
    format!("{}:{MASK}", &rest[..colon])
}

/// Hides the values of the query's secret names.
fn query(rest: &str) -> String {
    let Some((path, query)) = rest.split_once('?') else {
        return rest.to_owned();
    };
    let pairs: Vec<String> = query.split('&').map(pair).collect();
    format!("{path}?{}", pairs.join("&"))
}

fn pair(text: &str) -> String {
    match text.split_once('=') {
        Some((name, _)) if ["pass", "password", "auth"].iter().any(|s| name.eq_ignore_ascii_case(s)) => {
            format!("{name}={MASK}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        assert_eq!(redact(input), expected, "{input:?}");
    }

    #[test]
    fn hides_the_password_and_keeps_the_rest() {
        check("redis://127.0.0.1:6379", "redis://127.0.0.1:6379");
        check("redis://me:pw@cache:6379/2", "redis://me:***@cache:6379/2");
        check("rediss://:pw@cache", "rediss://:***@cache");
        check("redis://[::1]:6379/0", "redis://[::1]:6379/0");
        check("redis://me:pw@[::1]:6379", "redis://me:***@[::1]:6379");
        check("unix:///run/redis.sock?db=1&pass=pw", "unix:///run/redis.sock?db=1&pass=***");
        check("redis://cache?protocol=resp3", "redis://cache?protocol=resp3");
        check("redis+sentinel://a:1,b:2/m/0", "redis+sentinel://a:1,b:2/m/0");
        check("redis+sentinel://me:pw@a:1,b:2/m", "redis+sentinel://me:***@a:1,b:2/m");
        check("redis+sentinel://me:p,w", "redis+sentinel://me:***");
        check("redis+sentinel://a:1,me:pw/m", "redis+sentinel://a:***");
    }

    #[test]
    fn hides_more_rather_than_less_in_odd_urls() {
        check("redis://pw@cache", "redis://***@cache");
        check("redis://me:p@w@cache", "redis://me:***@cache");
        check("redis://me:p/w@cache", "redis://me:***@cache");
        check("redis://me:p?w#x@cache", "redis://me:***@cache");
        check("redis://me:p:w@cache", "redis://me:***@cache");
        check("me:pw@cache", "me:***@cache");
        check("redis://me:pw", "redis://me:***");
        check("redis://:p/w", "redis://:***");
        check("redis://a:6379,b:6379", "redis://a:***");
        check("redis://cache/0?PASSWORD=p=w&user=me", "redis://cache/0?PASSWORD=***&user=me");
        check("redis://me:pw@cache?auth=x", "redis://me:***@cache?auth=***");
        check("unix:///run/redis.sock?pass=p@w", "unix://***");
        check("me:p://w@cache", "me:***@cache");
        check("", "");
        check("://:@", "://:***@");
    }

    proptest! {
        #[test]
        fn no_password_survives(name in "[a-z]{0,3}", word in "[X-Z@:/?#%&=]{1,12}") {
            let shown = redact(&format!("redis://{name}:{word}@host:6379/1"));
            prop_assert_eq!(shown, format!("redis://{name}:***@host:6379/1"));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = redact(&text);
        }
    }
}
