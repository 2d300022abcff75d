//! Reads by the client library whose answers may be larger than the server sends in one piece: see [`ReplySize`]. The
//! connection of one that was cut off is lost for all who share it, so it is not asked again here: the fault says that the
//! next attempt asks for less ([`RedisErrorKind::ReplyCutOff`]), or that nothing less can be asked for ([`RedisErrorKind::ReplyTooLarge`]).

use std::sync::Arc;

use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::reply_size::{CutCause, ReplySize, ReplyUnit, too_large};
use super::socket::Expected;

impl Conn {
    fn size(&self) -> Arc<ReplySize> {
        ReplySize::of(self.address())
    }

    /// How many of `item` one write may ask for, of at most `most`.
    pub(super) fn fitting(&self, item: ReplyUnit, most: usize) -> usize {
        usize::try_from(self.size().items(item, 0)).unwrap_or(usize::MAX).clamp(1, most)
    }

    /// Beginnings of strings that one write may ask for ([`super::dump::probe`]), at most.
    #[must_use]
    pub fn texts_at_once(&self) -> usize {
        self.fitting(ReplyUnit::Text, usize::MAX)
    }

    /// Bytes of values that one write may ask for ([`super::dump::values`]), about.
    #[must_use]
    pub fn value_bytes_at_once(&self) -> u64 {
        self.size().items(ReplyUnit::ValueByte, 0)
    }

    /// Values of so many bytes, or more, are not sent by the server.
    #[must_use]
    pub fn value_bytes_end(&self) -> u64 {
        self.size().value_bytes_end()
    }

    /// [`Conn::batch`] of reads, whose answers grow with so many of `item`.
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
                // Boxed, because to connect is a large state that every read would carry along.
                Err(Box::pin(self.cut_off(fault, (item, items), alone)).await)
            }
            // What a server tells of itself comes in one piece.
            Err(fault)
                if fault.is_too_much() && !matches!(item, ReplyUnit::Description | ReplyUnit::Topology) =>
            {
                Err(self.too_much(fault, (item, items), alone))
            }
            Err(fault) => Err(fault),
        }
    }

    /// What `fault` means, which is that more was answered than is read.
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

    /// What `lost` means, by what the server says of itself now.
    async fn cut_off(&self, lost: RedisError, (item, items): (ReplyUnit, u64), alone: bool) -> RedisError {
        let (size, address) = (self.size(), self.address());
        let before = size.account();
        // Who connects takes in what the server says.
        if self.lister().connect().await.is_err() {
            return lost;
        }
        let cause = match (before, size.account()) {
            (Some(before), Some(now)) => before.cause(&now),
            _ => CutCause::Unknown,
        };
        let for_size = size.is_for_size(cause, items);
        if cause == CutCause::Other {
            return lost;
        }
        if for_size {
            size.cut(address, (item, items), cause);
            if alone && item == ReplyUnit::ValueByte {
                size.value_cut(items);
            } else if items <= 1 {
                let said = too_large("the smallest request", cause);
                return RedisError::new(RedisErrorKind::ReplyTooLarge, address, said);
            }
        }
        let said = format!("{}; its `client-output-buffer-limit` may be the cause", lost.detail);
        RedisError::new(RedisErrorKind::ReplyCutOff, address, said)
    }
}

/// Bytes that a server sends for `reply`, about.
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
