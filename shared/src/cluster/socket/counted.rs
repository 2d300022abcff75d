//! Counts what a server answers under the client library, which reads a whole answer before its size can be looked at: a
//! server that sends more to one write than any request of ours can ask for is left.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Socket;
use crate::cluster::held::{COMMANDS, Held};
use crate::limits::{
    ANSWER_LINE_BYTES, ANSWER_LINES_MAX, ANSWER_VALUES_FACTOR, ANSWERS_BYTES_MAX, REPLY_BYTES_LEAST,
    SELF_TOLD_BYTES_MAX, TOPOLOGY_LINES_MAX,
};

/// How the error begins; what a fault is is told by it, because the client library passes on its words alone.
pub(in crate::cluster) const TOO_MUCH: &str = "more was answered than was asked for";

/// The largest value that this process reads, in bytes; 0 if it reads none.
static VALUE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Says that values of up to `bytes` bytes are read from now on, by this process.
pub fn expect_values(bytes: u64) {
    VALUE_BYTES.fetch_max(usize::try_from(bytes).unwrap_or(usize::MAX), Ordering::Relaxed);
}

/// A socket of commands. See the module.
pub(in crate::cluster) struct Counted {
    socket: Box<dyn Socket>,
    /// Bytes that came since the last write.
    bytes: usize,
    held: Held,
    /// Ends of lines in them: every element of an answer has one.
    lines: usize,
    /// How many there may be.
    lines_max: usize,
    left: Left,
}

/// Why a socket was left, if it was for what came over it. Clones share it: the client library tells only those who wait
/// for the answer that it was reading.
#[derive(Clone, Default)]
pub(in crate::cluster) struct Left(Arc<OnceLock<String>>);

impl Left {
    /// The error.
    pub(in crate::cluster) fn said(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// How a cluster is asked for its slots. It is asked nothing else at the same time.
const TOPOLOGY: &[u8] = b"\r\n$7\r\nCLUSTER\r\n";

impl Counted {
    pub(in crate::cluster) fn new(socket: Box<dyn Socket>) -> Self {
        Self {
            socket,
            bytes: 0,
            held: Held::of(&COMMANDS),
            lines: 0,
            lines_max: ANSWER_LINES_MAX,
            left: Left::default(),
        }
    }

    /// Why it was left, to be asked later.
    pub(in crate::cluster) fn left(&self) -> Left {
        self.left.clone()
    }

    fn count(&mut self, came: &[u8]) -> io::Result<()> {
        let values = VALUE_BYTES.load(Ordering::Relaxed);
        let bytes_max = SELF_TOLD_BYTES_MAX.saturating_add(values.saturating_mul(ANSWER_VALUES_FACTOR));
        self.bytes = self.bytes.saturating_add(came.len());
        self.lines += came.iter().filter(|byte| **byte == b'\n').count();
        let all = self.held.hold(self.bytes.saturating_add(self.lines * ANSWER_LINE_BYTES));
        // Values have lines of their own.
        let lines_max = if values > 0 { usize::MAX } else { self.lines_max };
        let what = match () {
            () if self.bytes > bytes_max => format!("{TOO_MUCH}: more than {bytes_max} bytes to one request"),
            () if self.lines > lines_max => format!("{TOO_MUCH}: more than {lines_max} lines to one request"),
            () if values == 0 && all > ANSWERS_BYTES_MAX && self.bytes > REPLY_BYTES_LEAST => {
                format!("{TOO_MUCH}: more than {ANSWERS_BYTES_MAX} bytes to all requests of this process")
            }
            () => return Ok(()),
        };
        // The first reason is kept.
        let what = self.left.0.get_or_init(|| what);
        Err(io::Error::new(io::ErrorKind::InvalidData, what.as_str()))
    }
}

impl AsyncRead for Counted {
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

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (self.bytes, self.lines) = (0, 0);
        self.held.hold(0);
        // After `*2` or `*3`.
        let topology = bytes.get(2..).is_some_and(|rest| rest.starts_with(TOPOLOGY));
        self.lines_max = if topology { TOPOLOGY_LINES_MAX } else { ANSWER_LINES_MAX };
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
