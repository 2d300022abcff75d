//! Reads through the client library whose replies may be larger than the server sends in one piece: see [`ReplySize`].
//! A cut-off reply loses the connection for all who share it, so the read is not retried here: the error states that
//! the next attempt requests less ([`RedisErrorKind::ReplyCutOff`]), or that nothing less can be requested
//! ([`RedisErrorKind::ReplyTooLarge`]).

use std::sync::Arc;

use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::reply_size::{CutCause, ReplySize, ReplyUnit, too_large};
use super::socket::Expected;

impl Conn {
    fn size(&self) -> Arc<ReplySize> {
        ReplySize::of(self.dial())
    }

    /// How many of `item` one write may request, at most `most`.
    pub(super) fn fitting(&self, item: ReplyUnit, most: usize) -> usize {
        usize::try_from(self.size().items(item, 0)).unwrap_or(usize::MAX).clamp(1, most)
    }

    /// The maximum number of string prefixes that one write may request ([`super::dump::probe`]).
    #[must_use]
    pub fn texts_at_once(&self) -> usize {
        self.fitting(ReplyUnit::Text, usize::MAX)
    }

    /// The approximate number of value bytes that one write may request ([`super::dump::values`]).
    #[must_use]
    pub fn value_bytes_at_once(&self) -> u64 {
        self.size().items(ReplyUnit::ValueByte, 0)
    }

    /// The server does not send values of this many bytes or more.
    #[must_use]
    pub fn value_bytes_end(&self) -> u64 {
        self.size().value_bytes_end()
    }

    /// [`Conn::batch`] for reads whose replies grow with this many of `item`.
    ///
    /// # Errors
    /// As there, and see the module.
    pub(super) async fn sized(
        &self,
        (item, items): (ReplyUnit, u64),
        batch: Batch,
    ) -> Result<Vec<Value>, RedisError> {
        let alone = batch.len() == 1;
        // A description that is one text has few lines for its bytes.
        let expected = if item == ReplyUnit::Topology { Expected::Description } else { Expected::Data };
        match self.batch_for(expected, batch).await {
            Ok(replies) => {
                let bytes = replies.iter().map(bytes_of).sum();
                self.size().answered(item, items, bytes);
                Ok(replies)
            }
            Err(fault) if fault.kind == RedisErrorKind::ConnectionLost => {
                // Boxed, because the state of a connect is large and would enlarge the future of every read.
                Err(Box::pin(self.cut_off(fault, (item, items), alone)).await)
            }
            // A server's description of itself comes in one piece.
            Err(fault)
                if fault.is_too_much() && !matches!(item, ReplyUnit::Description | ReplyUnit::Topology) =>
            {
                Err(self.too_much(fault, (item, items), alone))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Converts `fault`, which means that a reply exceeded the read limit.
    fn too_much(&self, fault: RedisError, (item, items): (ReplyUnit, u64), alone: bool) -> RedisError {
        let size = self.size();
        size.cut(self.address(), (item, items), CutCause::TooMuch);
        let kind = match (alone && item == ReplyUnit::ValueByte, items) {
            (true, _) => {
                size.value_cut(items);
                RedisErrorKind::ReplyCutOff
            }
            (false, ..=1) => RedisErrorKind::ReplyTooLarge,
            (false, _) => RedisErrorKind::ReplyCutOff,
        };
        RedisError { kind, ..fault }
    }

    /// Converts `lost`, using the server's current status.
    async fn cut_off(&self, lost: RedisError, (item, items): (ReplyUnit, u64), alone: bool) -> RedisError {
        let (size, address) = (self.size(), self.address());
        let before = size.account();
        // Connecting records the status of the server.
        if self.lister().connect().await.is_err() {
            return lost;
        }
        let cause = match (before, size.account()) {
            (Some(before), Some(now)) => before.cause(&now),
            _ => CutCause::Unknown,
        };
        let for_size = size.is_for_size(cause, items, self.opened());
        if cause == CutCause::Other {
            return lost;
        }
        if for_size {
            size.cut(address, (item, items), cause);
            if alone && item == ReplyUnit::ValueByte {
                size.value_cut(items);
            } else if items <= 1 {
                let detail = too_large("the smallest request", cause);
                return RedisError::new(RedisErrorKind::ReplyTooLarge, address, detail);
            }
        }
        let detail = format!("{}; its `client-output-buffer-limit` may be the cause", lost.detail);
        RedisError::new(RedisErrorKind::ReplyCutOff, address, detail)
    }
}

/// The approximate number of bytes that a server sends for `reply`.
fn bytes_of(reply: &Value) -> u64 {
    const FRAME: u64 = 8;
    match reply {
        Value::BulkString(bytes) => bytes.len() as u64 + FRAME,
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.len() as u64 + FRAME,
        Value::Array(items) | Value::Set(items) => FRAME + items.iter().map(bytes_of).sum::<u64>(),
        Value::Map(items) => {
            FRAME + items.iter().map(|(name, value)| bytes_of(name) + bytes_of(value)).sum::<u64>()
        }
        _ => FRAME,
    }
}
