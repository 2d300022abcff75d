//! The values that settings take, and how an error message describes them.

use std::time::Duration;

use keysweep_model::words::{grouped, quoted};
use keysweep_model::{duration, size};

use super::table::overrides;

/// The values that a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// `true` or `false`; a flag without a value.
    Switch,
    /// A whole number.
    Whole {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A number of bytes, with a unit or without.
    Bytes {
        /// The fewest.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A duration with a unit.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Names of request fields that may exceed the job, in camelCase or snake_case.
    Overrides,
    /// A name that becomes part of keys and subjects.
    Name,
    /// Any text that is not empty.
    Text,
    /// The path of a file.
    Path,
    /// A directory, or a bucket of NATS.
    Place,
    /// A password, never shown.
    Secret,
    /// One of these words; a word with a colon is followed by a key or URL.
    Source(&'static [&'static str]),
    /// HTTP URLs that are secrets, never shown.
    SecretUrls,
    /// Redis URLs.
    Urls,
    /// NATS URLs.
    NatsUrls,
    /// The name of a context of the nats CLI, which is part of a file name.
    Context,
    /// Addresses that servers announce, with reachable ones: `announced=reachable`.
    Addresses,
    /// An IP address with a port to listen on.
    ListenAddress,
    /// Host names, without a port.
    Hosts,
    /// Key patterns as in MATCH of Redis.
    Patterns,
    /// Public keys whose signatures are accepted.
    PublicKeys,
}

/// Bytes of a pattern. Redis has no limit, but matching a long pattern with many stars against every key is slow.
pub(super) const PATTERN_BYTES_MAX: usize = 1024;
/// Values of a list. Each pattern is matched against every key, so there should be few.
pub(super) const LIST_ITEMS_MAX: usize = 100;
/// Bytes of a job's name or an alias, which become part of Redis keys, subjects and metrics.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// Bytes of a host name, as in DNS.
pub(super) const HOST_BYTES_MAX: usize = 253;
/// Bytes of other texts, such as a display name or a schedule.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

impl SettingKind {
    /// Durations between two numbers of seconds.
    pub(super) const fn seconds(min: u64, max: u64) -> Self {
        Self::Duration { min: Duration::from_secs(min), max: Duration::from_secs(max) }
    }

    /// Whether several values may be given: a repeated flag, commas in a variable, an array.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(
            self,
            Self::Urls
                | Self::NatsUrls
                | Self::SecretUrls
                | Self::Addresses
                | Self::Hosts
                | Self::Patterns
                | Self::PublicKeys
                | Self::Overrides
        )
    }

    /// The placeholder of a flag's value in `--help`.
    pub(super) const fn placeholder(self) -> &'static str {
        match self {
            Self::Whole { .. } => "N",
            Self::Bytes { .. } => "BYTES",
            Self::Duration { .. } => "DURATION",
            Self::Path => "FILE",
            Self::Place => "PLACE",
            Self::Source(_) => "SOURCE",
            Self::Urls | Self::NatsUrls | Self::SecretUrls => "URL",
            Self::Addresses => "ANNOUNCED=REACHABLE",
            Self::ListenAddress => "ADDR",
            Self::Hosts => "HOST",
            Self::Patterns => "GLOB",
            Self::PublicKeys => "KEY",
            Self::Overrides => "FIELD",
            Self::Choice(_) => "WORD",
            Self::Switch | Self::Name | Self::Text | Self::Secret | Self::Context => "NAME",
        }
    }

    /// The values in few words, for a table of the documentation.
    pub(super) fn summary(self) -> String {
        match self {
            Self::Switch => "`true`, `false`".to_owned(),
            Self::Whole { min, max } => format!("{} to {}", grouped(min), grouped(max)),
            Self::Bytes { min, max } => format!("{} to {}", size::show(min), size::show(max)),
            Self::Duration { min, max } => format!("{} to {}", duration::show(min), duration::show(max)),
            Self::Choice(words) => quoted(words),
            Self::Overrides => "field names".to_owned(),
            Self::Name | Self::Context => "a name".to_owned(),
            Self::Text | Self::Secret => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Place => "a directory or `nats://BUCKET`".to_owned(),
            Self::Source(_) => "a source".to_owned(),
            Self::Urls | Self::NatsUrls | Self::SecretUrls => "URLs".to_owned(),
            Self::Addresses => "pairs".to_owned(),
            Self::ListenAddress => "an IP address with a port".to_owned(),
            Self::Hosts => "host names".to_owned(),
            Self::Patterns => "globs".to_owned(),
            Self::PublicKeys => "base64 keys".to_owned(),
        }
    }

    /// What would be right, to follow "it takes".
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Self::Bytes { min, max } => {
                format!(
                    "a number of bytes such as `64KiB` or `4MiB`, from {} to {}",
                    size::show(min),
                    size::show(max)
                )
            }
            Self::Duration { min, max } => format!(
                "a duration such as `500ms`, `15m` or `6h`, from {} to {}",
                duration::show(min),
                duration::show(max)
            ),
            Self::Choice(words) => format!("one of {}", quoted(words)),
            Self::Overrides => format!("some of {}", quoted(overrides())),
            Self::Name => {
                format!("up to {NAME_BYTES_MAX} letters, digits, `-` and `_`, and at least one")
            }
            Self::Text => format!("a text of 1 to {TEXT_BYTES_MAX} bytes"),
            Self::Path => "the path of a file".to_owned(),
            Self::Place => "the path of a directory, or `nats://BUCKET`".to_owned(),
            Self::Secret => "a password that is not empty".to_owned(),
            Self::Source(words) => {
                let quoted: Vec<String> = words
                    .iter()
                    .map(|word| if word.ends_with(':') { format!("`{word}…`") } else { format!("`{word}`") })
                    .collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::SecretUrls => "one or more URLs that begin with `https://` or `http://`".to_owned(),
            Self::Urls => "one or more URLs such as `redis://host:6379` (or `rediss`, `valkey`, `valkeys`, \
                 `unix`, and `redis+sentinel://host:26379/name`), each with its scheme"
                .to_owned(),
            Self::Addresses => {
                "entries such as `10.0.0.1:6379=cache.example:7001`, or `10.0.0.1=cache.example` for \
                 every port"
                    .to_owned()
            }
            Self::ListenAddress => {
                "an IP address with a port, such as `127.0.0.1:9464` or `0.0.0.0:9464`".to_owned()
            }
            Self::Hosts => "host names such as `keysweep.example`, without a port".to_owned(),
            Self::NatsUrls => "one or more URLs such as `nats://host:4222` or `tls://host`".to_owned(),
            Self::Context => "the name of a nats CLI context, without `/` and `..`".to_owned(),
            Self::PublicKeys => {
                "Ed25519 public keys in base64, as `keysweep nats keys FILE` prints them".to_owned()
            }
            Self::Patterns => format!(
                "up to {LIST_ITEMS_MAX} patterns of 1 to {PATTERN_BYTES_MAX} bytes, such as \
                 `permissions:*`"
            ),
        }
    }
}
