//! What the application looked up in a stretch of time, out of the readings of servers or the application's own counters.
//! Pure.
//!
//! A server counts everybody's look-ups. Its command statistics say how many of them were made by commands that read no
//! value (TTL, TYPE, DUMP and others), and samples say which look-ups were our own. What is left is the application's, and
//! its number is exact. How many of the others' TTLs and TYPEs found a key is not known, so hits have two bounds, which
//! are as far apart as these are many.

use std::ops::AddAssign;

use shared::counter_snapshot::{
    CommandCounts, CounterSnapshot, Counters, NodeCounters, RunReads, SnapshotPhase,
};
use shared::ids::RunId;
use shared::messages::Lookups;

use super::percent;

/// A rate is shown if its bounds are no further apart, in points.
const POINTS_MAX: f64 = 2.0;

/// How much longer than the time between two samples a process that was restarted in between may say that it has
/// run, in seconds: uptimes and clocks are rounded.
const UPTIME_SLACK_S: u64 = 5;

/// So many more of our own look-ups may be noted than a server has counted: some are noted before they are made.
const NOTED_SLACK: u64 = 10;

/// Why a rate is not known where a server does not tell.
const NOT_TOLD: &str = "a server does not tell its command statistics (INFO commandstats), so look-ups by tools cannot be \
                        told from the application's";

/// The same where it tells something else than what was done.
const NOT_TRUE: &str = "the command statistics of a server (INFO commandstats) count fewer commands than keysweep has sent \
                        it, so look-ups by tools cannot be told from the application's";

/// The same where no server could be asked.
pub(super) const NOT_AT_BEGIN: &str = "the counters could not be read at the beginning of that time";

/// See [`NOT_AT_BEGIN`].
pub(super) const NOT_AT_END: &str = "the counters could not be read at the end of that time";

/// The same where some did not answer.
const NOT_ALL: &str = "fewer servers told their counters at the end of that time than at its beginning";

/// The same where a run never said what it read.
const NO_END: &str = "a run of keysweep began and did not say how it ended (it was killed or given up, or still goes on), so \
                      the values that it read cannot be told from the application's look-ups";

/// The number of look-ups is shown if so many percent of them at most may be our own.
const UNSURE_PERCENT_MAX: u64 = 1;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Look-ups of the application.
    pub lookups: u64,
    /// It had at least so many hits among them.
    pub hits_min: u64,
    /// And at most so many.
    pub hits_max: u64,
    /// Look-ups of others, which read no value, and of which it is not known how many were hits.
    pub others: u64,
    /// So many of all of these at most may be our own.
    pub unsure: u64,
    /// Errors that the application counted; `None` where the source knows none.
    pub errors: Option<u64>,
    /// Restarts, resets and failovers in between.
    pub resets: u32,
    /// Why all of this is not known, if it is not.
    pub unknown: Option<&'static str>,
}

impl AddAssign<&Traffic> for Traffic {
    fn add_assign(&mut self, other: &Traffic) {
        self.lookups = self.lookups.saturating_add(other.lookups);
        self.hits_min = self.hits_min.saturating_add(other.hits_min);
        self.hits_max = self.hits_max.saturating_add(other.hits_max);
        self.others = self.others.saturating_add(other.others);
        self.unsure = self.unsure.saturating_add(other.unsure);
        self.errors = match (self.errors, other.errors) {
            (Some(some), Some(more)) => Some(some.saturating_add(more)),
            (some, more) => some.or(more),
        };
        self.resets += other.resets;
        self.unknown = self.unknown.or(other.unknown);
    }
}

impl Traffic {
    pub(super) fn unknown(why: &'static str) -> Self {
        Self { unknown: Some(why), ..Self::default() }
    }

    /// The number of look-ups, if it is known within one percent.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        let unsure = self.unsure.min(self.lookups);
        let sure = unsure <= self.lookups / 100 * UNSURE_PERCENT_MAX;
        (sure && self.unknown.is_none()).then_some(self.lookups)
    }

    /// The lowest and the highest hit rate that it may have been, in percent; `None` without look-ups, or if they are not
    /// known.
    #[must_use]
    pub fn bounds(&self) -> Option<(f64, f64)> {
        let of = |hits| percent(hits, self.lookups);
        of(self.hits_min).zip(of(self.hits_max)).filter(|_| self.unknown.is_none())
    }

    /// Hits, if they are known well enough: the middle of their bounds.
    #[must_use]
    pub fn hits(&self) -> Option<u64> {
        let near = self.bounds().is_none_or(|(min, max)| max - min <= POINTS_MAX);
        (near && self.unknown.is_none()).then(|| self.hits_min.midpoint(self.hits_max))
    }

    /// The hit rate in percent, if it is known within two points.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.hits()?;
        self.bounds().map(|(min, max)| min.midpoint(max))
    }

    /// Why there is no hit rate although there were look-ups.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        if let Some(why) = self.unknown {
            return Some(why.to_owned());
        }
        let (min, max) = self.bounds().filter(|_| self.hits().is_none() || self.number().is_none())?;
        if self.number().is_none() {
            return Some(format!(
                "it is between {min:.1}% and {max:.1}%: of {} look-ups at most, up to {} may be those of runs of keysweep \
                 that were cut off or still go on, or in which counters were reset",
                self.lookups, self.unsure
            ));
        }
        Some(format!(
            "it is between {min:.1}% and {max:.1}%: beside {} look-ups of the application there were {} by commands that \
             read no value (TTL, TYPE, OBJECT, DUMP and others), and the server does not count which of them found a key; \
             counters of the application itself tell it (`--hit-rate`)",
            self.lookups, self.others
        ))
    }
}

/// What others than us looked up on servers between the first and the last of `samples`. Beside the runs that say it
/// themselves, `unended` ones read values of which nothing else is known.
pub(super) fn of_servers(samples: &[&CounterSnapshot], unended: RunReads) -> Traffic {
    let told = |sample: Option<&&CounterSnapshot>| sample.map_or(0, |sample| sample.nodes.len());
    if told(samples.last()) < told(samples.first()) {
        return Traffic::unknown(NOT_ALL);
    }
    if unended == RunReads::Values {
        return Traffic::unknown(NO_END);
    }
    let mut nodes: Vec<_> = samples.iter().flat_map(|s| s.nodes.iter().map(|r| &r.node)).collect();
    nodes.sort();
    nodes.dedup();
    let mut total = Traffic::default();
    for node in nodes {
        let reading =
            |sample: &&CounterSnapshot| sample.nodes.iter().position(|reading| reading.node == *node);
        let readings: Vec<Option<NodeSnapshot<'_>>> = samples
            .iter()
            .map(|sample| Some(NodeSnapshot { sample, reading: &sample.nodes[reading(sample)?] }))
            .collect();
        total += &of_node(&readings, unended);
    }
    total
}

/// A reading of a node with its sample.
#[derive(Clone, Copy)]
struct NodeSnapshot<'a> {
    sample: &'a CounterSnapshot,
    reading: &'a NodeCounters,
}

/// What others looked up at a node.
fn of_node(readings: &[Option<NodeSnapshot<'_>>], unended: RunReads) -> Traffic {
    let (mut total, mut part) = (Traffic::default(), NodeTraffic::default());
    let mut before: Option<(NodeSnapshot<'_>, CommandCounts)> = None;
    for now in readings.iter().flatten() {
        let Some(commands) = now.reading.commands else { return Traffic::unknown(NOT_TOLD) };
        if unended != RunReads::Nothing && commands.scripts.is_none() {
            return Traffic::unknown(NO_END);
        }
        match before {
            Some((earlier, counts)) if is_continuous((earlier.reading, counts), (now.reading, commands)) => {
                part.continued(earlier, *now, commands.since(counts));
            }
            Some((earlier, _)) => {
                total.resets += 1;
                total += &part.traffic(unended);
                part = NodeTraffic::after_restart(earlier, *now, commands);
            }
            // A node that came later: what it counted before is not known.
            None => total.resets += u32::from(readings.first().is_some_and(Option::is_none)),
        }
        if let (SnapshotPhase::Begin, Some(run)) = (now.sample.moment, now.sample.run_id) {
            part.begun.push(run);
        }
        before = Some((*now, commands));
    }
    total += &part.traffic(unended);
    total
}

/// Whether counters went on from one reading to the next: nothing fell, and nobody reset them.
fn is_continuous(
    (before, was): (&NodeCounters, CommandCounts),
    (now, is): (&NodeCounters, CommandCounts),
) -> bool {
    before.process == now.process
        && before.lookups.hits <= now.lookups.hits
        && before.lookups.misses <= now.lookups.misses
        && was.one_lookup <= is.one_lookup
        && was.all <= is.all
        && was.connections <= is.connections
        && (was.resets, was.reset_us) == (is.resets, is.reset_us)
}

/// A part of a stretch of time in which the counters of a node went on.
#[derive(Default)]
struct NodeTraffic {
    /// What they gained.
    gained: Lookups,
    /// Those by commands that read no value.
    one_lookup: u64,
    /// Calls of scripts.
    scripts: u64,
    /// Our own among them.
    own: Lookups,
    /// Reads of ours of which it is not known whether they are among them.
    uncertain: u64,
    /// Runs of ours that began in it.
    begun: Vec<RunId>,
}

impl NodeTraffic {
    fn continued(&mut self, before: NodeSnapshot<'_>, now: NodeSnapshot<'_>, commands: CommandCounts) {
        let (was, is) = (before.reading, now.reading);
        self.gained +=
            Lookups::of(is.lookups.hits - was.lookups.hits, is.lookups.misses - was.lookups.misses);
        self.one_lookup = self.one_lookup.saturating_add(commands.one_lookup);
        self.scripts = self.scripts.saturating_add(commands.scripts.unwrap_or_default());
        self.own += was.own_after;
        // A run's own look-ups are known as a whole: those before a reset are not among these.
        let known = now.sample.moment != SnapshotPhase::End
            || now.sample.run_id.is_none_or(|run| self.begun.contains(&run));
        if known {
            self.own += is.own_before;
        } else {
            self.uncertain = self.uncertain.saturating_add(is.own_before.reads);
        }
    }

    /// After the counters began anew between `before` and `now`.
    fn after_restart(before: NodeSnapshot<'_>, now: NodeSnapshot<'_>, commands: CommandCounts) -> Self {
        let since_s = now.sample.at_ms.saturating_sub(before.sample.at_ms) / 1_000;
        let same = before.reading.process == now.reading.process;
        if !same && now.reading.uptime_s > since_s + UPTIME_SLACK_S {
            // Another server that has run for longer has counted what we know nothing of.
            return Self::default();
        }
        let own = before.reading.own_after.reads.saturating_add(now.reading.own_before.reads);
        Self {
            gained: now.reading.lookups,
            one_lookup: commands.one_lookup,
            scripts: commands.scripts.unwrap_or_default(),
            uncertain: own,
            ..Self::default()
        }
    }

    fn traffic(&self, unended: RunReads) -> Traffic {
        // Waiting for the lock of its job, a run looks at it without a script now and then.
        let scripts = self.scripts.saturating_add(NOTED_SLACK);
        let cut_off = if unended == RunReads::Nothing { 0 } else { scripts };
        let ours = self.own.all().saturating_sub(self.own.reads);
        let beyond = ours.saturating_sub(self.one_lookup);
        if beyond > NOTED_SLACK.max(ours / 100) {
            return Traffic::unknown(NOT_TRUE);
        }
        let others = self.one_lookup.saturating_sub(ours);
        let explained = self.one_lookup.saturating_add(self.own.reads);
        let lookups = self.gained.all().saturating_sub(explained);
        let hits = self.gained.hits.saturating_sub(self.own.hits);
        let unsure = self.uncertain.saturating_add(beyond).saturating_add(cut_off);
        Traffic {
            lookups,
            hits_min: hits.saturating_sub(others).saturating_sub(unsure).min(lookups),
            hits_max: hits.saturating_add(unsure).min(lookups),
            others,
            unsure: unsure.min(lookups),
            errors: None,
            resets: 0,
            unknown: None,
        }
    }
}

/// What an application's own counters gained.
pub(super) fn of_application(counters: &[Counters]) -> Traffic {
    let mut total = Traffic::default();
    for pair in counters.windows(2) {
        let [before, now] = pair else { continue };
        let fell = now.hits < before.hits || now.misses < before.misses || now.errors < before.errors;
        let before = if fell { Counters::default() } else { *before };
        let hits = now.hits - before.hits;
        total += &Traffic {
            lookups: hits.saturating_add(now.misses - before.misses),
            hits_min: hits,
            hits_max: hits,
            errors: now.errors.map(|errors| errors - before.errors.unwrap_or_default()),
            resets: u32::from(fell),
            ..Traffic::default()
        };
    }
    total
}
