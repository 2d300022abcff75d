//! Why a text is not a predicate: what, where, and the way out.

use keysweep_model::duration::DurationError;
use keysweep_model::words::quoted;

use crate::fact::Fact;
use crate::limits::{PREDICATE_BYTES_MAX, PREDICATE_DEPTH_MAX, REGEX_BYTES_MAX, TYPE_NAME_BYTES_MAX};
use crate::predicate::KeyType;

/// A text that is not a predicate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct PredicateError {
    /// Where the problem is, in characters of the text, counted from 1.
    pub column: usize,
    /// The problem.
    pub problem: Problem,
}

/// What is wrong with a predicate. What was found is shortened, and on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something else stands where a term begins.
    #[error("{found} stands where a term such as `ttl = none` or `idle > 7d` should")]
    NoTerm {
        /// What was found.
        found: String,
    },
    /// A term about an unknown fact.
    #[error("`{0}` is not a fact of a key: use {facts}", facts = quoted(Fact::ALL))]
    UnknownFact(String),
    /// An operator that the fact does not have.
    #[error("{found} does not follow `{fact}`: use {operators}", operators = quoted(*operators))]
    BadOperator {
        /// The fact.
        fact: Fact,
        /// What was found.
        found: String,
        /// The operators that would be right.
        operators: &'static [&'static str],
    },
    /// No duration.
    #[error("{found} is not a duration: {source}")]
    BadDuration {
        /// What was found.
        found: String,
        /// Why.
        source: DurationError,
    },
    /// No number of bytes.
    #[error("{0} is not a size: write bytes, or a whole number and one of `KiB`, `MiB`, `GiB`, `TiB`")]
    BadSize(String),
    /// No whole number.
    #[error("{0} is not a whole number")]
    BadNumber(String),
    /// `ttl` is compared by size with `none`.
    #[error("`none` has no size: write `ttl = none` or `ttl != none`")]
    NoneCompared,
    /// Neither state of a user.
    #[error("{0} is not what a user is: use `active` or `inactive`")]
    NoState(String),
    /// No known type, and not in quotes.
    #[error("{0} is not a type: use {types}, or the name of a module's type in quotes", types = quoted(KeyType::KNOWN))]
    UnknownType(String),
    /// A name in quotes that no type can have.
    #[error("the name of a type has 1 to {TYPE_NAME_BYTES_MAX} letters, digits, `-` and `_`")]
    BadTypeName,
    /// No parenthesis where a list begins.
    #[error("{0} does not follow `in`: write a list such as `(string, hash)`")]
    NoList(String),
    /// A list that does not go on or end.
    #[error("{0} stands where `,` or `)` should")]
    OpenList(String),
    /// No text in quotes.
    #[error("{0} does not follow `~`: write a regular expression in double quotes")]
    NoText(String),
    /// A text whose quotes are not closed.
    #[error("the text that begins here has no end: add `\"`")]
    OpenText,
    /// A regular expression with a mistake.
    #[error("this is not a regular expression: {0}")]
    BadRegex(String),
    /// A regular expression that takes too much memory.
    #[error(
        "this regular expression takes more than {REGEX_BYTES_MAX} bytes of memory: use fewer or smaller repetitions"
    )]
    LargeRegex,
    /// A parenthesis that is not closed.
    #[error("{0} stands where `and`, `or` or `)` should")]
    OpenParenthesis(String),
    /// Something after the end of a term.
    #[error("{0} stands where `and`, `or` or the end should")]
    NoEnd(String),
    /// Too many levels.
    #[error("`not` and parentheses are nested more than {PREDICATE_DEPTH_MAX} times: write it with fewer")]
    TooDeep,
    /// Too long.
    #[error("it has {0} bytes, of which {PREDICATE_BYTES_MAX} are allowed: split it into several rules")]
    TooLong(usize),
}
