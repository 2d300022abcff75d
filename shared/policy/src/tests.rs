//! Tests of predicates and rules.

mod evaluated;
mod generated;
mod parsed;
mod rule_sets;
mod rules;
