//! What another TTL would do to a cache: hit rate, misses, keys and memory for a few TTLs, with intervals, from a sample
//! of live keys and the measured hit rate. Where the model does not fit, the answer is a refusal with its reason instead
//! of numbers. Pure: no I/O and no clock; the same input and seed give the same advice.
//!
//! The model, its assumptions and how well its intervals hold: `docs/design/ttl-advice.md`.

mod advise;
mod curve;
mod diagnose;
mod fit;
mod lifetime;
pub mod limits;
mod mixture;
mod process;
mod recommend;
mod refusal;
mod rows;
mod sample;
mod upper_end;

pub use advise::{Advice, advise};
pub use curve::{Curve, CurvePoint, Estimate, Method};
pub use diagnose::several_ttls;
pub use lifetime::EarlyEnds;
pub use recommend::{Reason, Recommendation};
pub use refusal::Refusal;
pub use sample::{CountedFor, FollowUp, Idle, Observation, Removals, SampledKey, Traffic};
pub use upper_end::upper_end;
