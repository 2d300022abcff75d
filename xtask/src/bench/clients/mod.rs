//! Clients that the bench starts as processes of its own, through hidden commands of xtask, so that what they
//! use is measured as everybody else's is. None of them knows anything of keysweep's stages.

pub(crate) mod floor;
pub(crate) mod foreground;
mod raw;
pub(crate) mod single_cursor;
