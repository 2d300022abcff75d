//! The conditions of rules, checked between the two writes of a transaction. Watched keys may be queried further: if one
//! is written meanwhile, the second write is rejected. That a key is accessed, its memory grows by itself, or its idle time
//! passes a limit is no write.

use std::collections::BTreeMap;

use keysweep_model::outcome::Outcome;
use keysweep_policy::{Facts, KeyTtl, Truth};

use super::super::policy::{GuardAction, KeyReading};
use super::WatchWork;
use crate::error::RedisError;
use crate::key_facts::{self, FactQuery, KeyFacts, Presence};
use crate::limits::FIELDS_KEYS_AT_ONCE;

impl WatchWork<'_> {
    /// Completes the `readings`, made at `now_ms`, of candidates that would be changed if their condition is true.
    pub(super) async fn read_conditions(
        &mut self,
        readings: &mut BTreeMap<usize, KeyReading>,
        now_ms: u64,
    ) -> Result<(), RedisError> {
        let (part, order) = (self.part, self.order);
        let Some(condition) = part.condition() else { return Ok(()) };
        let would_change = |(index, reading): (&usize, &KeyReading)| {
            let letter = order.outcome_code(part.candidates[*index].expires_at_ms, *reading, now_ms);
            Outcome::from_code(letter).is_some_and(Outcome::is_changed).then_some(*index)
        };
        let due: Vec<usize> = readings.iter().filter_map(would_change).collect();
        for some in due.chunks(FIELDS_KEYS_AT_ONCE) {
            let query = |index: &usize| FactQuery {
                key: part.candidates[*index].key.as_bytes(),
                wanted: condition.facts(),
                known: KeyFacts::default(),
                presence: Presence::There,
            };
            let mut queries: Vec<FactQuery<'_>> = some.iter().map(query).collect();
            let lookups = key_facts::ask(self.conn, &mut queries).await?;
            self.made += lookups;
            for (index, query) in some.iter().zip(&queries) {
                let Some(reading) = readings.get_mut(index) else { continue };
                let facts = query.known.with(query.key, Some(ttl(order, reading.expiry, now_ms)));
                let facts = Facts { user_active: part.candidates[*index].user_active, ..facts };
                reading.qualifies = condition.truth(&facts) == Truth::True;
            }
        }
        Ok(())
    }
}

/// The TTL of a key from what the lookup of `action` returned.
fn ttl(action: GuardAction, expiry: i64, now_ms: u64) -> KeyTtl {
    match (action, u64::try_from(expiry)) {
        (_, Err(_)) => KeyTtl::None,
        (GuardAction::Inactive { .. }, Ok(at_ms)) => KeyTtl::Ms(at_ms.saturating_sub(now_ms)),
        (_, Ok(left_ms)) => KeyTtl::Ms(left_ms),
    }
}
