//! The terms of predicates: a fact, an operator, and what the fact is compared with.

use keysweep_model::printable::one_line;
use keysweep_model::{duration, size};
use winnow::Parser;
use winnow::combinator::{alt, opt};
use winnow::stream::{Location, Stream};

use super::grammar::{Failure, Input, Parsed, blanks, found, keyword, problem, sign, word};
use super::name_regex::quoted_end;
use super::{Comparison, Figure, KeyType, NameRegex, Term};
use crate::error::Problem;
use crate::fact::Fact;

/// The operators of figures. Those that begin another one come after it.
const COMPARISONS: [Comparison; 6] = [
    Comparison::AtMost,
    Comparison::Less,
    Comparison::AtLeast,
    Comparison::More,
    Comparison::Unequal,
    Comparison::Equal,
];

/// Of a user: active within the threshold of the job.
pub(super) const USER_ACTIVE: &str = "active";

/// Of a user: not active within it.
pub(super) const USER_INACTIVE: &str = "inactive";

/// A term.
pub(super) fn term(input: &mut Input<'_>) -> Parsed<Term> {
    blanks(input);
    let byte = input.current_token_start();
    let Some(name) = opt(word).parse_next(input)? else {
        return Err(problem(input, |found| Problem::NoTerm { found }));
    };
    let Some(fact) = Fact::ALL.into_iter().find(|fact| fact.word() == name) else {
        return Err(Failure::at(byte, unknown(name)));
    };
    match fact {
        Fact::Name => regex(input),
        Fact::User => user(input),
        Fact::Type => types(input),
        Fact::Ttl => figure(input, Figure::Ttl),
        Fact::Idle => figure(input, Figure::Idle),
        Fact::Freq => figure(input, Figure::Freq),
        Fact::Bytes => figure(input, Figure::Bytes),
        Fact::Length => figure(input, Figure::Length),
    }
}

/// The problem of a word that is no fact. `and` and `or` are words between terms.
fn unknown(name: &str) -> Problem {
    let name = shortened(name);
    match name.as_str() {
        "and" | "or" => Problem::NoTerm { found: format!("`{name}`") },
        _ => Problem::UnknownFact(name),
    }
}

/// The beginning of a word, on one line.
fn shortened(word: &str) -> String {
    one_line(&word.chars().take(30).collect::<String>())
}

/// The problem of what comes next instead of an operator of `fact`.
fn bad_operator(input: &mut Input<'_>, fact: Fact, operators: &'static [&'static str]) -> Failure {
    problem(input, |found| Problem::BadOperator { fact, found, operators })
}

fn figure(input: &mut Input<'_>, figure: Figure) -> Parsed<Term> {
    let compared = alt(COMPARISONS.map(|comparison| sign(comparison.sign()).value(comparison)));
    let Some(comparison) = opt(compared).parse_next(input)? else {
        return Err(bad_operator(input, figure.fact(), &["<", "<=", "=", "!=", ">=", ">"]));
    };
    blanks(input);
    let byte = input.current_token_start();
    if figure == Figure::Ttl && opt(keyword("none")).parse_next(input)?.is_some() {
        return match comparison {
            Comparison::Equal => Ok(Term::NoTtl),
            Comparison::Unequal => Ok(Term::HasTtl),
            _ => Err(Failure::at(byte, Problem::NoneCompared)),
        };
    }
    let found = found(input);
    let text = opt(word).parse_next(input)?.unwrap_or_default();
    match value(figure, text, found) {
        Ok(limit) => Ok(Term::Figure { figure, comparison, limit }),
        Err(wrong) => Err(Failure::at(byte, wrong)),
    }
}

/// A value of `figure`. A message shows `found`.
fn value(figure: Figure, text: &str, found: String) -> Result<u64, Problem> {
    match figure {
        Figure::Ttl | Figure::Idle => match duration::parse(text) {
            Ok(time) => Ok(duration::millis(time)),
            Err(source) => Err(Problem::BadDuration { found, source }),
        },
        Figure::Bytes => size::parse(text).ok_or(Problem::BadSize(found)),
        Figure::Freq | Figure::Length => {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(Problem::BadNumber(found))
        }
    }
}

/// Whether a user is active is decided by the threshold of the job, and not by a duration here: sets of users have no times,
/// and of sorted sets only who is active is kept.
fn user(input: &mut Input<'_>) -> Parsed<Term> {
    let one = alt((sign("!=").value(false), sign("=").value(true)));
    let Some(is_so) = opt(one).parse_next(input)? else {
        return Err(bad_operator(input, Fact::User, &["=", "!="]));
    };
    let state = alt((keyword(USER_ACTIVE).value(true), keyword(USER_INACTIVE).value(false)));
    match opt(state).parse_next(input)? {
        Some(is_active) => Ok(Term::User { is_active: is_active == is_so }),
        None => Err(problem(input, Problem::NoState)),
    }
}

fn types(input: &mut Input<'_>) -> Parsed<Term> {
    let one = alt((sign("!=").value(false), sign("=").value(true)));
    if let Some(is_one) = opt(one).parse_next(input)? {
        return Ok(Term::Type { is_one, types: vec![one_type(input)?] });
    }
    let listed = alt((keyword("in").value(true), (keyword("not"), keyword("in")).value(false)));
    let Some(is_one) = opt(listed).parse_next(input)? else {
        return Err(bad_operator(input, Fact::Type, &["=", "!=", "in", "not in"]));
    };
    if opt(sign("(")).parse_next(input)?.is_none() {
        return Err(problem(input, Problem::NoList));
    }
    let mut types = vec![one_type(input)?];
    while opt(sign(",")).parse_next(input)?.is_some() {
        types.push(one_type(input)?);
    }
    match opt(sign(")")).parse_next(input)? {
        Some(_) => Ok(Term::Type { is_one, types }),
        None => Err(problem(input, Problem::OpenList)),
    }
}

/// A type: a known word, or a text in quotes.
fn one_type(input: &mut Input<'_>) -> Parsed<KeyType> {
    blanks(input);
    let byte = input.current_token_start();
    if let Some(name) = quoted(input)? {
        return KeyType::named(name).map_err(|wrong| Failure::at(byte, wrong));
    }
    let found = found(input);
    let word = opt(word).parse_next(input)?;
    word.and_then(KeyType::known).ok_or_else(|| Failure::at(byte, Problem::UnknownType(found)))
}

fn regex(input: &mut Input<'_>) -> Parsed<Term> {
    if opt(sign("~")).parse_next(input)?.is_none() {
        return Err(bad_operator(input, Fact::Name, &["~"]));
    }
    blanks(input);
    let byte = input.current_token_start();
    let Some(text) = quoted(input)? else { return Err(problem(input, Problem::NoText)) };
    NameRegex::new(text).map(Term::Name).map_err(|wrong| Failure::at(byte, wrong))
}

/// A text in double quotes as it stands there: after a backslash, a quote does not end it. `None` if there is no quote.
fn quoted<'s>(input: &mut Input<'s>) -> Parsed<Option<&'s str>> {
    let byte = input.current_token_start();
    if opt(sign("\"")).parse_next(input)?.is_none() {
        return Ok(None);
    }
    let Some(length) = quoted_end(&input.input) else {
        return Err(Failure::at(byte, Problem::OpenText));
    };
    let text = input.next_slice(length);
    sign("\"").parse_next(input)?;
    Ok(Some(text))
}
