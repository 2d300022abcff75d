//! Conditions of rules, as the guard script checks them again. Servers have no regular expressions, and do not know users:
//! what depends on the name of a key is decided here, because a key under another name is another key.

use keysweep_policy::{Expression, KeyType, NameRegex, Predicate, Term};

use super::Candidate;

/// A condition as the arguments of the script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConditionProgram {
    /// What it says in prefix notation, one word for each list, negation and term.
    pub(super) words: String,
    /// For each candidate one character per term about its name or its user: 1 if it is true, 0 if it is not, ? if that is
    /// unknown.
    pub(super) matches: Vec<u8>,
}

impl ConditionProgram {
    /// The program of `condition` for these candidates.
    pub(super) fn of(condition: &Predicate, candidates: &[Candidate<'_>]) -> Self {
        let (mut words, mut by_name) = (Vec::new(), Vec::new());
        write(condition.cheap_first(), &mut words, &mut by_name);
        let matches =
            candidates.iter().flat_map(|candidate| by_name.iter().map(move |term| term.digit(candidate)));
        Self { words: words.join(" "), matches: matches.collect() }
    }
}

/// A term that is decided here.
enum DecidedTerm<'a> {
    Name(&'a NameRegex),
    User { is_active: bool },
}

impl DecidedTerm<'_> {
    fn digit(&self, candidate: &Candidate<'_>) -> u8 {
        let truth = match self {
            Self::Name(regex) => Some(regex.matches(candidate.key.as_bytes())),
            Self::User { is_active } => candidate.user_active.map(|active| active == *is_active),
        };
        match truth {
            Some(true) => b'1',
            Some(false) => b'0',
            None => b'?',
        }
    }
}

fn write<'a>(expression: &'a Expression, words: &mut Vec<String>, by_name: &mut Vec<DecidedTerm<'a>>) {
    match expression {
        Expression::Term(term) => words.push(word(term, by_name)),
        Expression::Not(inner) => {
            words.push("!".to_owned());
            write(inner, words, by_name);
        }
        Expression::All(parts) | Expression::Any(parts) => {
            let sign = if matches!(expression, Expression::All(_)) { '&' } else { '|' };
            words.push(format!("{sign}{}", parts.len()));
            parts.iter().for_each(|part| write(part, words, by_name));
        }
    }
}

/// A term: the fact, a sign, and what it is compared with. Names of types have letters, digits, `-` and `_` only. Terms that
/// are decided here are numbered from 1.
fn word<'a>(term: &'a Term, by_name: &mut Vec<DecidedTerm<'a>>) -> String {
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
        Term::Name(regex) => decided(DecidedTerm::Name(regex), by_name),
        Term::User { is_active } => decided(DecidedTerm::User { is_active: *is_active }, by_name),
    }
}

fn decided<'a>(term: DecidedTerm<'a>, by_name: &mut Vec<DecidedTerm<'a>>) -> String {
    by_name.push(term);
    format!("key~{}", by_name.len())
}

#[cfg(test)]
mod tests {
    use keysweep_model::key::Key;

    use super::*;

    #[test]
    fn programs_are_in_prefix_notation_with_cheap_terms_first() {
        let check = |text: &str, words: &str, matches: &str| {
            let condition: Predicate = text.parse().unwrap();
            let names = [("tmp:1", Some(false)), ("x", None)]
                .map(|(name, active)| (Key::new(name.as_bytes()), active));
            let candidates = names.each_ref().map(|(key, user_active)| Candidate {
                key,
                expires_at_ms: 0,
                user_active: *user_active,
                expected: None,
            });
            let program = ConditionProgram::of(&condition, &candidates);
            assert_eq!((program.words.as_str(), &*program.matches), (words, matches.as_bytes()), "{text}");
        };
        check("ttl = none", "ttl=none", "");
        check(
            "bytes < 1KiB and not (idle > 7d or type in (string, \"ReJSON-RL\")) and ttl != none",
            "&3 ttl!=none ! |2 type=string,ReJSON-RL idle>604800000 bytes<1024",
            "",
        );
        check("key ~ \"^tmp\" or type != hash and key ~ \"1$\"", "|2 key~1 &2 key~2 type!=hash", "1100");
        check(
            "user = inactive and not (user = active or key ~ \"x\")",
            "&2 key~1 ! |2 key~2 key~3",
            "100?1?",
        );
    }
}
