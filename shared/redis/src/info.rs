//! Parses the reply of `INFO`. No field is required: a field that the server does not have is absent, and malformed
//! lines are skipped. The caller bounds the size of the text.

use std::collections::BTreeMap;

use keysweep_model::limits::COUNT_MAX;
use keysweep_model::printable::one_line;

/// The fields of an `INFO` reply by name; if a name occurs twice, the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    fields: BTreeMap<String, String>,
}

/// The counts of one database in `INFO keyspace`, logically expired keys included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceCounts {
    /// Keys in the database.
    pub keys: u64,
    /// Those of them that have a TTL.
    pub expires: u64,
    /// The server's running estimate of the mean TTL, in milliseconds; 0 if it has none.
    pub avg_ttl_ms: u64,
    /// Hashes with a field that expires (`subexpiry` from Redis 7.4 on, `keys_with_volatile_items` from Valkey 9 on),
    /// or that had one.
    pub field_ttls: u64,
}

impl Info {
    /// Parses the reply; invalid UTF-8 is replaced, and control characters are escaped.
    #[must_use]
    pub fn parse(reply: impl AsRef<[u8]>) -> Self {
        let mut info = Self::default();
        for line in String::from_utf8_lossy(reply.as_ref()).lines() {
            let line = line.trim_end();
            if let Some((name, value)) = line.split_once(':')
                && !line.starts_with('#')
            {
                info.fields.insert(name.to_owned(), one_line(value));
            }
        }
        info
    }

    /// The text of a field, such as `redis_version`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The field as an integer; also `None` if it is not one.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The fields whose names end in `ending`, with their values.
    pub fn names_ending(&self, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.fields.iter().filter(move |(name, _)| name.ends_with(ending));
        fields.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a field exists whose name begins with `beginning`.
    #[must_use]
    pub fn has_any(&self, beginning: &str) -> bool {
        let mut from = self.fields.range(beginning.to_owned()..);
        from.next().is_some_and(|(name, _)| name.starts_with(beginning))
    }

    /// The part `name` of a field such as `cmdstat_get:calls=12,usec=34`, as an integer.
    #[must_use]
    pub fn part(&self, field: &str, name: &str) -> Option<u64> {
        part(self.text(field)?, name)?.parse().ok()
    }

    /// The databases that have keys, in order.
    #[must_use]
    pub fn databases(&self) -> Vec<u32> {
        let numbers = self.fields.keys().filter_map(|name| name.strip_prefix("db")?.parse().ok());
        let mut numbers: Vec<u32> = numbers.filter(|db| self.keyspace(*db).keys > 0).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The counts of database `db`. The server omits empty databases, so an absent one has zeros.
    #[must_use]
    pub fn keyspace(&self, db: u32) -> KeyspaceCounts {
        self.text(&format!("db{db}")).and_then(counts).unwrap_or_default()
    }
}

/// The value of `name` in a field of parts, such as `ip=127.0.0.1,port=6380,state=online`.
pub(super) fn part<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// Parses `keys=1,expires=0,avg_ttl=0`; newer servers append more. `None` without a number of keys.
fn counts(value: &str) -> Option<KeyspaceCounts> {
    let part = |name: &str| Some(part(value, name)?.parse::<u64>().ok()?.min(COUNT_MAX));
    Some(KeyspaceCounts {
        keys: part("keys")?,
        expires: part("expires").unwrap_or(0),
        avg_ttl_ms: part("avg_ttl").unwrap_or(0),
        field_ttls: part("subexpiry").or_else(|| part("keys_with_volatile_items")).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From redis-server 7.0.15, shortened; the last databases are from 7.4, made up, from Redis 8.0 and Valkey 9.1.
    const CAPTURED: &str = "# Server\r\nredis_version:7.0.15\r\nredis_git_dirty:0\r\n\
        os:Linux 6.18.44-fc-v657 x86_64\r\nmonotonic_clock:POSIX clock_gettime\r\nconfig_file:\r\n\
        \r\n# Memory\r\nused_memory:1813088\r\nused_memory_human:1.73M\r\n\
        \r\n# Keyspace\r\ndb10:keys=1,expires=0,avg_ttl=0\r\n\
        db2:keys=30,expires=10,avg_ttl=5000,subexpiry=0\r\ndb3:nonsense\r\n\
        db4:keys=9,expires=0,avg_ttl=0,subexpiry=7\r\ndb5:keys=9,expires=0,avg_ttl=0,keys_with_volatile_items=8\r\n";

    #[test]
    fn fields_of_a_captured_reply_are_parsed() {
        let info = Info::parse(CAPTURED);
        assert_eq!(info.text("redis_version"), Some("7.0.15"));
        assert_eq!(info.text("config_file"), Some(""));
        assert_eq!(info.text("no_such_field"), None);
        assert_eq!(info.number("used_memory"), Some(1_813_088));
        assert_eq!(info.number("used_memory_human"), None);
    }

    #[test]
    fn databases_of_a_captured_reply_are_parsed() {
        let info = Info::parse(CAPTURED);
        let two = KeyspaceCounts { keys: 30, expires: 10, avg_ttl_ms: 5000, field_ttls: 0 };
        let ten = KeyspaceCounts { keys: 1, ..KeyspaceCounts::default() };
        assert_eq!([4, 5].map(|db| info.keyspace(db).field_ttls), [7, 8]);
        assert_eq!(info.keyspace(10), ten);
        assert_eq!(info.keyspace(2), two);
        assert_eq!(info.keyspace(0), KeyspaceCounts::default());
        assert_eq!(info.keyspace(3), KeyspaceCounts::default());
        let many = Info::parse("db0:keys=18446744073709551615,expires=9,avg_ttl=0\r\n").keyspace(0);
        assert_eq!((many.keys, many.expires), (COUNT_MAX, 9), "those of all nodes can be added");
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes: Vec<u8>, lines in "(db[0-9+]{0,11}:[keys=,0-9]{0,30}|#|:|\r|\n|.){0,20}") {
            for info in [Info::parse(bytes), Info::parse(&lines)] {
                prop_assert!((0..20).map(|db| info.keyspace(db)).all(|counts| counts.expires < u64::MAX));
            }
        }
    }
}
