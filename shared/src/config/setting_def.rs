//! What one row of the settings table says, and the bounds that values are held to.

use std::time::Duration;

use super::duration;
use super::size;

/// One setting: its names in every layer, its default and the values it takes.
#[derive(Clone, Copy, Debug)]
pub struct SettingDef {
    /// The name in `config show`, unique in the table: the key in the job file, which
    /// for `[nats]` and `[serve]` stands behind the table's name, as in `nats.password`.
    pub name: &'static str,
    /// Another spelling of the key in the job file: the source document's.
    pub alias: Option<&'static str>,
    /// The table of the job file that holds the key.
    pub section: Section,
    /// The command-line flag with its dashes; settings of a schedule or of the output have none.
    pub flag: Option<&'static str>,
    /// The `KEYSWEEP_…` variable.
    pub env: &'static str,
    /// A second variable, from the source document or customary with Redis; `env` wins over it.
    pub other_env: Option<&'static str>,
    /// What holds when nobody gives a value.
    pub default: DefaultValue,
    /// The values it takes.
    pub kind: SettingKind,
    /// One line of help, without a full stop.
    pub help: &'static str,
}

/// The part of the job file where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `[[job]]`
    Job,
    /// `[redis.<alias>]`
    Redis,
    /// `[nats]`
    Nats,
    /// `[serve]`
    Serve,
}

/// A default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This text, read like any other layer's.
    Text(&'static str),
    /// Derived from another setting, as described.
    Derived(&'static str),
    /// None at all.
    Absent,
}

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
    /// Some of these words, which are names of fields; underscores instead of capitals are the same.
    Fields(&'static [&'static str]),
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
    /// One of these words; behind one that ends with a colon follows what is meant.
    Source(&'static [&'static str]),
    /// HTTP URLs that are secrets themselves, never shown.
    SecretUrls,
    /// Redis URLs.
    Urls,
    /// NATS URLs.
    NatsUrls,
    /// The name of a context of the nats CLI, which is part of a file's name.
    Context,
    /// Addresses that servers announce, and where they are reached: `announced=reachable`.
    Addresses,
    /// Key patterns as in Redis' MATCH.
    Patterns,
    /// Public keys of those whose orders are believed.
    PublicKeys,
}

/// A pattern's length. Redis itself has no limit, but matching a long one with many stars against
/// every key is slow.
pub(super) const PATTERN_BYTES_MAX: usize = 1024;
/// How many values a list has. Each pattern is tried on every key, so there should be few.
pub(super) const LIST_ITEMS_MAX: usize = 100;
/// A job's name or an alias: it becomes part of Redis keys, subjects and metrics.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// Other texts, such as a display name or a schedule.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

impl SettingDef {
    /// A setting of `[[job]]`, without a flag and a default so far.
    pub(super) const fn job(name: &'static str, env: &'static str, kind: SettingKind) -> Self {
        Self {
            name,
            alias: None,
            section: Section::Job,
            flag: None,
            env,
            other_env: None,
            default: DefaultValue::Absent,
            kind,
            help: "",
        }
    }

    /// A setting of `[redis.<alias>]`.
    pub(super) const fn redis(name: &'static str, env: &'static str, kind: SettingKind) -> Self {
        let mut spec = Self::job(name, env, kind);
        spec.section = Section::Redis;
        spec
    }

    /// A setting of `[nats]`; its name begins with `nats.`.
    pub(super) const fn nats(name: &'static str, env: &'static str, kind: SettingKind) -> Self {
        let mut spec = Self::job(name, env, kind);
        spec.section = Section::Nats;
        spec
    }

    /// A setting of `[serve]`; its name begins with `serve.`.
    pub(super) const fn serve(name: &'static str, env: &'static str, kind: SettingKind) -> Self {
        let mut spec = Self::job(name, env, kind);
        spec.section = Section::Serve;
        spec
    }

    /// The key in its table of the job file.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self.section {
            Section::Nats => self.name.strip_prefix("nats.").unwrap_or(self.name),
            Section::Serve => self.name.strip_prefix("serve.").unwrap_or(self.name),
            Section::Job | Section::Redis => self.name,
        }
    }

    pub(super) const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    pub(super) const fn alias(mut self, key: &'static str) -> Self {
        self.alias = Some(key);
        self
    }

    /// Whether `key` stands for this setting in its table of the job file.
    pub(super) fn is_called(&self, key: &str) -> bool {
        self.key() == key || self.alias == Some(key)
    }

    pub(super) const fn other_env(mut self, name: &'static str) -> Self {
        self.other_env = Some(name);
        self
    }

    pub(super) const fn default(mut self, text: &'static str) -> Self {
        self.default = DefaultValue::Text(text);
        self
    }

    pub(super) const fn derived(mut self, from: &'static str) -> Self {
        self.default = DefaultValue::Derived(from);
        self
    }

    pub(super) const fn help(mut self, line: &'static str) -> Self {
        self.help = line;
        self
    }

    /// Whether so many values are right: exactly one, or for a list not too many, and at least one
    /// where an empty list would leave nothing to do.
    pub(super) fn takes(&self, count: usize) -> bool {
        let must_not_be_empty = matches!(self.default, DefaultValue::Text(_));
        match self.kind.is_list() {
            true => count <= LIST_ITEMS_MAX && (count > 0 || !must_not_be_empty),
            false => count == 1,
        }
    }

    /// The default for people: `100`, `configured_ttl`, `none`.
    #[must_use]
    pub fn default_text(&self) -> &'static str {
        match self.default {
            DefaultValue::Text(text) | DefaultValue::Derived(text) => text,
            DefaultValue::Absent => "none",
        }
    }
}

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
                | Self::Patterns
                | Self::PublicKeys
                | Self::Fields(_)
        )
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
            Self::Fields(words) => format!("some of {}", quoted(words)),
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

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
