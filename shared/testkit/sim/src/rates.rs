//! How often the network and the broker fail, until their faults end.

use std::sync::atomic::{AtomicBool, Ordering};

/// How often connections fail, in parts of 100,000 per exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetRates {
    /// The connection is cut, after some of the commands that were sent together, and within their replies.
    pub(crate) cut: u32,
    /// A reply takes a second or more.
    pub(crate) slow: u32,
}

/// How often the broker fails, in parts of 100,000 per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BrokerRates {
    /// A request fails, and has no effect.
    pub(crate) refused: u32,
    /// A request has its effect, and its answer is lost.
    pub(crate) unanswered: u32,
    /// A message comes twice.
    pub(crate) doubled: u32,
    /// The queue says that it is full.
    pub(crate) full: u32,
    /// A message is accepted, and forgotten.
    pub(crate) lost: u32,
    /// A message is accepted, and comes with other bytes.
    pub(crate) garbled: u32,
    /// A file cannot be written to the object store.
    pub(crate) unsaved: u32,
}

/// The rates of a world.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    net: NetRates,
    broker: BrokerRates,
    have_ended: AtomicBool,
}

impl Rates {
    pub(crate) fn new(net: NetRates, broker: BrokerRates) -> Self {
        Self { net, broker, have_ended: AtomicBool::new(false) }
    }

    /// Nothing fails by chance any more.
    pub(crate) fn end(&self) {
        self.have_ended.store(true, Ordering::Relaxed);
    }

    /// Those of now.
    pub(crate) fn net(&self) -> NetRates {
        if self.have_ended.load(Ordering::Relaxed) { NetRates::default() } else { self.net }
    }

    /// Those of now.
    pub(crate) fn broker(&self) -> BrokerRates {
        if self.have_ended.load(Ordering::Relaxed) { BrokerRates::default() } else { self.broker }
    }
}

/// Whether something happens that does so many times in 100,000.
pub(crate) fn happens(rate: u32) -> bool {
    rate > 0 && fastrand::u32(..100_000) < rate
}
