//! Which notice is delivered to which receiver next. To each receiver, the notices of one alert go one after the other
//! in the order in which they came about: the next one waits until the one before was received, refused or given up. So
//! `raised` never follows the `resolved` of the same alert, whichever process delivers. A process claims what it is
//! about to deliver, in the book. Pure, with the time as an argument.
//!
//! A process that stands still for longer than [`NOTICE_CLAIM`] in the middle of a post may still come too late: the number
//! of the notice tells a receiver.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::alerts::{AlertNotification, AlertStore, NotificationDelivery};
use shared::limits::{NOTICE_CLAIM, NOTICE_LIFE, NOTICE_PAUSE_MAX};

/// Who receives the notices of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receivers {
    /// Their names, each once.
    pub names: BTreeSet<String>,
    /// Whether there are no others that only another process knows.
    pub all: bool,
}

/// A notice that is ours to deliver to one receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The receiver.
    pub receiver: String,
    /// The notice, as it was before.
    pub notice: AlertNotification,
    /// When it was claimed, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// What a try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The receiver has it.
    Delivered,
    /// It may work later.
    Failed,
    /// The receiver refused it for good.
    Refused,
}

impl Receivers {
    /// Whether `notice` need not be kept for their sake.
    fn have(&self, notice: &AlertNotification) -> bool {
        self.all && self.names.iter().all(|name| notice.deliveries.get(name).is_some_and(|way| way.done))
    }
}

/// Drops the notices that nobody waits for any more.
pub fn tidy(book: &mut AlertStore, receivers: &Receivers, now_ms: u64) {
    book.outbox.retain(|notice| {
        let tried = |way: &NotificationDelivery| way.tries > 0 || way.done;
        let given_up = is_over(notice, now_ms) && notice.deliveries.values().any(tried);
        !given_up && !receivers.have(notice)
    });
}

/// Claims everything that may be delivered to `receivers` now.
pub fn claim(book: &mut AlertStore, receivers: &Receivers, now_ms: u64) -> Vec<Claim> {
    tidy(book, receivers, now_ms);
    let mut claims = Vec::new();
    for receiver in &receivers.names {
        // Alerts of which an earlier notice is not done.
        let mut waiting = BTreeSet::new();
        for notice in &mut book.outbox {
            let before = notice.deliveries.get(receiver);
            if before.is_some_and(|way| way.done) || !waiting.insert(notice.alert.alert.clone()) {
                continue;
            }
            if before.is_none_or(|way| is_free(way, now_ms)) {
                claims.push(Claim { receiver: receiver.clone(), notice: notice.clone(), at_ms: now_ms });
                notice.deliveries.entry(receiver.clone()).or_default().claimed_at_ms = Some(now_ms);
            }
        }
    }
    claims
}

/// Notes what came of a claim. The next try comes after a pause, which is `first` after the first one that failed.
pub fn record_delivery(
    book: &mut AlertStore,
    claim: &Claim,
    tried: DeliveryResult,
    now_ms: u64,
    first: Duration,
) {
    let id = claim.notice.id();
    let Some(notice) = book.outbox.iter_mut().find(|notice| notice.id() == id) else { return };
    let over = is_over(notice, now_ms);
    let way = notice.deliveries.entry(claim.receiver.clone()).or_default();
    if tried == DeliveryResult::Failed && way.claimed_at_ms != Some(claim.at_ms) {
        // Another process tries meanwhile, because we took so long.
        return;
    }
    way.claimed_at_ms = None;
    way.tries += u32::from(tried != DeliveryResult::Delivered);
    way.done |= tried != DeliveryResult::Failed || over;
    way.again_at_ms = now_ms.saturating_add(ms(pause(way.tries, first)));
}

/// The pause after so many tries that failed.
#[must_use]
pub fn pause(tries: u32, first: Duration) -> Duration {
    first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(NOTICE_PAUSE_MAX)
}

fn is_over(notice: &AlertNotification, now_ms: u64) -> bool {
    now_ms.saturating_sub(notice.at_ms) > ms(NOTICE_LIFE)
}

/// Whether a delivery that is not done may be tried. A time that is too far off comes from a clock that was set since.
fn is_free(way: &NotificationDelivery, now_ms: u64) -> bool {
    match way.claimed_at_ms {
        Some(claimed) => claimed.abs_diff(now_ms) > ms(NOTICE_CLAIM),
        None => way.again_at_ms <= now_ms || way.again_at_ms - now_ms > ms(NOTICE_PAUSE_MAX),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
