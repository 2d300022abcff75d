//! Counts the bytes of replies below the client library, which reads a whole reply before its size can be checked: the
//! connection is closed if a server sends more than any of our requests can return.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Socket;
use crate::limits::{
    ANSWER_BYTES_MAX, ANSWER_LINE_BYTES, ANSWER_LINES_MAX, ANSWER_VALUES_FACTOR, ANSWERS_BYTES_MAX,
    DESCRIPTIONS_BYTES_MAX, REPLY_BYTES_LEAST, SHORT_REPLY_BYTES_LEAST, SHORT_REPLY_BYTES_MAX,
    SHORT_REPLY_LINES_MAX, STATUS_TEXT_BYTES_MAX, TOPOLOGY_LINES_MAX,
};
use crate::reply_budget::{COMMANDS, ReplyBudget};

/// The beginning of the error text, by which the error is recognized: the client library passes on only the text.
pub(crate) const TOO_MUCH: &str = "the reply is larger than requested";

/// The largest value that this process reads, in bytes; 0 if it reads none.
static VALUE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Allows replies with values of up to `bytes` bytes from now on, in this process.
pub fn expect_values(bytes: u64) {
    VALUE_BYTES.fetch_max(usize::try_from(bytes).unwrap_or(usize::MAX), Ordering::Relaxed);
}

/// The expected size of the replies to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A few words for each command.
    Words,
    /// Content of keys: set members, field names, values.
    Data,
    /// A description of the cluster, in one piece.
    Description,
}

/// The limits for an [`Expected`].
struct Limits {
    bytes: usize,
    lines: usize,
    /// The limit for all replies that the process holds, measured as in [`BoundedSocket::weight`].
    all: usize,
    /// What may be read in any case.
    least: usize,
}

impl Expected {
    fn limits(self) -> Limits {
        let (bytes, lines, all, least) = match self {
            Self::Words => {
                (SHORT_REPLY_BYTES_MAX, SHORT_REPLY_LINES_MAX, ANSWERS_BYTES_MAX, SHORT_REPLY_BYTES_LEAST)
            }
            Self::Data => (ANSWER_BYTES_MAX, ANSWER_LINES_MAX, ANSWERS_BYTES_MAX, REPLY_BYTES_LEAST),
            Self::Description => {
                (STATUS_TEXT_BYTES_MAX, TOPOLOGY_LINES_MAX, DESCRIPTIONS_BYTES_MAX, SHORT_REPLY_BYTES_LEAST)
            }
        };
        let values = VALUE_BYTES.load(Ordering::Relaxed);
        if values == 0 {
            return Limits { bytes, lines, all, least };
        }
        // Values contain line ends of their own.
        let bytes = bytes.saturating_add(values.saturating_mul(ANSWER_VALUES_FACTOR));
        Limits { bytes, lines: usize::MAX, all: usize::MAX, least }
    }
}

/// Requests in flight over a connection that expect more than words. They share the connection, so the largest one
/// counts.
#[derive(Clone, Default)]
pub(crate) struct Expecting(Arc<[AtomicUsize; 2]>);

impl Expecting {
    /// Registers a request until the returned guard is dropped.
    pub(crate) fn now(&self, expected: Expected) -> ExpectedGuard {
        let place: Option<usize> = match expected {
            Expected::Words => None,
            Expected::Data => Some(0),
            Expected::Description => Some(1),
        };
        if let Some(place) = place {
            self.0[place].fetch_add(1, Ordering::Relaxed);
        }
        ExpectedGuard { all: self.clone(), place }
    }

    fn most(&self) -> Expected {
        match self.0.each_ref().map(|count| count.load(Ordering::Relaxed)) {
            [0, 0] => Expected::Words,
            [_, 0] => Expected::Data,
            _ => Expected::Description,
        }
    }
}

/// The guard of [`Expecting::now`].
pub(crate) struct ExpectedGuard {
    all: Expecting,
    place: Option<usize>,
}

impl Drop for ExpectedGuard {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.all.0[place].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A socket for commands that enforces reply limits.
pub(crate) struct BoundedSocket {
    socket: Box<dyn Socket>,
    /// Bytes received since the last write.
    bytes: usize,
    /// Line ends among them: every element of a reply has one.
    lines: usize,
    budget: ReplyBudget,
    expecting: Expecting,
    left: CloseReason,
}

/// Why a socket was closed because of what it received. Clones share it, because the client library returns the error
/// only to callers that wait for the reply.
#[derive(Clone, Default)]
pub(crate) struct CloseReason(Arc<OnceLock<String>>);

impl CloseReason {
    /// The error text.
    pub(crate) fn text(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl BoundedSocket {
    pub(crate) fn new(socket: Box<dyn Socket>) -> Self {
        let (expecting, left) = (Expecting::default(), CloseReason::default());
        Self { socket, bytes: 0, lines: 0, budget: ReplyBudget::of(&COMMANDS), expecting, left }
    }

    /// The close reason, to be read later.
    pub(crate) fn close_reason(&self) -> CloseReason {
        self.left.clone()
    }

    /// A handle to register requests in flight.
    pub(crate) fn expecting(&self) -> Expecting {
        self.expecting.clone()
    }

    /// The minimum number of bytes that the client library holds for what was received.
    fn weight(&self) -> usize {
        self.bytes.saturating_add(self.lines.saturating_mul(ANSWER_LINE_BYTES))
    }

    fn count(&mut self, received: &[u8]) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(received.len());
        self.lines += received.iter().filter(|byte| **byte == b'\n').count();
        let weight = self.weight();
        let total = self.budget.reserve(weight);
        let Limits { bytes, lines, all, least } = self.expecting.most().limits();
        let what = match () {
            () if self.bytes > bytes => format!("{TOO_MUCH}: more than {bytes} bytes to one request"),
            () if self.lines > lines => format!("{TOO_MUCH}: more than {lines} lines to one request"),
            () if total > all && weight > least => {
                format!("{TOO_MUCH}: more than {all} bytes to all requests of this process")
            }
            () => return Ok(()),
        };
        // The first reason is kept.
        let what = self.left.0.get_or_init(|| what);
        Err(io::Error::new(io::ErrorKind::InvalidData, what.as_str()))
    }
}

impl AsyncRead for BoundedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        Poll::Ready(self.count(&buf.filled()[before..]))
    }
}

impl AsyncWrite for BoundedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (self.bytes, self.lines) = (0, 0);
        self.budget.reserve(0);
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
