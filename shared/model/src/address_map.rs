//! Reachable addresses of servers that announce unreachable ones: behind NAT, in a container network, through a
//! tunnel.

use std::fmt;

use super::address::{join, split};

/// One entry of the map: `10.0.0.1:6379=cache.example:7001`, or `10.0.0.1=cache.example` for every port of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressMapping {
    announced: (String, Option<u16>),
    reachable: (String, Option<u16>),
}

impl AddressMapping {
    /// Parses `announced=reachable`. `None` unless both are hosts, and the port is on neither side, on both, or only on
    /// the left. A port only on the right would map all ports of a host to one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (announced, reachable) = text.split_once('=')?;
        let (announced, reachable) = (split(announced.trim())?, split(reachable.trim())?);
        let fits = announced.1.is_some() || reachable.1.is_none();
        fits.then_some(Self { announced, reachable })
    }
}

impl fmt::Display for AddressMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [announced, reachable] = [&self.announced, &self.reachable].map(|(host, port)| join(host, *port));
        write!(f, "{announced}={reachable}")
    }
}

/// The reachable address of the announced `host` and `port`; `None` if the map has no entry. An entry with the port
/// wins over one without.
#[must_use]
pub fn reachable(map: &[AddressMapping], host: &str, port: u16) -> Option<(String, u16)> {
    let of = |wanted: Option<u16>| {
        let names = |entry: &&AddressMapping| {
            entry.announced.0.eq_ignore_ascii_case(host) && entry.announced.1 == wanted
        };
        map.iter().find(names)
    };
    let entry = of(Some(port)).or_else(|| of(None))?;
    let (there, at) = &entry.reachable;
    Some((there.clone(), at.unwrap_or(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_shown() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                AddressMapping::parse(text).map(|entry| entry.to_string()).as_deref(),
                expected,
                "{text}"
            );
        };
        check("10.0.0.1:6379=cache:7001", Some("10.0.0.1:6379=cache:7001"));
        check("10.0.0.1 = cache", Some("10.0.0.1=cache"));
        check("10.0.0.1:6379=cache", Some("10.0.0.1:6379=cache"));
        check("[fd00::1]:6379=[::1]:7001", Some("[fd00::1]:6379=[::1]:7001"));
        for wrong in ["", "a", "=", "a=", "=b", "a=b:1", "a:x=b:1", "a:0=b:1", "a:1=b:0", "fd00::1=b"] {
            check(wrong, None);
        }
    }

    #[test]
    fn the_exact_entry_wins() {
        let map = ["a=z", "a:1=x:11", "b:2=y"].map(|text| AddressMapping::parse(text).unwrap());
        let check = |host: &str, port: u16, expected: Option<(&str, u16)>| {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(reachable(&map, host, port), expected, "{host}:{port}");
        };
        check("a", 1, Some(("x", 11)));
        check("A", 5, Some(("z", 5)));
        check("b", 2, Some(("y", 2)));
        check("b", 3, None);
        check("c", 1, None);
    }
}
