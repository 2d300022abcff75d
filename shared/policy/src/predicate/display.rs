//! Predicates as texts that parse to the same.

use std::fmt;
use std::time::Duration;

use keysweep_model::{duration, size};

use super::operand::{USER_ACTIVE, USER_INACTIVE};
use super::{Expression, Figure, Term};
use crate::fact::Fact;

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term(term) => term.fmt(f),
            Self::Not(inner) => {
                f.write_str("not ")?;
                part(inner, matches!(**inner, Self::All(_) | Self::Any(_)), f)
            }
            Self::All(parts) => list(parts, " and ", |part| matches!(part, Self::All(_) | Self::Any(_)), f),
            Self::Any(parts) => list(parts, " or ", |part| matches!(part, Self::Any(_)), f),
        }
    }
}

/// The parts of a list, those that `needs_parentheses` in parentheses.
fn list(
    parts: &[Expression],
    word: &str,
    needs_parentheses: fn(&Expression) -> bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (at, inner) in parts.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { word })?;
        part(inner, needs_parentheses(inner), f)?;
    }
    Ok(())
}

fn part(inner: &Expression, in_parentheses: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if in_parentheses { write!(f, "({inner})") } else { write!(f, "{inner}") }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTtl => f.write_str("ttl = none"),
            Self::HasTtl => f.write_str("ttl != none"),
            Self::User { is_active } => {
                write!(f, "{} = {}", Fact::User, if *is_active { USER_ACTIVE } else { USER_INACTIVE })
            }
            Self::Figure { figure, comparison, limit } => {
                write!(f, "{} {} {}", figure.fact(), comparison.sign(), figure.show(*limit))
            }
            Self::Type { is_one, types } => {
                let names: Vec<String> = types.iter().map(ToString::to_string).collect();
                match (names.as_slice(), is_one) {
                    ([name], true) => write!(f, "{} = {name}", Fact::Type),
                    ([name], false) => write!(f, "{} != {name}", Fact::Type),
                    (names, true) => write!(f, "{} in ({})", Fact::Type, names.join(", ")),
                    (names, false) => write!(f, "{} not in ({})", Fact::Type, names.join(", ")),
                }
            }
            Self::Name(regex) => write!(f, "{} ~ {regex}", Fact::Name),
        }
    }
}

impl Figure {
    /// A value of it with the largest exact unit.
    fn show(self, value: u64) -> String {
        match self {
            Self::Ttl | Self::Idle => duration::show(Duration::from_millis(value)),
            Self::Bytes => size::show(value),
            Self::Freq | Self::Length => value.to_string(),
        }
    }
}
