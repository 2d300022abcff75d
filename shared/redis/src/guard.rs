//! Guarded deletion: the contract of the two delete backends ([`Guard`]), and what they are given and return. `guard.lua`
//! explains why each deletion is exact; `guard/watch.rs` does the same on servers that run no scripts.

mod condition;
mod executor;
mod expected_content;
mod ledger;
mod lua;
mod policy;
mod watch;

pub use self::executor::GuardExecutor;
pub use self::expected_content::ExpectedContent;
pub use self::ledger::{drop_ledgers, read_ledgers};
pub use self::lua::LuaGuard;
pub use self::watch::WatchGuard;
use super::conn::Conn;
use super::error::RedisError;
#[cfg(doc)]
use super::error::RedisErrorKind;
use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::key::Key;
use keysweep_model::ledger::Ledger;
#[cfg(doc)]
use keysweep_model::ledger::LedgerKind;
use keysweep_model::messages::{Action, ActivityRule, Group, Lookups, ReapBatch, Reason, Rules};
use keysweep_model::outcome::Outcome;
use keysweep_policy::{Predicate, Rule};

/// A delete backend that is ready for use at one node. The suite in `shared/testkit/src/contracts/guard.rs` is the
/// contract of all implementations, at real and simulated servers:
///
/// - A candidate is checked, its outcome recorded in the ledger of its part, and the action carried out in one atomic
///   step. If the server refuses the action, the outcome is not recorded as done.
/// - A repeated call returns the recorded outcomes and changes nothing.
/// - Outside the window of the batch nothing is done, and the verdict says so.
pub trait Guard {
    /// Acts on the parts of `call`, or finalizes them, and returns the replies in their order. A part that failed has
    /// its error in its place.
    ///
    /// # Errors
    /// When the connection fails, or the whole call.
    fn call(
        &self,
        conn: &Conn,
        call: GuardCall<'_>,
    ) -> impl Future<Output = Result<GuardReplies, RedisError>> + Send;

    /// Whether all writes use the connection of the call, so that WAIT on it covers them.
    fn writes_on_caller_conn(&self) -> bool;

    /// Whether a part may have candidates in several slots: a ledger of the kind [`LedgerKind::Node`].
    fn crosses_slots(&self) -> bool;
}

/// The replies to several parts, in their order. After an error whose kind is a refusal ([`RedisErrorKind::is_refusal`]), nothing
/// of its part was done.
pub type GuardReplies = Vec<Result<GuardReply, RedisError>>;

/// The reply of a call for one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardReply {
    /// The result.
    pub verdict: GuardVerdict,
    /// Lookups in addition to those that [`lookups`] computes from the outcomes.
    pub extra_lookups: Lookups,
}

/// What a call of the guard acts on.
#[derive(Clone, Copy, Debug)]
pub struct GuardCall<'a> {
    /// The batch.
    pub window: BatchWindow,
    /// The parts.
    pub parts: &'a [Part<'a>],
}

/// Candidates of a batch that one ledger records: all of them, or those of one call of several.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The ledger.
    pub ledger: Ledger,
    /// How many candidates the ledger records.
    pub recorded: usize,
    /// How many of them come before those of this part.
    pub before: usize,
    /// Why they are candidates.
    pub reason: Reason,
    /// What to do with them.
    pub mode: GuardMode<'a>,
    /// Whether an earlier attempt may have acted on them. Its ledger may be lost: a candidate without an outcome in the
    /// ledger that does not qualify now is unconfirmed, because that attempt may have changed it.
    pub doubtful: bool,
    /// The candidates.
    pub candidates: Vec<Candidate<'a>>,
}

/// A candidate, as the guard checks it.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Its key.
    pub key: &'a Key,
    /// When it must expire, if its reason is timed, in milliseconds of the server's clock; unused otherwise.
    pub expires_at_ms: u64,
    /// Whether its user is active, for conditions that ask; `None` if that is not known.
    pub user_active: Option<bool>,
    /// Its value, if only values that were backed up, or that are unchanged, are deleted. Either all candidates of a
    /// part have one, or none.
    pub expected: Option<ExpectedContent>,
}

impl<'a> Candidate<'a> {
    /// The candidate number `index` of `group`. Its value is not compared, and its user is not known.
    #[must_use]
    pub fn of(group: &'a Group, index: usize) -> Self {
        let expires_at_ms = group.expires_at_ms.get(index).copied().unwrap_or_default();
        Self { key: &group.keys[index], expires_at_ms, user_active: None, expected: None }
    }
}

impl<'a> Part<'a> {
    /// The condition without which no key is changed.
    fn condition(&self) -> Option<&'a Predicate> {
        if let GuardMode::Act(act) = self.mode { act.condition } else { None }
    }

    /// Whether the guard checks the field TTLs of hashes.
    fn asks_fields(&self) -> bool {
        matches!(self.mode, GuardMode::Act(act) if act.fields) && self.reason == Reason::Stale
    }

    /// Whether values are compared.
    fn compares(&self) -> bool {
        self.mode.acts() && self.candidates.first().is_some_and(|candidate| candidate.expected.is_some())
    }
}

/// The action for candidates that still qualify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act<'a> {
    /// The action for stale candidates, and for those that a rule takes although they expire. Candidates of inactive users
    /// are always deleted.
    pub stale: Action,
    /// What TTLs that are too long are shortened to, in milliseconds; `None` if they are not.
    pub clamp_ms: Option<u64>,
    /// The condition of the rule of the candidates. Where it is not true, nothing is done.
    pub condition: Option<&'a Predicate>,
    /// Keys of inactive users that expire within this many milliseconds are left to expire.
    pub near_expiry_ms: u64,
    /// Idle time in milliseconds from which a key counts as inactive, if idle time is the criterion.
    pub idle_ms: Option<u64>,
    /// Whether the guard checks the field TTLs of stale hashes: true if the server has hashes with field TTLs.
    pub fields: bool,
}

impl<'a> Act<'a> {
    /// Only the action for stale candidates.
    #[must_use]
    pub const fn plain(stale: Action) -> Self {
        Self { stale, clamp_ms: None, condition: None, near_expiry_ms: 0, idle_ms: None, fields: false }
    }

    /// The action that the run requests for its batches; those of a rule, if `rule` is given.
    #[must_use]
    pub fn of(rules: &Rules, rule: Option<&'a Rule>) -> Self {
        if let Some(rule) = rule {
            let (clamp_ms, condition) = (rule.max_ttl_ms(), rule.condition());
            return Self { clamp_ms, condition, ..Self::plain(rule.action()) };
        }
        let inactive = rules.inactive.as_ref();
        let idle = inactive.filter(|rule| rule.activity == ActivityRule::Idle);
        Self {
            near_expiry_ms: inactive.map_or(0, |rule| rule.near_expiry_ms),
            idle_ms: idle.map(|rule| rule.threshold_ms),
            ..Self::plain(rules.action)
        }
    }
}

/// What a call does with the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardMode<'a> {
    /// Carry out the action on those that still qualify.
    Act(Act<'a>),
    /// Touch nothing; record this outcome for all, unless another one is recorded.
    Finalize(Outcome),
    /// Touch nothing; record that they are left to calls with ledgers of their own slots, unless an outcome is recorded.
    Elsewhere,
}

impl GuardMode<'_> {
    /// Whether candidates with `reason` may be deleted.
    #[must_use]
    pub fn deletes(self, reason: Reason) -> bool {
        matches!(self, Self::Act(act) if reason.is_deleted(act.stale))
    }

    /// Whether keys are read, and changed.
    #[must_use]
    pub fn acts(self) -> bool {
        matches!(self, Self::Act(_))
    }
}

/// The result of a call for one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardVerdict {
    /// One outcome per candidate.
    Outcomes(Vec<Outcome>),
    /// The ledger has no outcome for some candidates: a node ledger leaves those to the ledgers of their slots that could
    /// not be reached with it.
    Partial(Vec<Option<Outcome>>),
    /// The grace is not over: this many milliseconds remain. Nothing was done.
    TooEarly(u64),
    /// The batch is too old to act. Nothing was done by this call.
    TooLate,
    /// A call died half-way on the server: its effect is not known.
    Incomplete,
}

/// A batch's identity and its time window, in the server's own time.
#[derive(Clone, Copy, Debug)]
pub struct BatchWindow {
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// See [`keysweep_model::messages::ReapBatch::not_before_ms`].
    pub not_before_ms: u64,
    /// See [`keysweep_model::messages::ReapBatch::not_after_ms`].
    pub not_after_ms: u64,
}

impl From<&ReapBatch> for BatchWindow {
    fn from(batch: &ReapBatch) -> Self {
        Self {
            run: batch.run,
            batch: batch.batch,
            not_before_ms: batch.not_before_ms,
            not_after_ms: batch.not_after_ms,
        }
    }
}

/// The lookups that the script made for these outcomes of candidates with `reason`. `idle`: idle times decide which
/// keys are inactive. `saved`: for each candidate that was backed up, whether it is a string, which is read by GET
/// instead of DUMP. A call that finds its ledger has made as many lookups in vain; they are not counted.
#[must_use]
pub fn lookups(reason: Reason, idle: bool, saved: Option<&[bool]>, outcomes: &[Outcome]) -> Lookups {
    let found = |outcome: &Outcome| outcome.is_changed() || *outcome == Outcome::Spared;
    let count = outcomes.iter().filter(|outcome| found(outcome)).count() as u64;
    let texts = saved.unwrap_or_default().iter().zip(outcomes);
    let reads = texts.filter(|(text, outcome)| **text && found(outcome)).count() as u64;
    // Each key is queried for its expiry, and maybe for its idle time and its value. Lookups of fields are reported
    // separately.
    let hits = count * (1 + u64::from(reason == Reason::Inactive && idle) + u64::from(saved.is_some()));
    let hits = hits + outcomes.iter().filter(|outcome| **outcome == Outcome::FieldTtl).count() as u64;
    let misses = outcomes.iter().filter(|outcome| **outcome == Outcome::Vanished).count() as u64;
    Lookups { hits, misses, reads }
}
