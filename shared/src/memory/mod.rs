//! How much memory groups of keys take, from those keys that were measured (MEMORY USAGE): figures with bounds that hold
//! whatever the distribution of sizes is. Pure.
//!
//! A sample says how much there is at least. It never says how much there is at most: one key of a gigabyte among
//! millions of small ones is not in it, and the interval of a normal distribution around its mean does not hold then (of
//! 95 %, 46 to 80 % were seen on Pareto distributions). So there is an upper bound only where every key of a group was
//! measured, or where the memory that the servers use leaves no room for more. It is unknown otherwise.
//!
//! Two figures stay estimates all the same: MEMORY USAGE looks at five members of a value with many, and a key may change
//! while others are measured.
//!
//! Groups are opaque: whoever samples says which group a key belongs to, and under which names it is told.

mod estimate;
mod prefix_memory;
mod sampler;
mod strata;
#[cfg(test)]
mod tests;

pub use estimate::{ByteEstimate, DEVIATIONS, MemoryEstimate};
pub use prefix_memory::PrefixMemory;
pub use sampler::{SampleKind, SampleRate, Sampler, group_hash, is_drawn};
pub use strata::{GroupCounts, StratifiedSample, unseen_deviation};
