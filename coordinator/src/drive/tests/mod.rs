//! The state machine of a run, in a world without servers.

mod map;
mod replay;
mod rules;
mod world;
