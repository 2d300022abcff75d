//! How much one write may ask of a server. A server may have a limit on the bytes of answers that wait for a client
//! (`client-output-buffer-limit`), and closes the connection where an answer exceeds it. The limit itself is not readable
//! for everybody, so it is learned: from then on, one write asks for about as much as has been answered in one piece. One
//! [`ReplySize`] per server and process is shared by all connections, so that a task does not learn it again.
//!
//! What fits is what has come whole, a quarter less after each cut; or half of the least that was cut off, if that is more.
//! Each larger answer that comes whole raises it again, so it stays near the limit. An hour after the last cut it is forgotten, because the limit may have been changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::info::Info;
use crate::limits::{
    ANSWER_ASKED_BYTES_MAX, ANSWER_SIZE_KEPT, ANSWER_SIZES_MAX, REPLY_BYTES_MAX, REPLY_KEYS_MAX,
    SMALLEST_PAGE_BYTES_MAX,
};

/// What a write asks for: the answer grows with the number of them.
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
    /// What a server tells of itself, in one text.
    Description,
    /// Who serves what in its cluster, in one piece.
    Topology,
}

const ITEMS: usize = 8;

/// How much the last answer counts in the mean size of an item.
const MEAN_WEIGHT: f64 = 0.2;

/// What a server says of itself that tells why it closed a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutputLimitStats {
    /// The process: see `run_id` of INFO.
    pub(super) process: String,
    /// `client_output_buffer_limit_disconnections` (Redis 7.2 or newer, Valkey 8 or newer).
    pub(super) cut: Option<u64>,
}

impl OutputLimitStats {
    /// What `INFO server` and `INFO stats` say; `None` if they name no process.
    pub(super) fn of(told: &[u8]) -> Option<Self> {
        let info = Info::parse(told);
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

/// Why the answer to a write did not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutCause {
    /// It counts a connection more that it closed because of its limit.
    Limit,
    /// It does not tell.
    Unknown,
    /// It has more bytes than we read, so we closed the connection.
    TooLong,
    /// It has more than is read of what commands are answered, so we closed the connection.
    TooMuch,
    /// It has more bytes than this process can hold beside other answers, so we closed the connection.
    Crowded,
    /// It was not for its limit, or the server is another process.
    Other,
}

/// See the module.
#[derive(Default)]
pub(super) struct ReplySize(Mutex<SizeState>);

#[derive(Default)]
struct SizeState {
    /// Bytes that were answered in one piece, at the most; less after a cut.
    whole: f64,
    /// The fewest bytes, by the mean size of what was asked for, that were cut off.
    least_cut: Option<f64>,
    /// The last time that an answer was cut off; `None` if none was, lately.
    cut_at: Option<Instant>,
    items: [KnownSize; ITEMS],
    account: Option<OutputLimitStats>,
    /// Connections in a row that were closed for a reason that is not known.
    closed: u32,
    /// The smallest value that was cut off when it was asked for alone, in bytes.
    value_cut: Option<u64>,
    logged: bool,
}

#[derive(Clone, Copy, Default)]
struct KnownSize {
    /// Mean bytes of one; 0 if unknown.
    mean: f64,
    /// Fewer than were cut off, until so many have come whole.
    most: Option<u64>,
}

impl ReplySize {
    /// That of the server at `address`, for all who ask for it in this process.
    pub(super) fn of(address: &str) -> Arc<Self> {
        static KNOWN: Mutex<BTreeMap<String, Arc<ReplySize>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ANSWER_SIZES_MAX {
            known.retain(|_, size| Arc::strong_count(size) > 1);
        }
        Arc::clone(known.entry(address.to_owned()).or_default())
    }

    fn state(&self) -> MutexGuard<'_, SizeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of answers that one write may ask for.
    pub(super) fn bytes(&self) -> u64 {
        self.state().bytes()
    }

    /// How many of `item` one write may ask for, where `taken` bytes of answers are asked for beside; at least one.
    pub(super) fn items(&self, item: ReplyUnit, taken: u64) -> u64 {
        self.state().fitting(item, taken)
    }

    /// Takes in that so many of `item` were answered by so many bytes.
    pub(super) fn answered(&self, item: ReplyUnit, items: u64, bytes: u64) {
        let mut state = self.state();
        let (bytes, known) = (bytes as f64, &mut state.items[item as usize]);
        if items > 0 {
            let each = bytes / items as f64;
            known.mean += if known.mean > 0.0 { (each - known.mean) * MEAN_WEIGHT } else { each };
        }
        known.most = None;
        state.whole = state.whole.max(bytes);
        state.closed = 0;
    }

    /// Takes in that the answer to so many of an item was cut off by the server at `address`, or too long. The first time
    /// is logged.
    pub(super) fn cut(&self, address: &str, (item, items): (ReplyUnit, u64), cause: CutCause) {
        let mut state = self.state();
        if !state.is_limited() {
            state.least_cut = None;
        }
        let known = &mut state.items[item as usize];
        known.most = Some((items / 2).max(1));
        let mean = if item == ReplyUnit::ValueByte { 1.0 } else { known.mean };
        if mean > 0.0 {
            let asked = items as f64 * mean;
            state.least_cut = Some(state.least_cut.map_or(asked, |least| least.min(asked)));
        }
        state.whole *= 0.75;
        state.cut_at = Some(Instant::now());
        if !std::mem::replace(&mut state.logged, true) {
            tracing::warn!(
                redis = address,
                "an answer was not read whole: {}: one write asks for less from now on",
                describe(cause)
            );
        }
    }

    /// What was told last.
    pub(super) fn account(&self) -> Option<OutputLimitStats> {
        self.state().account.clone()
    }

    /// Takes in that a single value of about so many bytes was cut off: it, and larger ones, are not asked for any more.
    pub(super) fn value_cut(&self, bytes: u64) {
        let mut state = self.state();
        state.value_cut = Some(state.value_cut.map_or(bytes, |known| known.min(bytes)));
    }

    /// Values of so many bytes are too large to be sent.
    pub(super) fn value_bytes_end(&self) -> u64 {
        let state = self.state();
        state.value_cut.filter(|_| state.is_limited()).unwrap_or(u64::MAX)
    }

    /// Takes in what a server says of itself, which is compared with what it says later. Another process may have another
    /// limit.
    pub(super) fn observe(&self, account: &OutputLimitStats) {
        let mut state = self.state();
        if state.account.as_ref().is_some_and(|known| known.process != account.process) {
            *state = SizeState::default();
        }
        state.account = Some(account.clone());
    }

    /// Takes in that the answer to so many of an item did not come whole because of `cause`. Whether that is taken for the
    /// size of the answer: where the server does not tell, if it happened before and nothing was answered since, or if
    /// its limit was met before and less can be asked for.
    pub(super) fn is_for_size(&self, cause: CutCause, items: u64) -> bool {
        let mut state = self.state();
        state.closed += 1;
        match cause {
            CutCause::Limit | CutCause::TooLong | CutCause::TooMuch | CutCause::Crowded => true,
            CutCause::Unknown => state.closed > 1 || items > 1 && state.is_limited(),
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

/// What to say where even `asked`, which cannot be less, was cut off because of `cause`.
pub(super) fn too_large(asked: &str, cause: CutCause) -> String {
    match cause {
        CutCause::TooLong => format!(
            "the answer to {asked} has more than {SMALLEST_PAGE_BYTES_MAX} bytes or {REPLY_KEYS_MAX} keys, which is as much \
             as is read of one"
        ),
        CutCause::Crowded => format!("the answer to {asked}: {}", describe(cause)),
        _ => format!("it did not send the answer to {asked}: {}", describe(cause)),
    }
}

/// What happened.
pub(super) fn describe(cause: CutCause) -> String {
    match cause {
        CutCause::Limit => "the server closed the connection in the middle of an answer, and its count of connections closed \
                         for `client-output-buffer-limit` rose"
            .to_owned(),
        CutCause::TooLong => format!(
            "it has more than {REPLY_BYTES_MAX} bytes or {REPLY_KEYS_MAX} keys, which is as much as is read of one"
        ),
        CutCause::TooMuch => "it has more than is read of one".to_owned(),
        CutCause::Crowded => {
            "it was cut off because this process held as many bytes of answers as it may at a time".to_owned()
        }
        CutCause::Unknown | CutCause::Other => "the server closed the connection in the middle of an answer, and did so again; \
                                          its `client-output-buffer-limit` may be the cause"
            .to_owned(),
    }
}
