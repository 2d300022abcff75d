//! The reaper stage: carries out what is to be done with candidates, after checking again, in the same atomic
//! step, that they still qualify, and records what became of each. The only stage that writes to Redis.

mod acting;
mod allowed;
mod at_node;
mod chunks;
mod clock;
mod freed;
mod paced;
mod receipt;
mod run;
mod saving;
mod seals;
mod unacted;

pub use run::Reaper;
