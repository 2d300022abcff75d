//! A window of keys that belong to rules: what their TTLs leave undecided is read of them, before they are counted.

use keysweep_model::messages::Reason;
use keysweep_redis::limits::FIELDS_KEYS_AT_ONCE;
use keysweep_redis::{Conn, RedisError, Ttl, WindowReply};

use crate::classify::{Classification, Classifier, KeepReason};
use crate::ruled_keys::{RuledKey, RuledKeys};
use crate::task_scan::{TaskContext, TaskScan};
use crate::walk::ListedWindow;

impl TaskScan {
    /// Classifies and counts the keys of `last`, whose lookups are in `answers`. Returns `false` if the run was cancelled.
    pub(crate) async fn look_up_by_rule(
        &mut self,
        last: &ListedWindow,
        answers: &mut WindowReply,
        conn: &Conn,
        selector: &Classifier<'_>,
        work: &TaskContext<'_>,
    ) -> Result<bool, RedisError> {
        let rules = self.tally.take_rules();
        let keys = rules.iter().zip(last.keys()).zip(answers.seen());
        let mut ruled = RuledKeys::new(selector, keys.map(|((rule, (_, key)), seen)| (*rule, key, *seen)));
        while ruled.is_open() {
            let permit = self.heartbeat.acquire(work.pacer, work.records, work.delivery).await;
            let Some(_permit) = permit else { return Ok(false) };
            self.tally.lookups += ruled.ask(conn, FIELDS_KEYS_AT_ONCE).await?;
        }
        let (mut ruled, lost) = ruled.finish();
        lost.into_iter().for_each(|(index, ttl)| answers.set_ttl(index, ttl));
        if work.fields {
            let keys = persistent(last, &ruled, selector);
            if !self.query_fields(&keys, answers, conn, work).await? {
                return Ok(false);
            }
            for (index, _) in keys {
                ruled[index].verdict = corrected(ruled[index].verdict, answers.seen()[index].ttl);
            }
        }
        self.tally.looked_up_by_rule(last, answers.seen(), &ruled, selector);
        Ok(true)
    }
}

/// The candidates without TTL that may be hashes whose fields expire, each with its index. Querying fields counts as an
/// access, after which the idle time is not what it was: where a condition is about that, only the deletion step queries
/// them, after it has read the idle time.
fn persistent<'k>(
    last: &'k ListedWindow,
    ruled: &[RuledKey],
    selector: &Classifier<'_>,
) -> Vec<(usize, &'k [u8])> {
    let is_about_accesses = |rule: u16| {
        let rule = selector.rule_set.and_then(|rules| rules.rule(rule));
        rule.is_some_and(|rule| rule.facts().is_about_accesses())
    };
    let keys = last.keys().zip(ruled).enumerate();
    let stale = keys.filter(|(_, (_, RuledKey { rule, verdict }))| {
        matches!(verdict, Classification::Candidate(Reason::Stale, _)) && !is_about_accesses(*rule)
    });
    stale.map(|(index, ((_, key), _))| (index, key)).collect()
}

/// The classification of a candidate without TTL, once its fields are known.
fn corrected(verdict: Classification, ttl: Ttl) -> Classification {
    match ttl {
        Ttl::FieldTtls => Classification::Keep(KeepReason::FieldTtl),
        Ttl::Gone | Ttl::Moved => Classification::Gone,
        Ttl::Persistent | Ttl::Remaining(_) => verdict,
    }
}
