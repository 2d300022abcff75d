//! Truth, against a naive model.

use proptest::prelude::*;

use super::generated::{an_expression, some_facts};
use crate::{
    Comparison, Expression, Fact, FactSet, Facts, Figure, KeyTtl, Predicate, Recheck, Term, Truth,
    unanswerable,
};

/// The model: nothing is ordered or cut short, and what is unknown is collected from every part that is.
fn naive(expression: &Expression, facts: &Facts<'_>) -> (Option<bool>, Vec<Fact>) {
    let of_all = |parts: &[Expression]| -> Vec<(Option<bool>, Vec<Fact>)> {
        parts.iter().rev().map(|part| naive(part, facts)).collect()
    };
    let combined = |parts: Vec<(Option<bool>, Vec<Fact>)>, decisive: bool| {
        let truths: Vec<Option<bool>> = parts.iter().map(|(truth, _)| *truth).collect();
        match (truths.contains(&Some(decisive)), truths.contains(&None)) {
            (true, _) => (Some(decisive), Vec::new()),
            (false, true) => (None, parts.into_iter().flat_map(|(_, unknown)| unknown).collect()),
            (false, false) => (Some(!decisive), Vec::new()),
        }
    };
    match expression {
        Expression::Term(term) => match naive_term(term, facts) {
            Some(truth) => (Some(truth), Vec::new()),
            None => (None, vec![term.fact()]),
        },
        Expression::Not(inner) => {
            let (truth, unknown) = naive(inner, facts);
            (truth.map(|truth| !truth), unknown)
        }
        Expression::All(parts) => combined(of_all(parts), false),
        Expression::Any(parts) => combined(of_all(parts), true),
    }
}

fn naive_term(term: &Term, facts: &Facts<'_>) -> Option<bool> {
    let (figure, comparison, limit) = match term {
        Term::NoTtl => return facts.ttl.map(|ttl| matches!(ttl, KeyTtl::None)),
        Term::HasTtl => return facts.ttl.map(|ttl| matches!(ttl, KeyTtl::Ms(_))),
        Term::User { is_active } => return facts.user_active.map(|active| !(active ^ is_active)),
        Term::Type { is_one, types } => {
            let name = facts.type_name?;
            let listed = types.iter().filter(|known| known.name() == name).count() > 0;
            return Some(if *is_one { listed } else { !listed });
        }
        Term::Name(regex) => return Some(regex.matches(facts.name)),
        Term::Figure { figure, comparison, limit } => (figure, comparison, limit),
    };
    let value = match figure {
        Figure::Ttl => match facts.ttl? {
            KeyTtl::None => return Some(*comparison == Comparison::Unequal),
            KeyTtl::Ms(ms) => ms,
        },
        Figure::Idle => facts.idle_ms?,
        Figure::Freq => facts.freq?,
        Figure::Bytes => facts.bytes?,
        Figure::Length => facts.length?,
    };
    let order = value.cmp(limit);
    Some(match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::AtMost => order.is_le(),
        Comparison::Equal => order.is_eq(),
        Comparison::Unequal => order.is_ne(),
        Comparison::AtLeast => order.is_ge(),
        Comparison::More => order.is_gt(),
    })
}

/// Facts of a key of which everything is known.
fn known() -> Facts<'static> {
    Facts {
        name: b"user:7",
        ttl: Some(KeyTtl::Ms(60_000)),
        user_active: Some(false),
        type_name: Some("hash"),
        idle_ms: Some(5_000),
        freq: Some(3),
        bytes: Some(2_048),
        length: Some(10),
    }
}

#[track_caller]
fn check(text: &str, facts: &Facts<'_>, expected: Truth) {
    let predicate: Predicate = text.parse().unwrap();
    assert_eq!(predicate.truth(facts), expected, "{text}");
}

#[test]
fn each_fact_is_compared_in_its_unit() {
    for text in [
        "ttl = 1m",
        "ttl != none",
        "idle >= 5s and not idle > 5s",
        "type in (string, hash)",
        "type != string",
        "user = inactive",
        "user != active",
        "freq < 4",
        "bytes = 2KiB",
        "length <= 10 and length != 9",
        r#"key ~ "^user:\d+$""#,
    ] {
        check(text, &known(), Truth::True);
        check(&format!("not ({text})"), &known(), Truth::False);
    }
}

#[test]
fn a_key_without_a_ttl_has_no_figure_to_compare() {
    let facts = Facts { ttl: Some(KeyTtl::None), ..known() };
    for (text, expected) in [
        ("ttl = none", true),
        ("ttl > 1s", false),
        ("ttl < 1s", false),
        ("ttl = 0s", false),
        ("ttl != 1s", true),
    ] {
        check(text, &facts, Truth::from(expected));
    }
}

#[test]
fn what_is_unknown_is_never_true_and_is_named() {
    let facts = Facts { ttl: Some(KeyTtl::None), ..Facts::of_name(b"tmp:1") };
    let unknown = |facts: &[Fact]| Truth::Unknown(facts.iter().copied().collect());
    check("idle > 7d", &facts, unknown(&[Fact::Idle]));
    check("not idle > 7d", &facts, unknown(&[Fact::Idle]));
    check("bytes > 1 and ttl = none and idle > 7d", &facts, unknown(&[Fact::Idle, Fact::Bytes]));
    check("idle > 7d and ttl != none", &facts, Truth::False);
    check("idle > 7d or ttl = none", &facts, Truth::True);
    check("user = inactive", &facts, unknown(&[Fact::User]));
    check("not user = active and ttl != none", &facts, Truth::False);
    check("length > 5", &Facts { type_name: Some("string"), ..facts }, unknown(&[Fact::Length]));
}

#[test]
fn facts_and_rechecks_of_terms_are_known() {
    let text = r#"ttl = none and (idle > 7d or key ~ "^tmp:") and type = hash and user = inactive"#;
    let predicate: Predicate = text.parse().unwrap();
    assert_eq!(
        predicate.facts(),
        FactSet::from_iter([Fact::Name, Fact::Ttl, Fact::User, Fact::Type, Fact::Idle])
    );
    let terms: Vec<_> = predicate.terms().iter().map(|term| (term.term.to_string(), term.recheck)).collect();
    let expected = [
        ("ttl = none", Recheck::Again),
        ("idle > 7d", Recheck::Again),
        (r#"key ~ "^tmp:""#, Recheck::Fixed),
        ("type = hash", Recheck::Again),
        ("user = inactive", Recheck::AsPlanned),
    ];
    assert_eq!(terms, expected.map(|(term, recheck)| (term.to_owned(), recheck)));
}

#[test]
fn servers_that_keep_no_such_fact_are_known_by_their_policy() {
    let needed = |text: &str| text.parse::<Predicate>().unwrap().facts();
    let check = |text: &str, policy: &str, expected: Option<Fact>| {
        let found = unanswerable(needed(text), policy);
        assert_eq!(found.map(|found| found.fact), expected, "{text} under {policy}");
    };
    check("idle > 7d", "allkeys-lfu", Some(Fact::Idle));
    check("idle > 7d", "volatile-lfu", Some(Fact::Idle));
    check("idle > 7d", "noeviction", None);
    check("freq < 2", "allkeys-lfu", None);
    check("freq < 2", "allkeys-lru", Some(Fact::Freq));
    check("freq < 2", "noeviction", Some(Fact::Freq));
    check("ttl = none and bytes > 1", "allkeys-lfu", None);
    let text = unanswerable(needed("idle > 7d"), "allkeys-lfu").unwrap().to_string();
    assert_eq!(
        text,
        "a server cannot tell `idle`: its maxmemory-policy is `allkeys-lfu`, under which it counts accesses instead of \
         idle times; use `freq`, or leave `idle` out"
    );
}

proptest! {
    #[test]
    fn the_truth_is_that_of_the_model(expression in an_expression(0..4_u64), facts in some_facts()) {
        let predicate: Predicate = expression.to_string().parse().unwrap();
        let expected = match naive(&expression, &facts.facts()) {
            (Some(truth), _) => Truth::from(truth),
            (None, unknown) => Truth::Unknown(unknown.into_iter().collect()),
        };
        prop_assert_eq!(predicate.truth(&facts.facts()), expected);
    }

    #[test]
    fn what_becomes_known_changes_no_answer(
        expression in an_expression(0..4_u64), less in some_facts(), more in some_facts()
    ) {
        let predicate: Predicate = expression.to_string().parse().unwrap();
        let (less, more) = (less.facts(), more.facts());
        let both = Facts {
            name: less.name,
            ttl: less.ttl.or(more.ttl),
            user_active: less.user_active.or(more.user_active),
            type_name: less.type_name.or(more.type_name),
            idle_ms: less.idle_ms.or(more.idle_ms),
            freq: less.freq.or(more.freq),
            bytes: less.bytes.or(more.bytes),
            length: less.length.or(more.length),
        };
        match predicate.truth(&less) {
            Truth::Unknown(unknown) => prop_assert_eq!(unknown.and(predicate.facts()), predicate.facts()),
            truth => prop_assert_eq!(predicate.truth(&both), truth),
        }
    }
}
