//! Whole runs in one process: all stages in this one, over a queue and a store in memory.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests write the files that they try out")]

use std::process::Command;

mod aggressive;
mod altered_batches;
mod auto_schedule;
mod backup;
mod calendar;
mod changed_keys;
mod databases;
mod exact;
mod failover;
mod fields;
mod foreign;
mod forged;
mod guards;
mod hostile_peers;
mod id_prefixes;
mod idle_times;
mod int64_limits;
mod lock;
mod memory_growth;
mod network;
mod node_ledgers;
mod output_limit;
mod pacing;
mod panics;
mod progress;
mod random_faults;
mod recorded;
mod redelivery;
mod replicas;
mod reshard;
mod resize;
mod rule_users;
mod rules;
mod sentinel;
mod skipping;
mod slow_answers;
mod slow_nodes;
mod statistics;
mod swapdb;
mod telemetry;
mod ttl_looks;
mod unserved_slots;
mod verify;
mod versions;
mod without_scripts;

/// Runs an ignored test of this binary in a process of its own: it sets the clock, which is that of the whole process.
fn in_own_process(test: &str) {
    let mut process = Command::new(std::env::current_exe().unwrap());
    let ended = process.args(["--ignored", "--exact", test]).output().unwrap();
    let said = [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}
