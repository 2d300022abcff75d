//! A predicate: a condition on keys, parsed from a text and shown as one.

mod display;
mod grammar;
mod key_type;
mod name_regex;
mod operand;

pub use key_type::KeyType;
pub use name_regex::NameRegex;

use std::fmt;
use std::str::FromStr;

use crate::error::PredicateError;
use crate::evaluation::Truth;
use crate::fact::{Fact, FactSet, Recheck};
use crate::facts::Facts;

/// A condition on keys. Two are equal if they are written alike, blanks and needless parentheses aside.
///
/// `Display` gives a text that parses to an equal predicate.
#[derive(Clone, Debug)]
pub struct Predicate {
    written: Expression,
    /// The same with the cheap parts of each list first, for evaluation.
    ordered: Expression,
}

/// What a predicate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// One statement about one fact.
    Term(Term),
    /// It is false.
    Not(Box<Self>),
    /// All are true; at least two.
    All(Vec<Self>),
    /// At least one is true; at least two.
    Any(Vec<Self>),
}

/// A statement about one fact of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// `ttl = none`: the key has no TTL.
    NoTtl,
    /// `ttl != none`: it has one.
    HasTtl,
    /// `user = active`, or `user = inactive`.
    User {
        /// Whether the user of the key must be active, or must not.
        is_active: bool,
    },
    /// A comparison of a figure: `idle > 7d`. A key without TTL has no figure there: each comparison of it but `!=` is
    /// false.
    Figure {
        /// The figure.
        figure: Figure,
        /// How it is compared.
        comparison: Comparison,
        /// What it is compared with, in the unit of the figure.
        limit: u64,
    },
    /// `type in (string, hash)`; with one type `type = string` and `type != string`.
    Type {
        /// Whether it must be one of these, or none of them.
        is_one: bool,
        /// The types; at least one.
        types: Vec<KeyType>,
    },
    /// `key ~ "regex"`: the regular expression matches somewhere in the name.
    Name(NameRegex),
}

/// A fact that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The TTL in milliseconds.
    Ttl,
    /// How long the key was not accessed, in milliseconds.
    Idle,
    /// The counter of accesses.
    Freq,
    /// The memory in bytes.
    Bytes,
    /// The number of elements.
    Length,
}

/// A comparison of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `>=`
    AtLeast,
    /// `>`
    More,
}

/// A term of a predicate, and whether the deletion step checks it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermRecheck<'a> {
    /// The term.
    pub term: &'a Term,
    /// Whether it is checked again.
    pub recheck: Recheck,
}

impl Predicate {
    /// Whether it is true of a key with these facts. Cheap terms are looked at first; the answer does not depend on it.
    #[must_use]
    pub fn truth(&self, facts: &Facts<'_>) -> Truth {
        self.ordered.truth(facts)
    }

    /// The facts that it is about: no others change its truth.
    #[must_use]
    pub fn facts(&self) -> FactSet {
        self.written.facts()
    }

    /// Its terms as they are written, each with whether the deletion step checks it again.
    #[must_use]
    pub fn terms(&self) -> Vec<TermRecheck<'_>> {
        let mut terms = Vec::new();
        self.written.visit(&mut |term| terms.push(TermRecheck { term, recheck: term.fact().recheck() }));
        terms
    }

    /// What it says, with the cheap parts of each list first.
    #[must_use]
    pub fn cheap_first(&self) -> &Expression {
        &self.ordered
    }

    /// What it says.
    #[must_use]
    pub fn expression(&self) -> &Expression {
        &self.written
    }
}

impl FromStr for Predicate {
    type Err = PredicateError;

    /// Parses a predicate.
    ///
    /// # Errors
    /// The first problem, with its column.
    fn from_str(text: &str) -> Result<Self, PredicateError> {
        let written = grammar::parse(text)?;
        Ok(Self { ordered: written.clone().cheap_first(), written })
    }
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Predicate {}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

impl Expression {
    /// The facts that it is about.
    #[must_use]
    pub fn facts(&self) -> FactSet {
        let mut facts = FactSet::EMPTY;
        self.visit(&mut |term| facts = facts.and(FactSet::only(term.fact())));
        facts
    }

    /// Calls `visit` with each of its terms, in the order in which they are written.
    fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a Term)) {
        match self {
            Self::Term(term) => visit(term),
            Self::Not(inner) => inner.visit(visit),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(visit)),
        }
    }

    /// The same with the parts of each list by their cost, which is that of their dearest fact.
    fn cheap_first(self) -> Self {
        let sorted = |parts: Vec<Self>| {
            let mut parts: Vec<Self> = parts.into_iter().map(Self::cheap_first).collect();
            parts.sort_by_cached_key(|part| part.facts().dearest());
            parts
        };
        match self {
            Self::Term(term) => Self::Term(term),
            Self::Not(inner) => Self::Not(Box::new(inner.cheap_first())),
            Self::All(parts) => Self::All(sorted(parts)),
            Self::Any(parts) => Self::Any(sorted(parts)),
        }
    }
}

impl Term {
    /// The fact that it is about.
    #[must_use]
    pub const fn fact(&self) -> Fact {
        match self {
            Self::NoTtl | Self::HasTtl => Fact::Ttl,
            Self::User { .. } => Fact::User,
            Self::Figure { figure, .. } => figure.fact(),
            Self::Type { .. } => Fact::Type,
            Self::Name(_) => Fact::Name,
        }
    }
}

impl Figure {
    /// The fact that it is.
    #[must_use]
    pub const fn fact(self) -> Fact {
        match self {
            Self::Ttl => Fact::Ttl,
            Self::Idle => Fact::Idle,
            Self::Freq => Fact::Freq,
            Self::Bytes => Fact::Bytes,
            Self::Length => Fact::Length,
        }
    }
}

impl Comparison {
    /// All comparisons.
    pub const ALL: [Self; 6] =
        [Self::Less, Self::AtMost, Self::Equal, Self::Unequal, Self::AtLeast, Self::More];

    /// As it is written.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::AtLeast => ">=",
            Self::More => ">",
        }
    }

    /// Whether it is true of `value` and `limit`.
    #[must_use]
    pub const fn holds(self, value: u64, limit: u64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::Equal => value == limit,
            Self::Unequal => value != limit,
            Self::AtLeast => value >= limit,
            Self::More => value > limit,
        }
    }
}
