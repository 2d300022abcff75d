//! What the log says of refused requests: one line of each kind at a limited rate, whatever clients do. Pure: `now` is an
//! argument. Nothing that a client sends is repeated.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use keysweep_model::log_pace::LogPace;

use crate::limits::REFUSALS_LOG_EVERY;

/// Why a request was refused that an operator wants to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// A token that is none of ours.
    WrongToken,
    /// An address that has sent too many of them.
    Guessing,
    /// A host name under which the page is not served.
    ForeignHost,
    /// A request of a browser that is not one of our page.
    OtherSite,
}

/// The lines so far.
#[derive(Default)]
pub(super) struct Refusals(BTreeMap<Refusal, LogPace>);

impl Refusals {
    /// Counts a refusal of a request from `peer`; returns the line to log, if it is time for one.
    pub(super) fn note(&mut self, refusal: Refusal, peer: IpAddr, now: Instant) -> Option<String> {
        let pace = self.0.entry(refusal).or_insert_with(|| LogPace::new(REFUSALS_LOG_EVERY));
        let more = pace.note(now)?;
        let what = match refusal {
            Refusal::WrongToken => "a wrong token",
            Refusal::Guessing => "all tokens for a moment, after too many wrong ones,",
            Refusal::ForeignHost => "a request for a host name that is not in `hosts` under `[serve]`,",
            Refusal::OtherSite => "a request that another site may have arranged,",
        };
        Some(format!("HTTP: refused {what} from {peer}{more}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_line_of_its_own() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let peer = IpAddr::from([10, 0, 0, 7]);
        let first = refusals.note(Refusal::WrongToken, peer, now);
        assert_eq!(first.as_deref(), Some("HTTP: refused a wrong token from 10.0.0.7"));
        assert_eq!(refusals.note(Refusal::WrongToken, peer, now), None);
        assert!(refusals.note(Refusal::ForeignHost, peer, now).is_some());
        let later = refusals.note(Refusal::WrongToken, peer, now + REFUSALS_LOG_EVERY);
        assert!(later.is_some_and(|line| line.ends_with(" (1 more times since the last such line)")));
    }
}
