//! Limits that are not settings: name, unit, and the reason for the size.

/// Bytes of a predicate, as it is written and as it is shown. Longer ones are better split into several rules.
pub const PREDICATE_BYTES_MAX: usize = 4 << 10;

/// How deep `not` and parentheses may be nested in a predicate: parsing and evaluation recurse.
pub const PREDICATE_DEPTH_MAX: usize = 32;

/// Bytes of a compiled regular expression, and of what matching it caches in each thread.
pub const REGEX_BYTES_MAX: usize = 256 << 10;

/// How deep groups may be nested in a regular expression.
pub const REGEX_DEPTH_MAX: u32 = 50;

/// Bytes of the name of a type. The names of modules' types have 9.
pub const TYPE_NAME_BYTES_MAX: usize = 32;

/// Rules of a job: each key is compared with their patterns, in their order.
pub const RULES_MAX: usize = 100;

/// Patterns of all rules of a job.
pub const PATTERNS_MAX: usize = 1_000;

/// The shortest TTL that a rule may give, in milliseconds. Shorter ones delete in effect.
pub const TTL_MS_MIN: u64 = 1_000;

/// The longest TTL that a rule may give or allow, in milliseconds: as long as that of the short form.
pub const TTL_MS_MAX: u64 = 3_650 * 86_400_000;
