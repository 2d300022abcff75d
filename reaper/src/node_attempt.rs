//! The part of an attempt that happens at one node: the checks before the first write, and the pace of the calls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_model::ledger::LedgerKind;
use keysweep_model::messages::Verify;
use keysweep_redis::guard::{Act, BatchWindow, Guard, GuardMode, GuardReplies};
use keysweep_redis::limits::BACKUP_WRITE_BYTES;
use keysweep_redis::{RedisClient, RedisError, node, same_deployment};
use keysweep_telemetry::RequestKind;
use tokio::time::Instant;

use crate::attempt::{BatchContext, Interruption};
use crate::fingerprints::Fingerprints;
use crate::limits::FIELD_TTLS_KNOWN_FOR;
use crate::node_guard::{NodeGuard, are_refused};
use crate::node_session::NodeState;
use crate::throttle::BatchThrottle;
use crate::work::{Place, Work, WriteLimits, next_write};

/// An attempt at the candidates of a batch that are acted on at one node.
pub(crate) struct NodeAttempt<'a, 'n> {
    pub(crate) of: BatchContext<'a>,
    pub(crate) node: &'n NodeId,
    /// What is not done yet.
    pub(crate) work: VecDeque<Work<'a>>,
    pub(crate) guard: NodeGuard<'a>,
    /// The clock of the node when the attempt began there, in milliseconds.
    pub(crate) now_ms: u64,
    pub(crate) throttle: BatchThrottle<'a>,
    /// The expected contents of the candidates, if they are compared.
    pub(crate) fingerprints: Option<Fingerprints>,
    /// When it was last read whether the node has hashes with field TTLs.
    fields_read: Instant,
    /// Whether a call may have done something.
    pub(crate) may_have_acted: bool,
}

impl<'a, 'n> NodeAttempt<'a, 'n> {
    /// Connects to the node, and checks that it is the planned one and that the grace is over there.
    pub(crate) async fn enter(
        of: BatchContext<'a>,
        state: &NodeState,
        client: &RedisClient,
        node: &'n NodeId,
        mut work: VecDeque<Work<'a>>,
    ) -> Result<Self, Interruption> {
        let spec = of.spec;
        let session = state.session(spec, node, client).await?;
        if !session.executor.crosses_slots() {
            work.iter_mut().for_each(|work| work.here &= work.ledger.kind == LedgerKind::Slot);
        }
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
        let (window, mode) = (BatchWindow::from(of.batch), with_fields(of.mode, fields));
        let guard = NodeGuard { session, window, mode, activity: of.activity };
        let (throttle, fields_read) = (BatchThrottle::unlimited(of), Instant::now());
        Ok(Self {
            of,
            node,
            work,
            guard,
            now_ms,
            throttle,
            fingerprints: None,
            fields_read,
            may_have_acted: false,
        })
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
            let places = self.work.iter().flat_map(|work| &work.places);
            self.fingerprints = Some(Fingerprints::of_scan(places, bytes));
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

    /// From now on no key is changed: what is left gets the outcome of `mode`, at full speed.
    pub(crate) fn seal(&mut self, mode: GuardMode<'a>) {
        (self.of.mode, self.guard.mode) = (mode, mode);
        self.throttle.lift();
    }

    /// The candidates that may be deleted here.
    pub(crate) fn to_delete(&self) -> Vec<Place<'a>> {
        let deletes = |work: &&Work<'a>| work.here && self.of.mode.deletes(work.reason);
        self.work.iter().filter(deletes).flat_map(|work| work.places.iter().copied()).collect()
    }

    /// Sends the next calls of the guard when the pace allows it, and returns them with the replies; `None` if nothing is
    /// left. `doubtful`: see [`keysweep_redis::guard::Part::doubtful`].
    pub(crate) async fn next_calls(
        &mut self,
        doubtful: bool,
    ) -> Result<Option<(Vec<Work<'a>>, GuardReplies)>, Interruption> {
        if self.work.is_empty() {
            return Ok(None);
        }
        self.refresh_field_ttls().await?;
        let fingerprints = self.fingerprints.as_ref();
        let call_value_bytes = fingerprints.map_or(u64::MAX, Fingerprints::call_bytes);
        let limits = WriteLimits { keys: self.throttle.window_keys(), call_value_bytes };
        let permit = self.throttle.acquire().await?;
        let calls = next_write(&mut self.work, limits, |place| {
            fingerprints.map_or(0, |fingerprints| fingerprints.value_bytes(place.id()))
        });
        let began = Instant::now();
        // Without a reply, it stays unknown.
        let before = std::mem::replace(&mut self.may_have_acted, true);
        let replies = self.guard.call(&calls, fingerprints, doubtful).await?;
        self.may_have_acted = before || !are_refused(&replies);
        let (context, alias) = (self.of.context, &self.of.batch.alias);
        context.telemetry.request(alias, RequestKind::Script, began.elapsed());
        if let Some(permit) = permit {
            permit.done(calls.iter().map(|call| call.places.len() as u64).sum());
        }
        Ok(Some((calls, replies)))
    }
}

/// `mode` for a node; `fields` states whether the node has hashes whose fields expire.
fn with_fields(mode: GuardMode<'_>, fields: bool) -> GuardMode<'_> {
    match mode {
        GuardMode::Act(act) => GuardMode::Act(Act { fields, ..act }),
        other => other,
    }
}
