//! Whole runs in one process: all stages in this one, over a queue and a store in memory.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests write the files that they try out")]

mod aggressive;
mod backup;
mod copies;
mod databases;
mod exact;
mod failover;
mod fields;
mod foreign;
mod forged;
mod gap;
mod guards;
mod hostile_peers;
mod idle_times;
mod lock;
mod network;
mod numbers;
mod output_limit;
mod pacing;
mod progress;
mod replicas;
mod reshard;
mod resize;
mod sentinel;
mod skipping;
mod slow_answers;
mod slow_nodes;
mod spelling;
mod statistics;
mod swapped;
mod telemetry;
mod twice;
mod unrest;
mod unserved;
mod verify;
mod versions;
mod without_scripts;
