//! Tests that measure time. They have a binary of their own, since cargo runs one binary after the other: so nothing
//! that fills the processors runs beside them. Among themselves they take turns.
#![cfg(test)]

#[path = "../kit/mod.rs"]
mod kit;

mod allocations;
mod big_values;
mod hit_rate;
mod scale_over_nats;

use tokio::sync::Mutex;

/// Each of the tests holds it from its beginning to its end.
static TURN: Mutex<()> = Mutex::const_new(());
