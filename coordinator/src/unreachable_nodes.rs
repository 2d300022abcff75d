//! The nodes that are unreachable when a run is planned.

use keysweep_model::duration;
use keysweep_model::messages::UnreachableNode;
use keysweep_model::slot::SlotSet;
use keysweep_redis::limits::{PREFLIGHT_TIMEOUT, UNREACHABLE_NAMED_MAX};
use keysweep_redis::{Primary, RedisError, RedisErrorKind};
use reporter::grouped;

use crate::preflight::PreflightError;

/// The unreachable nodes. A run covers the rest of the cluster, and reports their slots as missing.
pub(crate) struct UnreachableNodes {
    /// All primaries.
    primaries: usize,
    pub(crate) slots: SlotSet,
    /// Listed individually, up to a limit.
    named: Vec<UnreachableNode>,
    /// Further failed ones, with the last error.
    further: FailureCount,
    last: Option<RedisError>,
    /// Primaries that did not respond before the deadline of the checks.
    unmet: FailureCount,
}

/// Primaries that are not listed individually.
#[derive(Default)]
struct FailureCount {
    count: usize,
    slots: SlotSet,
}

impl FailureCount {
    fn add(&mut self, primary: &Primary) {
        self.count += 1;
        self.slots.extend(&primary.slots);
    }
}

impl UnreachableNodes {
    /// No unreachable node among so many primaries.
    pub(crate) fn of(primaries: usize) -> Self {
        Self {
            primaries,
            slots: SlotSet::new(),
            named: Vec::new(),
            further: FailureCount::default(),
            last: None,
            unmet: FailureCount::default(),
        }
    }

    /// The result of checking a primary; `None` if it is unreachable.
    pub(crate) fn unless_down<T>(
        &mut self,
        primary: &Primary,
        seen: Result<T, PreflightError>,
    ) -> Result<Option<T>, PreflightError> {
        match seen {
            Ok(seen) => Ok(Some(seen)),
            // A node that accepts no more connections may accept fewer still during the run.
            Err(PreflightError::Redis(fault)) if fault.kind == RedisErrorKind::TooManyClients => {
                Err(fault.into())
            }
            Err(PreflightError::Redis(fault)) if self.primaries > 1 && fault.kind.is_transient() => {
                self.failed(primary, fault);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn failed(&mut self, primary: &Primary, fault: RedisError) {
        self.slots.extend(&primary.slots);
        if self.named.len() < UNREACHABLE_NAMED_MAX {
            tracing::warn!(error = %fault, slots = %primary.slots, "node unreachable, excluded from the run");
            self.named.push(UnreachableNode { cause: fault.to_string(), slots: primary.slots.clone() });
        } else {
            self.further.add(primary);
        }
        self.last = Some(fault);
    }

    /// Records a primary that did not respond before the deadline.
    pub(crate) fn unmet(&mut self, primary: &Primary) {
        self.slots.extend(&primary.slots);
        self.unmet.add(primary);
    }

    /// Logs how many were checked, if some were not.
    pub(crate) fn log(&self, met: usize) {
        if self.unmet.count > 0 {
            tracing::warn!("{}: {} were checked", self.unmet_in_time(), grouped(met as u64));
        }
    }

    /// `1,616 of 2,000 primaries were not checked within 60s, and 384 failed`
    fn unmet_in_time(&self) -> String {
        let [unmet, all, failed] =
            [self.unmet.count, self.primaries, self.failures()].map(|count| grouped(count as u64));
        let limit = duration::show(PREFLIGHT_TIMEOUT);
        format!("{unmet} of {all} primaries were not checked within {limit}, and {failed} failed")
    }

    fn failures(&self) -> usize {
        self.named.len() + self.further.count
    }

    /// Why no primary is reachable.
    pub(crate) fn all(&self, first: &Primary) -> RedisError {
        const NAT: &str =
            "if the addresses that it announces are not reachable from here, map them with `--address-map`";
        let all = grouped(self.primaries as u64);
        match &self.last {
            Some(fault) if self.unmet.count == 0 => {
                let detail = format!("{}, like all {all} primaries of the cluster; {NAT}", fault.detail);
                RedisError { detail, ..fault.clone() }
            }
            last => {
                let so = last.as_ref().map(|fault| format!(", as this one: {}", fault.detail));
                let detail = format!("{}{}; {NAT}", self.unmet_in_time(), so.unwrap_or_default());
                let address = format!("{}:{}", first.host, first.port);
                let address = last.as_ref().map_or(address, |fault| fault.address.clone());
                RedisError::new(RedisErrorKind::Unreachable, address, detail)
            }
        }
    }

    /// The entries in the run's plan.
    pub(crate) fn into_nodes(self) -> Vec<UnreachableNode> {
        let (further, unmet) = (grouped(self.further.count as u64), self.unmet_in_time());
        let last = self.last.map(|fault| format!("; the last one: {fault}")).unwrap_or_default();
        let counted =
            [(format!("{further} further primaries failed{last}"), self.further), (unmet, self.unmet)];
        let counted = counted.into_iter().filter(|(_, primaries)| primaries.count > 0);
        let counted = counted.map(|(cause, primaries)| UnreachableNode { cause, slots: primaries.slots });
        self.named.into_iter().chain(counted).collect()
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::NodeId;

    use super::*;

    fn primary(n: u16) -> Primary {
        Primary {
            node: NodeId::new(n.to_string()),
            host: "10.0.0.1".to_owned(),
            port: n,
            slots: SlotSet::from_iter([n]),
            replicas: Vec::new(),
        }
    }

    #[test]
    fn the_first_unreachable_nodes_are_listed_and_the_others_counted() {
        let mut down = UnreachableNodes::of(2_000);
        for n in 0..384 {
            let silent = RedisError::new(RedisErrorKind::Unreachable, format!("10.0.0.1:{n}"), "no answer");
            assert!(down.unless_down::<()>(&primary(n), Err(silent.into())).unwrap().is_none());
        }
        (384..2_000).for_each(|n| down.unmet(&primary(n)));
        let fault = down.all(&primary(0)).to_string();
        let counts = "1,616 of 2,000 primaries were not checked within 1m, and 384 failed";
        assert!(fault.contains(counts) && fault.contains("`10.0.0.1:383`"), "{fault}");
        assert_eq!(down.slots, (0..2_000).collect());
        let left_out = down.into_nodes();
        assert_eq!(left_out.len(), UNREACHABLE_NAMED_MAX + 2);
        let further = &left_out[UNREACHABLE_NAMED_MAX];
        assert!(further.cause.starts_with("284 further primaries failed; the last one: "), "{further:?}");
        assert_eq!(further.slots, (100..384).collect());
        assert_eq!(left_out.last().unwrap().cause, counts);
    }

    #[test]
    fn if_all_primaries_fail_the_last_error_is_shown() {
        let mut down = UnreachableNodes::of(3);
        for n in 0..3 {
            let refused = RedisError::new(RedisErrorKind::Unreachable, format!("10.0.0.1:{n}"), "refused");
            assert!(down.unless_down::<()>(&primary(n), Err(refused.into())).unwrap().is_none());
        }
        assert!(down.all(&primary(0)).detail.starts_with("refused, like all 3 primaries of the cluster"));
        assert_eq!(down.into_nodes().len(), 3);
    }

    #[test]
    fn if_no_primary_responds_in_time_the_first_address_is_shown() {
        let mut down = UnreachableNodes::of(2);
        (0..2).for_each(|n| down.unmet(&primary(n)));
        let fault = down.all(&primary(0));
        assert_eq!((fault.kind, fault.address.as_str()), (RedisErrorKind::Unreachable, "10.0.0.1:0"));
    }
}
