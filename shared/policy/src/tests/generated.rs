//! Predicates and facts for property tests.

use proptest::prelude::*;

use crate::{Comparison, Expression, Figure, KeyTtl, KeyType, NameRegex, Term};

/// The facts of a key, owned.
#[derive(Clone, Debug)]
pub(super) struct OwnedFacts {
    pub(super) name: Vec<u8>,
    pub(super) ttl: Option<KeyTtl>,
    pub(super) user_active: Option<bool>,
    pub(super) type_name: Option<String>,
    pub(super) figures: [Option<u64>; 4],
}

impl OwnedFacts {
    pub(super) fn facts(&self) -> crate::Facts<'_> {
        let [idle_ms, freq, bytes, length] = self.figures;
        let type_name = self.type_name.as_deref();
        let Self { name, ttl, user_active, .. } = self;
        let (ttl, user_active) = (*ttl, *user_active);
        crate::Facts { name, ttl, user_active, type_name, idle_ms, freq, bytes, length }
    }
}

/// Facts, each of which is often unknown, with few values, so that comparisons differ.
pub(super) fn some_facts() -> impl Strategy<Value = OwnedFacts> {
    let ttl = prop_oneof![Just(KeyTtl::None), (0..4_u64).prop_map(KeyTtl::Ms)];
    let figure = || prop::option::of(0..4_u64);
    let figures = [figure(), figure(), figure(), figure()];
    let type_name = prop::option::of(prop::sample::select(vec!["string", "hash", "ReJSON-RL"]));
    let all = ("[ab]{0,3}", prop::option::of(ttl), any::<Option<bool>>(), type_name, figures);
    all.prop_map(|(name, ttl, user_active, type_name, figures)| {
        let (name, type_name) = (name.into_bytes(), type_name.map(str::to_owned));
        OwnedFacts { name, ttl, user_active, type_name, figures }
    })
}

fn a_figure(limits: impl Strategy<Value = u64>) -> impl Strategy<Value = Term> {
    let figures = vec![Figure::Ttl, Figure::Idle, Figure::Freq, Figure::Bytes, Figure::Length];
    let comparisons = Comparison::ALL.to_vec();
    (prop::sample::select(figures), prop::sample::select(comparisons), limits)
        .prop_map(|(figure, comparison, limit)| Term::Figure { figure, comparison, limit })
}

fn some_types() -> impl Strategy<Value = Term> {
    let name = prop::sample::select(vec!["string", "list", "zset", "hash", "ReJSON-RL", "MBbloom--", "none"]);
    (any::<bool>(), prop::collection::vec(name, 1..4)).prop_map(|(is_one, names)| Term::Type {
        is_one,
        types: names.into_iter().map(|name| KeyType::named(name).unwrap()).collect(),
    })
}

fn a_regex() -> impl Strategy<Value = Term> {
    let texts = vec!["^a", "b$", "", r"\d+", r#"a\"b"#, r"\\", "[ab]{2}", "ключ", "a|b", "(?i)A"];
    prop::sample::select(texts).prop_map(|text| Term::Name(NameRegex::new(text).unwrap()))
}

/// Expressions as the parser gives them: lists have at least two parts.
pub(super) fn an_expression(
    limits: impl Strategy<Value = u64> + 'static,
) -> impl Strategy<Value = Expression> {
    let none = prop::sample::select(vec![Term::NoTtl, Term::HasTtl]);
    let user = any::<bool>().prop_map(|is_active| Term::User { is_active });
    let term = prop_oneof![1 => none, 1 => user, 5 => a_figure(limits), 1 => some_types(), 1 => a_regex()];
    term.prop_map(Expression::Term).prop_recursive(5, 24, 3, |inner| {
        let parts = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|inner| Expression::Not(Box::new(inner))),
            parts.clone().prop_map(Expression::All),
            parts.prop_map(Expression::Any),
        ]
    })
}
