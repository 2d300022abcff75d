//! An experiment with the TTL of a cache: half of the users get another TTL, the arms are swapped each period, and the
//! misses of both arms are compared until the difference is known. Which user is in which arm, how long it takes, the
//! estimate with an interval that holds at every look, the checks whether the experiment is valid, guards, and the
//! verdict. Pure: no I/O and no clock.
//!
//! The method, its assumptions and how often its claims hold: `docs/design/ttl-experiments.md`.

mod assignment;
mod decide;
mod effect;
mod guards;
pub mod limits;
mod observed;
mod plan;
mod sequence;
mod users;

pub use assignment::{Arm, Assignment, bucket_of};
pub use decide::{Decision, Design, Invalid, Misses, Standing, standing};
pub use effect::{BucketFills, Effect, Group, crossover, overdispersion, parallel};
pub use guards::{Guard, Health, tripped};
pub use observed::{Look, LookFault, Observed, PeriodFills};
pub use plan::{Plan, PlanError, Question, plan};
pub use sequence::ConfidenceSequence;
pub use users::{SeenUsers, ln_bayes_factor};
