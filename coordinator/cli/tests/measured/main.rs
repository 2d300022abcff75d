//! Tests that measure time, or whose clients must not be late. They are in their own binary, since cargo runs one binary
//! after the other: so nothing else uses the processors. They run one at a time.
#![cfg(test)]

#[path = "../cli/mod.rs"]
mod cli;

mod allocations;
mod big_values;
mod hit_rate;
mod scale_over_nats;
mod ttl_advise;
mod ttl_experiment;
mod ttl_looks;
mod viewers;

use tokio::sync::Mutex;

/// Each test locks it for its whole duration.
static TURN: Mutex<()> = Mutex::const_new(());
