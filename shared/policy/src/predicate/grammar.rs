//! The grammar of predicates. `and` binds more tightly than `or`, and `not` more tightly than both:
//!
//! ```text
//! expression = all ("or" all)*
//! all        = part ("and" part)*
//! part       = "not" part | "(" expression ")" | term
//! ```
//!
//! Terms are in `operand.rs`.

use keysweep_model::printable::one_line;
use winnow::combinator::opt;
use winnow::error::ParserError;
use winnow::stream::{LocatingSlice, Location};
use winnow::token::take_while;
use winnow::{Parser, Stateful};

use super::{Expression, operand};
use crate::error::{PredicateError, Problem};
use crate::limits::{PREDICATE_BYTES_MAX, PREDICATE_DEPTH_MAX};

/// What is left of the text, and how many levels of `not` and parentheses it is in.
pub(super) type Input<'s> = Stateful<LocatingSlice<&'s str>, usize>;

/// A value, or why there is none.
pub(super) type Parsed<T> = Result<T, Failure>;

/// Why the text cannot be parsed from some byte on.
#[derive(Debug)]
pub(super) struct Failure {
    byte: usize,
    /// `None` if only this alternative does not fit.
    problem: Option<Problem>,
}

impl Failure {
    /// The problem of the text at `byte`.
    pub(super) fn at(byte: usize, problem: Problem) -> Self {
        Self { byte, problem: Some(problem) }
    }
}

impl ParserError<Input<'_>> for Failure {
    type Inner = Self;

    fn from_input(input: &Input<'_>) -> Self {
        Self { byte: input.current_token_start(), problem: None }
    }

    fn is_backtrack(&self) -> bool {
        self.problem.is_none()
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// Parses the text of a predicate.
///
/// # Errors
/// The first problem, with its column.
pub(super) fn parse(text: &str) -> Result<Expression, PredicateError> {
    if text.len() > PREDICATE_BYTES_MAX {
        return Err(PredicateError { column: 1, problem: Problem::TooLong(text.len()) });
    }
    let mut input = Stateful { input: LocatingSlice::new(text), state: 0 };
    let parsed = whole(&mut input).map_err(|failure| {
        let column = text.char_indices().take_while(|(at, _)| *at < failure.byte).count() + 1;
        let problem = failure.problem.unwrap_or_else(|| Problem::NoTerm { found: found(&mut input) });
        PredicateError { column, problem }
    })?;
    // What is shown may be read again, such as by another process.
    match parsed.to_string().len() {
        length if length > PREDICATE_BYTES_MAX => {
            Err(PredicateError { column: 1, problem: Problem::TooLong(length) })
        }
        _ => Ok(parsed),
    }
}

fn whole(input: &mut Input<'_>) -> Parsed<Expression> {
    let parsed = expression(input)?;
    match blanks(input) {
        () if input.is_empty() => Ok(parsed),
        () => Err(problem(input, Problem::NoEnd)),
    }
}

fn expression(input: &mut Input<'_>) -> Parsed<Expression> {
    list(input, "or", all, Expression::Any)
}

fn all(input: &mut Input<'_>) -> Parsed<Expression> {
    list(input, "and", part, Expression::All)
}

/// One or more parts with `word` between them.
fn list(
    input: &mut Input<'_>,
    word: &'static str,
    part: fn(&mut Input<'_>) -> Parsed<Expression>,
    of: fn(Vec<Expression>) -> Expression,
) -> Parsed<Expression> {
    let first = part(input)?;
    let mut parts = vec![first];
    while opt(keyword(word)).parse_next(input)?.is_some() {
        parts.push(part(input)?);
    }
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => Ok(of(parts)),
    }
}

fn part(input: &mut Input<'_>) -> Parsed<Expression> {
    if opt(keyword("not")).parse_next(input)?.is_some() {
        return deeper(input, part).map(|inner| Expression::Not(Box::new(inner)));
    }
    if opt(sign("(")).parse_next(input)?.is_none() {
        return operand::term(input).map(Expression::Term);
    }
    let inner = deeper(input, expression)?;
    match opt(sign(")")).parse_next(input)? {
        Some(_) => Ok(inner),
        None => Err(problem(input, Problem::OpenParenthesis)),
    }
}

/// What `inner` parses, one level deeper.
fn deeper(input: &mut Input<'_>, inner: fn(&mut Input<'_>) -> Parsed<Expression>) -> Parsed<Expression> {
    if input.state >= PREDICATE_DEPTH_MAX {
        return Err(Failure::at(input.current_token_start(), Problem::TooDeep));
    }
    input.state += 1;
    let parsed = inner(input);
    input.state -= 1;
    parsed
}

/// Skips blanks.
pub(super) fn blanks(input: &mut Input<'_>) {
    // Also right for none, so that it cannot fail.
    let _: Parsed<&str> = take_while(0.., |c: char| c.is_ascii_whitespace()).parse_next(input);
}

/// A word of letters, digits, `_`, `-` and `.`, after blanks.
pub(super) fn word<'s>(input: &mut Input<'s>) -> Parsed<&'s str> {
    blanks(input);
    take_while(1.., |c: char| c.is_alphanumeric() || "_-.".contains(c)).parse_next(input)
}

/// The word `expected`, after blanks.
pub(super) fn keyword<'s>(expected: &'static str) -> impl Parser<Input<'s>, &'s str, Failure> {
    word.verify(move |word: &str| word == expected)
}

/// The sign `expected`, after blanks.
pub(super) fn sign<'s>(expected: &'static str) -> impl Parser<Input<'s>, &'s str, Failure> {
    move |input: &mut Input<'s>| {
        blanks(input);
        winnow::token::literal(expected).parse_next(input)
    }
}

/// The problem of what comes next, which `problem` names.
pub(super) fn problem(input: &mut Input<'_>, problem: impl FnOnce(String) -> Problem) -> Failure {
    blanks(input);
    let byte = input.current_token_start();
    let found = found(input);
    Failure::at(byte, problem(found))
}

/// The characters of what was found that a message shows.
const FOUND_CHARS_MAX: usize = 30;

/// What comes next, for a message: a word, another character, or the end.
pub(super) fn found(input: &mut Input<'_>) -> String {
    let text: &str = &input.input;
    let is_word = |c: &char| c.is_alphanumeric() || "_-.".contains(*c);
    let word: String = text.chars().take_while(is_word).take(FOUND_CHARS_MAX).collect();
    match (word.is_empty(), text.chars().next()) {
        (_, None) => "the end".to_owned(),
        (true, Some(other)) => format!("`{}`", one_line(&other.to_string())),
        (false, _) => format!("`{}`", one_line(&word)),
    }
}
