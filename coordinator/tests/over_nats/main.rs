//! Whole runs over NATS, with stages as tasks of this process, so that each can be stopped at any failpoint.
#![cfg(test)]

mod aggressive;
mod alerts;
mod attempts;
mod backup;
mod cancel;
mod faults;
mod notices;
mod outage;
mod pacing;
mod progress;
mod redelivery;
mod rules;
mod serve;
mod takeover;
mod whole;
