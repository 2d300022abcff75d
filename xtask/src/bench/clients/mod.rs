//! Clients that the bench starts as separate processes, through hidden commands of xtask, so that they are measured
//! like all other contenders. They do not use keysweep's stages.

pub(crate) mod floor;
pub(crate) mod foreground;
mod raw;
pub(crate) mod single_cursor;
