//! The namespaces of a keyspace: which templates, such as `user:{id}:profile`, the names of its keys follow, and how many
//! keys of each have no TTL, and of a sample the memory, the types and the idle times. Mined while keys are listed, in bounded memory; the states of many miners can be merged. Pure.
//!
//! A name is split at `: / | #` and at the braces of a hash tag; where it has none of these, at `. - _`. Each part that is
//! a number, a UUID, a hash, an address or the like becomes a variable. Parts that are words stay as they are, unless a
//! position has very many of them, or their continuations are alike, as with the names of tenants or queues.
//!
//! What it does not do: a variable word inside a longer part (`cache:user_alice_v2`) makes the whole part variable, and a
//! namespace that first occurs after its position became variable is counted there.

mod counts;
mod details;
mod known;
mod largest;
pub mod limits;
mod magnitudes;
mod miner;
mod namespaces;
mod recognize;
mod relief;
mod sampling;
mod segments;
mod shape;
mod simplify;
mod template;
mod tree;
mod wire_form;

pub use counts::Lifetime;
pub use details::KeyDetails;
pub use known::{KnownStructure, known_structures};
pub use largest::LargeKey;
pub use miner::Miner;
pub use namespaces::{Namespace, Namespaces};
pub use sampling::{Chosen, Sampling};
