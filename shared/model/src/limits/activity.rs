//! Limits of the detection of active users and their ids.

/// Active ids that are searched for a common prefix, and sampled keys for which a template is suggested.
pub const SAMPLED_IDS: usize = 1_000;

/// Candidate ids per key whose prefixes are examined.
pub const ID_READINGS: usize = 8;

/// The longest active id that is normalized, in bytes. Ids in keys are far shorter, so a longer one matches no key;
/// four times as much, because an id may be percent-encoded.
pub const MEMBER_BYTES_MAX: usize = 4_096;

/// Users that a scan task distinguishes until it finds an active one: 0.5 MiB of hashes.
pub const TASK_USERS_MAX: usize = 65_536;

/// A scan task that finds no active user withholds its keys of inactive users if, by the plan's sample, the
/// probability of finding none was below this. One in a thousand such tasks withholds them without need.
pub const HELD_BACK_CHANCE: f64 = 0.001;
