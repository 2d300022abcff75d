//! Limits that are not settings: name, unit, and the reason for the size.

/// Nodes that are queried concurrently.
pub const NODES_AT_ONCE: usize = 32;
