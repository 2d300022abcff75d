//! Policies: predicates about keys, such as `idle > 7d and type in (string, hash)`. A text is parsed to a [`Predicate`],
//! which states the facts that it needs and is evaluated over [`Facts`], some of which may be unknown. A [`RuleSet`] says
//! which rule a key belongs to, and a [`Rule`] what is done with it. Pure: reading facts from servers, and acting on what
//! follows from them, is not done here.

mod error;
mod evaluation;
mod fact;
mod facts;
pub mod limits;
mod predicate;
mod rule;
mod rule_error;
mod rule_set;
mod server;

pub use error::{PredicateError, Problem};
pub use evaluation::Truth;
pub use fact::{Fact, FactSet, Recheck};
pub use facts::{Facts, KeyTtl};
pub use predicate::{Comparison, Expression, Figure, KeyType, NameRegex, Predicate, Term, TermRecheck};
pub use rule::{Effect, GivenTtl, Rule, RuleKind};
pub use rule_error::{Cover, RuleError, RuleField, RuleProblem};
pub use rule_set::RuleSet;
pub use server::{Unanswerable, unanswerable};

#[cfg(test)]
mod tests;
