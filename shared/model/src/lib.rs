//! What all parts of keysweep share: ids, keys, slots, patterns, messages between stages, results, statistics and their
//! encodings. No I/O.

pub mod address;
pub mod address_map;
pub mod counters;
pub mod duration;
mod exactness;
pub mod excerpt;
pub mod glob;
pub mod ids;
pub mod invariants;
pub mod key;
pub mod key_template;
pub mod ledger;
pub mod limits;
pub mod log_pace;
pub mod memory;
pub mod messages;
pub mod metrics;
pub mod outcome;
pub mod prefix;
pub mod printable;
pub mod range;
pub mod redact;
pub mod result;
pub mod scan_end;
pub mod secret;
pub mod selection;
pub mod sentinel_url;
pub mod size;
pub mod sketch;
pub mod slot;
pub mod time;
pub mod trace;
pub mod ttl_advice;
pub mod wire;
pub mod words;
