//! Why rules cannot be used: which rule, which field, what, and the way out.

use std::fmt;
use std::time::Duration;

use keysweep_model::duration;

use crate::error::PredicateError;
use crate::fact::Fact;
use crate::limits::{PATTERNS_MAX, RULES_MAX, TTL_MS_MAX, TTL_MS_MIN};

/// A field of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleField {
    /// `match`
    Match,
    /// `except`
    Except,
    /// `where`
    Where,
    /// `ttl`
    Ttl,
    /// `jitter`
    Jitter,
    /// `max_ttl`
    MaxTtl,
    /// `durable`
    Durable,
    /// `action`
    Action,
    /// `max_delete_percent`
    MaxDeletePercent,
    /// `owner`
    Owner,
}

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}: {problem}")]
pub struct RuleError {
    /// The rule, counted from 1.
    pub rule: usize,
    /// What is wrong with it.
    pub problem: RuleProblem,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleProblem {
    /// It is for no keys.
    #[error("`match` has no patterns: name its keys, such as `match = [\"cache:page:*\"]`")]
    NoMatch,
    /// It has too many patterns.
    #[error("`match` and `except` of all rules have more than {PATTERNS_MAX} patterns: use wider ones")]
    TooManyPatterns,
    /// There are too many rules.
    #[error("there are more than {RULES_MAX} rules: put some of them into another job")]
    TooManyRules,
    /// It does not say what is done.
    #[error(
        "it does not say what happens to its keys: add `ttl`, `max_ttl`, `durable = true`, `action = \"report\"` or \
         `action = \"delete\"`"
    )]
    StatesNothing,
    /// Two fields that contradict each other.
    #[error("`{0}` and `{1}` exclude each other: leave one of them out")]
    Exclude(RuleField, RuleField),
    /// Jitter of a TTL that it does not give.
    #[error("`jitter` needs `ttl`, which it is added to: add `ttl`, or leave `jitter` out")]
    JitterAlone,
    /// A limit of deletions of a rule that deletes nothing.
    #[error(
        "`max_delete_percent` needs `action = \"delete\"`, which it limits: add that, or leave `max_delete_percent` out"
    )]
    LimitAlone,
    /// A limit that is no share.
    #[error("`max_delete_percent` is more than 100: write a share of the keys of the rule from 0 to 100")]
    BadLimit,
    /// More jitter than TTL.
    #[error("`jitter` is more than `100%`: write a smaller part of `ttl`, or a time such as `5m`")]
    BadJitter,
    /// A TTL that is too short or too long.
    #[error(
        "`{0}` is not from {min} to {max}: a shorter one deletes, which takes `action = \"delete\"`",
        min = time(TTL_MS_MIN),
        max = time(TTL_MS_MAX)
    )]
    OutOfBounds(RuleField),
    /// A longest TTL that is shorter than the one that is given.
    #[error(
        "`max_ttl` is {max}, and `ttl` is {ttl}, which is longer: make `max_ttl` at least as long as `ttl`",
        max = time(*max_ttl_ms),
        ttl = time(*ttl_ms)
    )]
    MaxBelowTtl {
        /// The TTL that keys are given, in milliseconds.
        ttl_ms: u64,
        /// The longest, in milliseconds.
        max_ttl_ms: u64,
    },
    /// Its condition cannot be parsed.
    #[error("`where`, {0}")]
    BadWhere(PredicateError),
    /// Its condition is about the number of elements, and about accesses, which reading that number counts as.
    #[error(
        "`where` is about `length` and `{0}`: servers count reading the number of elements as an access, so that `{0}` \
         would not be what it was; leave one of them out"
    )]
    LengthAccesses(Fact),
    /// Earlier rules take all of its keys.
    #[error(
        "it can never act, because a key belongs to the first rule that matches its name: {}; move this rule up, or \
         remove it",
        covers(.0)
    )]
    Shadowed(Vec<Cover>),
}

/// An earlier rule that takes every key of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// The pattern of the later rule, for display.
    pub pattern: String,
    /// The earlier rule, counted from 1.
    pub by: usize,
}

impl RuleField {
    /// Its name in the job file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Except => "except",
            Self::Where => "where",
            Self::Ttl => "ttl",
            Self::Jitter => "jitter",
            Self::MaxTtl => "max_ttl",
            Self::Durable => "durable",
            Self::Action => "action",
            Self::MaxDeletePercent => "max_delete_percent",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for RuleField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl RuleProblem {
    /// The field that it is about; `None` if it is about the whole rule.
    #[must_use]
    pub fn field(&self) -> Option<RuleField> {
        match self {
            Self::TooManyPatterns | Self::Shadowed(_) => Some(RuleField::Match),
            Self::NoMatch | Self::StatesNothing | Self::TooManyRules => None,
            Self::Exclude(_, field) | Self::OutOfBounds(field) => Some(*field),
            Self::JitterAlone | Self::BadJitter => Some(RuleField::Jitter),
            Self::LimitAlone | Self::BadLimit => Some(RuleField::MaxDeletePercent),
            Self::MaxBelowTtl { .. } => Some(RuleField::MaxTtl),
            Self::BadWhere(_) | Self::LengthAccesses(_) => Some(RuleField::Where),
        }
    }
}

fn time(ms: u64) -> String {
    format!("`{}`", duration::show(Duration::from_millis(ms)))
}

fn covers(covers: &[Cover]) -> String {
    let each = covers.iter().map(|cover| format!("rule {} takes all keys of `{}`", cover.by, cover.pattern));
    each.collect::<Vec<_>>().join(", ")
}
