//! `keysweep ttl`: what is known of the TTLs of a cache.

mod advise;

pub use advise::advise;
