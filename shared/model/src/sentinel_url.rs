//! A URL that names Sentinels instead of a server: `redis+sentinel://me:pw@a:26379,b:26379/mymaster/0`. They know
//! the primary called `mymaster`. User and password are for that server; the Sentinels' own login has its own settings.

use super::address::{join, split};

/// The default port of Sentinels.
const PORT: u16 = 26_379;

const SCHEMES: [(&str, bool); 4] = [
    ("redis+sentinel", false),
    ("valkey+sentinel", false),
    ("rediss+sentinel", true),
    ("valkeys+sentinel", true),
];

/// The Sentinels of a deployment, and its name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelUrl {
    /// Hosts and ports, at least one.
    pub sentinels: Vec<(String, u16)>,
    /// The name of the primary at the Sentinels.
    pub primary: String,
    /// The parts of the primary's URL besides host and port: scheme, login and database.
    parts: [String; 3],
}

impl SentinelUrl {
    /// Whether `scheme` is a scheme of Sentinels.
    pub fn is_scheme(scheme: &str) -> bool {
        SCHEMES.iter().any(|(known, _)| scheme.eq_ignore_ascii_case(known))
    }

    /// Whether it uses TLS.
    pub fn is_encrypted(scheme: &str) -> bool {
        SCHEMES.iter().any(|(known, tls)| *tls && scheme.eq_ignore_ascii_case(known))
    }

    /// Parses a URL; `None` if it does not name Sentinels.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        if !Self::is_scheme(scheme) {
            return None;
        }
        let (authority, path) = rest.split_once('/')?;
        let (login, hosts) = match authority.rsplit_once('@') {
            // Other parsers would end the login there.
            Some((login, _)) if login.contains(['?', '#']) => return None,
            Some((login, hosts)) => (format!("{login}@"), hosts),
            None => (String::new(), authority),
        };
        let host = |text| split(text).map(|(host, port)| (host, port.unwrap_or(PORT)));
        let sentinels = hosts.split(',').map(host).collect::<Option<Vec<_>>>()?;
        let (primary, db) = path.split_once('/').unwrap_or((path, ""));
        let named = !primary.is_empty() && !primary.contains(['?', '#', ' ', '@']);
        let db = db.trim_end_matches('/');
        (named && db.bytes().all(|byte| byte.is_ascii_digit())).then(|| {
            let kept = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase();
            Self { sentinels, primary: primary.to_owned(), parts: [kept, login, db.to_owned()] }
        })
    }

    /// The URL of the server at `host` and `port`, as without Sentinels.
    #[must_use]
    pub fn at(&self, host: &str, port: u16) -> String {
        let [scheme, login, db] = &self.parts;
        format!("{scheme}://{login}{}/{db}", join(host, Some(port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<(&str, &str, &str)>) {
        let seen = SentinelUrl::parse(url).map(|url| {
            let sentinels: Vec<String> =
                url.sentinels.iter().map(|(host, port)| join(host, Some(*port))).collect();
            (sentinels.join(" "), url.primary.clone(), url.at("h", 1))
        });
        let seen = seen.as_ref().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()));
        assert_eq!(seen, expected, "{url}");
    }

    #[test]
    fn urls_of_sentinels() {
        check("redis+sentinel://a/m", Some(("a:26379", "m", "redis://h:1/")));
        check("redis+sentinel://a:1,b:2/m/3", Some(("a:1 b:2", "m", "redis://h:1/3")));
        check(
            "rediss+sentinel://me:p%40w@a,[::1]:5/m/",
            Some(("a:26379 [::1]:5", "m", "rediss://me:p%40w@h:1/")),
        );
        check("VALKEY+SENTINEL://:pw@a/m", Some(("a:26379", "m", "valkey://:pw@h:1/")));
        for wrong in [
            "redis://a/m",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel:///m",
            "redis+sentinel://a,/m",
            "redis+sentinel://a:x/m",
            "redis+sentinel://a/m/x",
            "redis+sentinel://a/m?db=1",
            // A password with a slash in it, which leaves what looks like a host and a name.
            "redis+sentinel://me:1/w@a/3",
            "redis+sentinel://me:p#w@a/m",
        ] {
            check(wrong, None);
        }
    }
}
