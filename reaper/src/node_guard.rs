//! The calls of the guard for the candidates of a batch at one node.

use keysweep_model::outcome::Outcome;
use keysweep_redis::RedisError;
use keysweep_redis::guard::{
    BatchWindow, Candidate, Guard, GuardCall, GuardMode, GuardReplies, GuardVerdict, Part,
};
use keysweep_runtime::activity::Activity;

use crate::fingerprints::Fingerprints;
use crate::node_session::NodeSession;
use crate::work::{Place, Work};

/// The guard of one batch at one node.
pub(crate) struct NodeGuard<'a> {
    pub(crate) session: NodeSession,
    pub(crate) window: BatchWindow,
    pub(crate) mode: GuardMode<'a>,
    /// See [`crate::attempt::BatchContext::activity`].
    pub(crate) activity: Option<&'a Activity>,
}

/// Whether all these calls were refused before they did anything.
pub(crate) fn are_refused(replies: &GuardReplies) -> bool {
    replies.iter().all(|reply| match reply {
        Ok(reply) => matches!(reply.verdict, GuardVerdict::TooEarly(_)),
        Err(fault) => fault.kind.is_refusal(),
    })
}

impl<'g> NodeGuard<'g> {
    /// Sends `calls` in one write. The contents of candidates that have `fingerprints` are compared.
    pub(crate) async fn call(
        &self,
        calls: &[Work<'_>],
        fingerprints: Option<&Fingerprints>,
        doubtful: bool,
    ) -> Result<GuardReplies, RedisError> {
        let part = |work| self.part(work, fingerprints, doubtful);
        let parts: Vec<Part<'_>> = calls.iter().map(part).collect();
        let call = GuardCall { window: self.window, parts: &parts };
        self.session.executor.call(&self.session.conn, call).await
    }

    fn part<'a>(&self, work: &Work<'a>, fingerprints: Option<&Fingerprints>, doubtful: bool) -> Part<'a>
    where
        'g: 'a,
    {
        Part {
            ledger: work.ledger,
            recorded: work.recorded,
            before: work.before,
            reason: work.reason,
            mode: self.mode_of(work, doubtful),
            doubtful,
            candidates: work.places.iter().map(|place| self.candidate(*place, fingerprints)).collect(),
        }
    }

    fn mode_of(&self, work: &Work<'_>, doubtful: bool) -> GuardMode<'g> {
        match self.mode {
            GuardMode::Act(_) if !work.here => GuardMode::Elsewhere,
            // An earlier attempt may have acted on them.
            GuardMode::Finalize(_) if doubtful => GuardMode::Finalize(Outcome::Unconfirmed),
            mode => mode,
        }
    }

    fn candidate<'a>(&self, place: Place<'a>, fingerprints: Option<&Fingerprints>) -> Candidate<'a> {
        let expected = fingerprints.and_then(|known| known.expected(place.id())).cloned();
        let user_active = self.activity.and_then(|activity| activity.user_active(place.key().as_bytes()));
        Candidate { expected, user_active, ..Candidate::of(place.of, place.index) }
    }
}
