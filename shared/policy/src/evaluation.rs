//! Whether a predicate is true of a key, of which some facts may be unknown: the three-valued logic of Kleene.

use crate::fact::FactSet;
use crate::facts::{Facts, KeyTtl};
use crate::predicate::{Comparison, Expression, Figure, Term};

/// Whether a predicate is true. What rests on facts that are unknown is never true, and its negation is not, either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is true, whatever the unknown facts are.
    True,
    /// It is false, whatever the unknown facts are.
    False,
    /// These facts are unknown, and could decide it.
    Unknown(FactSet),
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

impl Truth {
    /// The truth of the negation.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

impl Expression {
    /// Whether it is true of a key with these facts.
    pub(crate) fn truth(&self, facts: &Facts<'_>) -> Truth {
        match self {
            Self::Term(term) => term.truth(facts),
            Self::Not(inner) => inner.truth(facts).negated(),
            Self::All(parts) => together(parts, facts, Truth::False),
            Self::Any(parts) => together(parts, facts, Truth::True),
        }
    }
}

/// `decisive` if one of the parts is; otherwise unknown if one of them is; otherwise the opposite.
fn together(parts: &[Expression], facts: &Facts<'_>, decisive: Truth) -> Truth {
    let mut unknown = FactSet::EMPTY;
    for part in parts {
        match part.truth(facts) {
            Truth::Unknown(more) => unknown = unknown.and(more),
            truth if truth == decisive => return decisive,
            _ => {}
        }
    }
    if unknown.is_empty() { decisive.negated() } else { Truth::Unknown(unknown) }
}

impl Term {
    /// Whether it is true of a key with these facts.
    fn truth(&self, facts: &Facts<'_>) -> Truth {
        let known = match self {
            Self::NoTtl => facts.ttl.map(|ttl| ttl == KeyTtl::None),
            Self::HasTtl => facts.ttl.map(|ttl| ttl != KeyTtl::None),
            Self::User { is_active } => facts.user_active.map(|active| active == *is_active),
            Self::Figure { figure, comparison, limit } => figure.of(facts).map(|reading| match reading {
                KeyFigure::Is(value) => comparison.holds(value, *limit),
                KeyFigure::None => *comparison == Comparison::Unequal,
            }),
            Self::Type { is_one, types } => {
                facts.type_name.map(|name| types.iter().any(|known| known.name() == name) == *is_one)
            }
            Self::Name(regex) => Some(regex.matches(facts.name)),
        };
        known.map_or(Truth::Unknown(FactSet::only(self.fact())), Truth::from)
    }
}

/// A figure of a key that is known.
enum KeyFigure {
    /// It is this number.
    Is(u64),
    /// The key has no such figure: it has no TTL.
    None,
}

impl Figure {
    /// What is known of it among `facts`.
    fn of(self, facts: &Facts<'_>) -> Option<KeyFigure> {
        match self {
            Self::Ttl => facts.ttl.map(|ttl| match ttl {
                KeyTtl::Ms(ms) => KeyFigure::Is(ms),
                KeyTtl::None => KeyFigure::None,
            }),
            Self::Idle => facts.idle_ms.map(KeyFigure::Is),
            Self::Freq => facts.freq.map(KeyFigure::Is),
            Self::Bytes => facts.bytes.map(KeyFigure::Is),
            Self::Length => facts.length.map(KeyFigure::Is),
        }
    }
}
