//! Learns how much one write may request of a server. A server may limit the bytes of pending replies per client
//! (`client-output-buffer-limit`), and closes the connection if a reply exceeds the limit. Not every user may read the
//! limit, so it is learned: after a cut, one write requests about as much as has been received in one piece. All
//! connections of a process to a server share one [`ReplySize`], so that a task does not learn it again.
//!
//! A connection may also break for another reason, and all that were open before break with it when a server restarts, or
//! a router forgets them while they are idle. Where the server does not report the cause, a cut is therefore put down to
//! the size only if a connection breaks that was opened after another one had broken, with no reply in between.
//!
//! The estimate is the largest complete reply, a quarter less after each cut, or half of the smallest reply that was
//! cut off, if that is more. Each larger complete reply raises it again, so it stays near the limit. An hour after the
//! last cut it is dropped, because the limit may have been changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::info::Info;
use super::socket::Dial;
use crate::limits::{
    ANSWER_ASKED_BYTES_MAX, ANSWER_SIZE_KEPT, ANSWER_SIZES_MAX, REPLY_BYTES_MAX, REPLY_KEYS_MAX,
    SMALLEST_PAGE_BYTES_MAX,
};

/// The unit of a request: the reply grows with the number of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyUnit {
    /// One of the `COUNT` of a SCAN.
    Key,
    /// All keys of a slot.
    Slot,
    /// One of the `COUNT` of a ZSCAN or SSCAN.
    Member,
    /// The name of a field of a hash.
    Field,
    /// The beginning of a string.
    Text,
    /// A byte of a value.
    ValueByte,
    /// A server's description of itself, in one text.
    Description,
    /// The topology of a cluster, in one piece.
    Topology,
}

const ITEMS: usize = 8;

/// The weight of the last reply in the mean size of an item.
const MEAN_WEIGHT: f64 = 0.2;

/// The status fields that show why a server closed a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutputLimitStats {
    /// The process: see `run_id` of INFO.
    pub(super) process: String,
    /// `client_output_buffer_limit_disconnections` (Redis 7.2 or newer, Valkey 8 or newer).
    pub(super) cut: Option<u64>,
}

impl OutputLimitStats {
    /// Parses `INFO server` and `INFO stats`; `None` if they identify no process.
    pub(super) fn of(sections: &[u8]) -> Option<Self> {
        let info = Info::parse(sections);
        let process = info.text("run_id")?.to_owned();
        Some(Self { process, cut: info.number("client_output_buffer_limit_disconnections") })
    }

    /// Why a connection was closed between `self` and `now`.
    pub(super) fn cause(&self, now: &Self) -> CutCause {
        match (self.process == now.process, self.cut, now.cut) {
            (true, Some(before), Some(now)) if now > before => CutCause::Limit,
            (true, None, _) | (true, _, None) => CutCause::Unknown,
            _ => CutCause::Other,
        }
    }
}

/// Why the reply to a write is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutCause {
    /// The server closed the connection because of its limit, as its counter shows.
    Limit,
    /// The server does not report the cause.
    Unknown,
    /// The reply exceeds our byte limit for listings, so the client closed the connection.
    TooLong,
    /// The reply exceeds our limit for commands, so the client closed the connection.
    TooMuch,
    /// The replies exceed the memory that this process may use for them, so the client closed the connection.
    Crowded,
    /// Another cause than the limit, or the server is another process now.
    Other,
}

/// The learned reply sizes of one server.
#[derive(Default)]
pub(super) struct ReplySize(Mutex<SizeState>);

#[derive(Default)]
struct SizeState {
    /// The largest complete reply in bytes; lowered after a cut.
    whole: f64,
    /// The smallest reply that was cut off, in bytes, estimated from the mean item size.
    least_cut: Option<f64>,
    /// When a reply was last cut off; `None` if none was recently.
    cut_at: Option<Instant>,
    items: [KnownSize; ITEMS],
    account: Option<OutputLimitStats>,
    /// When the first of several connections was closed, between which nothing was answered.
    closed_at: Option<Instant>,
    /// The smallest value that was cut off when it was requested alone, in bytes.
    value_cut: Option<u64>,
    logged: bool,
}

#[derive(Clone, Copy, Default)]
struct KnownSize {
    /// Mean bytes per item; 0 if unknown.
    mean: f64,
    /// Half the number of items that were cut off, until a reply is complete.
    most: Option<u64>,
}

impl ReplySize {
    /// The shared instance for the server of `dial`.
    pub(super) fn of(dial: &Dial) -> Arc<Self> {
        /// The address of a server, and the identity of how it is reached.
        type Name = (String, (usize, usize));
        static KNOWN: Mutex<BTreeMap<Name, Arc<ReplySize>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ANSWER_SIZES_MAX {
            known.retain(|_, size| Arc::strong_count(size) > 1);
        }
        Arc::clone(known.entry((dial.address.clone(), dial.way())).or_default())
    }

    fn state(&self) -> MutexGuard<'_, SizeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of replies that one write may request.
    pub(super) fn bytes(&self) -> u64 {
        self.state().bytes()
    }

    /// How many of `item` one write may request in addition to `taken` bytes of replies; at least one.
    pub(super) fn items(&self, item: ReplyUnit, taken: u64) -> u64 {
        self.state().fitting(item, taken)
    }

    /// Records a complete reply: `items` of `item` took `bytes`.
    pub(super) fn answered(&self, item: ReplyUnit, items: u64, bytes: u64) {
        let mut state = self.state();
        let (bytes, known) = (bytes as f64, &mut state.items[item as usize]);
        if items > 0 {
            let each = bytes / items as f64;
            known.mean += if known.mean > 0.0 { (each - known.mean) * MEAN_WEIGHT } else { each };
        }
        known.most = None;
        state.whole = state.whole.max(bytes);
        state.closed_at = None;
    }

    /// Records that the reply to `items` of `item` from the server at `address` was cut off or too long. Logs the first
    /// one.
    pub(super) fn cut(&self, address: &str, (item, items): (ReplyUnit, u64), cause: CutCause) {
        let mut state = self.state();
        if !state.is_limited() {
            state.least_cut = None;
        }
        let known = &mut state.items[item as usize];
        known.most = Some((items / 2).max(1));
        let mean = if item == ReplyUnit::ValueByte { 1.0 } else { known.mean };
        if mean > 0.0 {
            let requested = items as f64 * mean;
            state.least_cut = Some(state.least_cut.map_or(requested, |least| least.min(requested)));
        }
        state.whole *= 0.75;
        state.cut_at = Some(Instant::now());
        if !std::mem::replace(&mut state.logged, true) {
            tracing::warn!(
                redis = address,
                "a reply was incomplete: {}; one write requests less from now on",
                describe(cause)
            );
        }
    }

    /// The last recorded status.
    pub(super) fn account(&self) -> Option<OutputLimitStats> {
        self.state().account.clone()
    }

    /// Records that a single value of about `bytes` bytes was cut off: values of that size or more are no longer
    /// requested.
    pub(super) fn value_cut(&self, bytes: u64) {
        let mut state = self.state();
        state.value_cut = Some(state.value_cut.map_or(bytes, |known| known.min(bytes)));
    }

    /// Values of this many bytes or more are too large to be sent.
    pub(super) fn value_bytes_end(&self) -> u64 {
        let state = self.state();
        state.value_cut.filter(|_| state.is_limited()).unwrap_or(u64::MAX)
    }

    /// Records a server's status, to compare it with a later one. Another process may have another limit, so the
    /// estimate starts over.
    pub(super) fn observe(&self, account: &OutputLimitStats) {
        let mut state = self.state();
        if state.account.as_ref().is_some_and(|known| known.process != account.process) {
            *state = SizeState::default();
        }
        state.account = Some(account.clone());
    }

    /// Records that the reply to `items` of an item is incomplete because of `cause`, over a connection that was opened at
    /// `opened`. Returns whether the size of the reply counts as the reason. If the server does not report the cause, it
    /// does if another connection was closed before this one was opened and nothing was answered since, or if the limit was
    /// reached before and less can be requested.
    pub(super) fn is_for_size(&self, cause: CutCause, items: u64, opened: Instant) -> bool {
        let mut state = self.state();
        let is_repeated = state.closed_at.is_some_and(|at| opened >= at);
        state.closed_at.get_or_insert_with(Instant::now);
        match cause {
            CutCause::Limit | CutCause::TooLong | CutCause::TooMuch | CutCause::Crowded => true,
            CutCause::Unknown => is_repeated || items > 1 && state.is_limited(),
            CutCause::Other => false,
        }
    }
}

impl SizeState {
    fn is_limited(&self) -> bool {
        self.cut_at.as_ref().is_some_and(|at| at.elapsed() < ANSWER_SIZE_KEPT)
    }

    fn bytes(&self) -> u64 {
        let fits = self.whole.max(self.least_cut.unwrap_or_default() / 2.0);
        if self.is_limited() { fits as u64 } else { ANSWER_ASKED_BYTES_MAX }
    }

    fn fitting(&self, item: ReplyUnit, taken: u64) -> u64 {
        let KnownSize { mean, most } = self.items[item as usize];
        let most = most.unwrap_or(u64::MAX);
        if mean <= 0.0 {
            return most;
        }
        ((self.bytes().saturating_sub(taken) as f64 / mean) as u64).clamp(1, most)
    }
}

/// The error text if `request`, the smallest possible one, was cut off because of `cause`.
pub(super) fn too_large(request: &str, cause: CutCause) -> String {
    match cause {
        CutCause::TooLong => format!(
            "the reply to {request} has more than {SMALLEST_PAGE_BYTES_MAX} bytes or {REPLY_KEYS_MAX} keys, the limit \
             for one reply"
        ),
        CutCause::Crowded => format!("the reply to {request}: {}", describe(cause)),
        _ => format!("the server did not send the reply to {request}: {}", describe(cause)),
    }
}

/// The text for `cause`.
pub(super) fn describe(cause: CutCause) -> String {
    match cause {
        CutCause::Limit => "the server closed the connection in the middle of an answer, and its count of connections closed \
                         for `client-output-buffer-limit` rose"
            .to_owned(),
        CutCause::TooLong => format!(
            "it has more than {REPLY_BYTES_MAX} bytes or {REPLY_KEYS_MAX} keys, which is the read limit"
        ),
        CutCause::TooMuch => "it is larger than the read limit".to_owned(),
        CutCause::Crowded => {
            "it was cut off because this process held its maximum number of reply bytes".to_owned()
        }
        CutCause::Unknown | CutCause::Other => "the server closed the connection in the middle of an answer, and did so again; \
                                          its `client-output-buffer-limit` may be the cause"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const UNKNOWN: CutCause = CutCause::Unknown;

    /// Requests in flight over one connection fail together, and idle connections are found broken one by one.
    #[tokio::test(start_paused = true)]
    async fn only_a_connection_that_was_opened_later_shows_that_a_reply_is_too_large() {
        let (size, before) = (ReplySize::default(), Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!size.is_for_size(UNKNOWN, 1, before));
        assert!(!size.is_for_size(UNKNOWN, 1, before), "it was open before, too");
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = Instant::now();
        assert!(size.is_for_size(UNKNOWN, 1, later));
        size.answered(ReplyUnit::Key, 1, 10);
        assert!(!size.is_for_size(UNKNOWN, 1, later), "something was answered");
        assert!(size.is_for_size(CutCause::Limit, 1, before), "the server says so");
    }
}
