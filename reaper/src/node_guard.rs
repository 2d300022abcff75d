//! The calls of the guard for the groups of a batch at one node.

use std::collections::BTreeMap;

use keysweep_model::messages::Group;
use keysweep_redis::RedisError;
use keysweep_redis::guard::{BatchWindow, Guard, GuardCall, GuardMode, GuardReplies, GuardReply, Part};

use crate::fingerprints::{Fingerprints, merged};
use crate::node_session::NodeSession;

/// The guard of one batch at one node.
pub(crate) struct NodeGuard {
    pub(crate) session: NodeSession,
    pub(crate) window: BatchWindow,
    pub(crate) mode: GuardMode,
}

impl NodeGuard {
    /// Acts on `groups`, without comparing contents.
    pub(crate) async fn call(&self, groups: &[(usize, &Group)]) -> Result<GuardReplies, RedisError> {
        let parts: Vec<Part<'_>> = groups.iter().map(Part::from).collect();
        self.send(&parts, false).await
    }

    /// Acts on `groups`, and compares the contents of those that have `fingerprints`, in as many calls as that takes.
    pub(crate) async fn call_comparing(
        &self,
        groups: &[(usize, &Group)],
        fingerprints: &Fingerprints,
    ) -> Result<GuardReplies, RedisError> {
        let (compared, plain): (Vec<_>, Vec<_>) =
            groups.iter().copied().partition(|(number, _)| fingerprints.stats.groups.contains_key(number));
        let mut replies: BTreeMap<usize, Result<GuardReply, RedisError>> = BTreeMap::new();
        if !plain.is_empty() {
            replies.extend(plain.iter().map(|(number, _)| *number).zip(self.call(&plain).await?));
        }
        for call in 0..fingerprints.calls(&compared) {
            let due = fingerprints.due_in(&compared, call);
            let part = |(of, expected)| Part { expected: Some(expected), ..Part::from(of) };
            let parts: Vec<Part<'_>> =
                due.iter().map(|(of, expected)| part((of, expected.as_slice()))).collect();
            for (((number, _), _), reply) in due.iter().zip(self.send(&parts, call > 0).await?) {
                let before = replies.remove(number);
                replies.insert(*number, joined(before, reply));
            }
        }
        Ok(replies.into_values().collect())
    }

    async fn send(&self, parts: &[Part<'_>], again: bool) -> Result<GuardReplies, RedisError> {
        let call = GuardCall { window: self.window, mode: self.mode, parts, again };
        self.session.executor.call(&self.session.conn, call).await
    }
}

/// The reply to a group after its next call: an error remains, even if later calls succeed.
fn joined(
    before: Option<Result<GuardReply, RedisError>>,
    now: Result<GuardReply, RedisError>,
) -> Result<GuardReply, RedisError> {
    let (before, mut now) = (before.transpose()?, now?);
    if let Some(before) = before {
        now.extra_lookups += before.extra_lookups;
        now.verdict = merged(&before.verdict, now.verdict);
    }
    Ok(now)
}
