//! The part of an attempt that happens at one node: the checks before the first write, and the pace of the calls.

use std::sync::Arc;
use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{Group, Verify};
use keysweep_redis::guard::{Act, BatchWindow, GuardMode, GuardReplies};
use keysweep_redis::limits::BACKUP_WRITE_BYTES;
use keysweep_redis::{RedisClient, RedisError, node, same_deployment};
use keysweep_telemetry::RequestKind;
use tokio::time::Instant;

use crate::attempt::{BatchContext, Interruption};
use crate::chunks::{Chunk, piece};
use crate::fingerprints::Fingerprints;
use crate::limits::FIELD_TTLS_KNOWN_FOR;
use crate::node_guard::NodeGuard;
use crate::node_session::NodeState;
use crate::throttle::BatchThrottle;

/// An attempt at the groups of a batch that belong to one node.
pub(crate) struct NodeAttempt<'a, 'n> {
    pub(crate) of: BatchContext<'a>,
    pub(crate) node: &'n NodeId,
    pub(crate) chunks: &'n [Chunk<'n>],
    pub(crate) guard: NodeGuard,
    /// The clock of the node when the attempt began there, in milliseconds.
    pub(crate) now_ms: u64,
    pub(crate) throttle: BatchThrottle<'a>,
    /// The expected contents of the candidates, if they are compared.
    pub(crate) fingerprints: Option<Fingerprints>,
    /// When it was last read whether the node has hashes with field TTLs.
    fields_read: Instant,
}

impl<'a, 'n> NodeAttempt<'a, 'n> {
    /// Connects to the node, and checks that it is the planned one and that the grace is over there.
    pub(crate) async fn enter(
        of: BatchContext<'a>,
        state: &NodeState,
        client: &RedisClient,
        node: &'n NodeId,
        chunks: &'n [Chunk<'n>],
    ) -> Result<Self, Interruption> {
        let spec = of.spec;
        let session = state.session(node, client, spec.delete_backend()).await?;
        same_deployment::verify_process(spec, node, &session.process)?;
        let (now_ms, fields) = node::time_and_field_ttls(&session.conn, spec.db).await?;
        if matches!(of.mode, GuardMode::Act(_)) {
            let (grace, address) = (Duration::from_millis(spec.rules.grace_ms), session.conn.address());
            if let Some(early) = state.too_early(address, now_ms, of.batch.not_before_ms, grace) {
                return Err(Interruption::Later(Duration::from_millis(early)));
            }
            if same_deployment::counts_swaps(spec) {
                same_deployment::verify_swaps(spec, node, address, node::swaps(&session.conn).await?)?;
            }
        }
        let guard =
            NodeGuard { session, window: BatchWindow::from(of.batch), mode: with_fields(of.mode, fields) };
        let (throttle, fields_read) = (BatchThrottle::unlimited(of), Instant::now());
        Ok(Self { of, node, chunks, guard, now_ms, throttle, fingerprints: None, fields_read })
    }

    /// Starts to work at the node: from now on at the pace of the run, and with the scanner's fingerprints, if the run
    /// compares values.
    pub(crate) async fn start(&mut self, client: &Arc<RedisClient>) {
        // Finalizing a batch changes no key and should not be delayed.
        if !matches!(self.of.mode, GuardMode::Act(_)) {
            return;
        }
        self.throttle.enter(client, self.node).await;
        if self.of.spec.rules.verify == Verify::Value {
            let bytes = self.guard.session.conn.value_bytes_at_once().min(BACKUP_WRITE_BYTES);
            self.fingerprints = Some(Fingerprints::of_scan(self.chunks.iter().flatten(), bytes));
        }
    }

    /// Reads again whether the node has hashes with field TTLs, if that was some time ago. A throttled batch takes a
    /// while; the node may get its first such hashes meanwhile.
    pub(crate) async fn refresh_field_ttls(&mut self) -> Result<(), RedisError> {
        if self.fields_read.elapsed() > FIELD_TTLS_KNOWN_FOR {
            let fields = node::field_ttls(&self.guard.session.conn, self.of.spec.db).await?;
            self.guard.mode = with_fields(self.guard.mode, fields);
            self.fields_read = Instant::now();
        }
        Ok(())
    }

    /// How many of the groups `left` the next call may cover.
    pub(crate) fn piece(&self, left: &[(usize, &Group)]) -> usize {
        piece(left, self.throttle.window_keys())
    }

    /// Calls the guard for `groups` when the pace allows it.
    pub(crate) async fn call(&mut self, groups: &[(usize, &Group)]) -> Result<GuardReplies, Interruption> {
        let permit = self.throttle.acquire().await?;
        let began = Instant::now();
        let replies = match &self.fingerprints {
            Some(fingerprints) => self.guard.call_comparing(groups, fingerprints).await?,
            None => self.guard.call(groups).await?,
        };
        let (context, alias) = (self.of.context, &self.of.batch.alias);
        context.telemetry.request(alias, RequestKind::Script, began.elapsed());
        if let Some(permit) = permit {
            permit.done(groups.iter().map(|(_, group)| group.keys.len() as u64).sum());
        }
        Ok(replies)
    }
}

/// `mode` for a node; `fields` states whether the node has hashes whose fields expire.
fn with_fields(mode: GuardMode, fields: bool) -> GuardMode {
    match mode {
        GuardMode::Act(act) => GuardMode::Act(Act { fields, ..act }),
        GuardMode::Finalize(outcome) => GuardMode::Finalize(outcome),
    }
}
