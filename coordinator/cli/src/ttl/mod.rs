//! `keysweep ttl`: what is known of the TTLs of a cache.

pub mod advice_page;
mod advise;

pub use advise::advise;
