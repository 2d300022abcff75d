//! Limits of what is learned about users: who is active, and how their ids are written.

/// Active ids whose common prefix is looked for, and keys of a sample that a template is suggested for.
pub const SAMPLED_IDS: usize = 1_000;

/// Readings of the id in one key of which the prefixes are looked at.
pub const ID_READINGS: usize = 8;

/// Bytes of an active id up to which its normal form is made. Ids in keys are far shorter, so a longer one is nobody's;
/// four times as much, because an id may be percent-encoded.
pub const MEMBER_BYTES_MAX: usize = 4_096;

/// Users that a scan task tells apart until it meets an active one: 0.5 MiB of hashes.
pub const TASK_USERS_MAX: usize = 65_536;

/// A scan task that meets no active user holds its keys of inactive ones back if, by the plan's sample, the chance of
/// meeting none was smaller than this: then one in a thousand such tasks is held back without need.
pub const HELD_BACK_CHANCE: f64 = 0.001;
