//! Conditions of rules, as the guard script checks them again. Regular expressions, which servers do not have, are
//! matched here: a key under another name is another key.

use keysweep_policy::{Expression, KeyType, NameRegex, Predicate, Term};

/// A condition as the arguments of the script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConditionProgram {
    /// What it says in prefix notation, one word for each list, negation and term.
    pub(super) words: String,
    /// For each candidate one digit per regular expression of the condition: 1 if it matches.
    pub(super) matches: Vec<u8>,
}

impl ConditionProgram {
    /// The program of `condition` for the candidates with these names.
    pub(super) fn of<'a>(condition: &'a Predicate, names: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut words, mut regexes) = (Vec::new(), Vec::new());
        write(condition.cheap_first(), &mut words, &mut regexes);
        let digit = |matches: bool| if matches { b'1' } else { b'0' };
        let of_name = |name: &'a [u8]| regexes.iter().map(move |regex| digit(regex.matches(name)));
        let matches = names.flat_map(|name| of_name(name).collect::<Vec<u8>>()).collect();
        Self { words: words.join(" "), matches }
    }
}

fn write<'a>(expression: &'a Expression, words: &mut Vec<String>, regexes: &mut Vec<&'a NameRegex>) {
    match expression {
        Expression::Term(term) => words.push(word(term, regexes)),
        Expression::Not(inner) => {
            words.push("!".to_owned());
            write(inner, words, regexes);
        }
        Expression::All(parts) | Expression::Any(parts) => {
            let sign = if matches!(expression, Expression::All(_)) { '&' } else { '|' };
            words.push(format!("{sign}{}", parts.len()));
            parts.iter().for_each(|part| write(part, words, regexes));
        }
    }
}

/// A term: the fact, a sign, and what it is compared with. Names of types have letters, digits, `-` and `_` only. Regular
/// expressions are numbered from 1.
fn word<'a>(term: &'a Term, regexes: &mut Vec<&'a NameRegex>) -> String {
    match term {
        Term::NoTtl => "ttl=none".to_owned(),
        Term::HasTtl => "ttl!=none".to_owned(),
        Term::Figure { figure, comparison, limit } => {
            format!("{}{}{limit}", figure.fact().word(), comparison.sign())
        }
        Term::Type { is_one, types } => {
            let names: Vec<&str> = types.iter().map(KeyType::name).collect();
            format!("type{}{}", if *is_one { "=" } else { "!=" }, names.join(","))
        }
        Term::Name(regex) => {
            regexes.push(regex);
            format!("key~{}", regexes.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_in_prefix_notation_with_cheap_terms_first() {
        let check = |text: &str, words: &str, matches: &str| {
            let condition: Predicate = text.parse().unwrap();
            let names = [b"tmp:1".as_slice(), b"x"];
            let program = ConditionProgram::of(&condition, names.into_iter());
            assert_eq!((program.words.as_str(), &*program.matches), (words, matches.as_bytes()), "{text}");
        };
        check("ttl = none", "ttl=none", "");
        check(
            "bytes < 1KiB and not (idle > 7d or type in (string, \"ReJSON-RL\")) and ttl != none",
            "&3 ttl!=none ! |2 type=string,ReJSON-RL idle>604800000 bytes<1024",
            "",
        );
        check("key ~ \"^tmp\" or type != hash and key ~ \"1$\"", "|2 key~1 &2 key~2 type!=hash", "1100");
    }
}
