//! The state machine of a run, in a world without servers.

mod replay;
mod rules;
mod world;
