//! The application's lookups in an interval, from the counters of servers or of the application itself. Pure.
//!
//! A server counts the lookups of all clients. Its command statistics show how many were made by commands that read no
//! value (TTL, TYPE, DUMP and others), and samples record keysweep's own lookups. The rest is the application's, and
//! its number is exact. How many of the other clients' TTL and TYPE commands found a key is unknown, so hits have a
//! lower and an upper bound, which differ by the number of those commands.
//! are as far apart as these are many.

use std::ops::AddAssign;

use keysweep_model::counters::{CommandCounts, Counters, NodeCounters};
use keysweep_model::ids::RunId;
use keysweep_model::messages::Lookups;
use keysweep_storage::counter_snapshot::{CounterSnapshot, RunReads, SnapshotPhase};

use super::percent;

/// A rate is shown if its bounds differ by at most this many percentage points.
const POINTS_MAX: f64 = 2.0;

/// By how many seconds the uptime of a process restarted between two samples may exceed the time between them: uptimes
/// and clocks are rounded.
const UPTIME_SLACK_S: u64 = 5;

/// How many more own lookups may be recorded than the server has counted: some are recorded in advance.
const RECORDED_SLACK: u64 = 10;

/// Why a rate is unknown: a server does not report command statistics.
const NO_COMMAND_STATS: &str = "a server does not report command statistics (INFO commandstats), so lookups by tools \
                        cannot be distinguished from the application's";

/// Why a rate is unknown: the command statistics are implausible.
const WRONG_COMMAND_STATS: &str = "the command statistics of a server (INFO commandstats) count fewer commands than \
                        keysweep sent to it, so lookups by tools cannot be distinguished from the application's";

/// Why a rate is unknown: no server was reachable.
pub(super) const NOT_AT_BEGIN: &str = "the counters could not be read at the beginning of the window";

/// See [`NOT_AT_BEGIN`].
pub(super) const NOT_AT_END: &str = "the counters could not be read at the end of the window";

/// Why a rate is unknown: some servers did not answer.
const SERVERS_MISSING: &str =
    "fewer servers reported counters at the end of the window than at its beginning";

/// Why a rate is unknown: a run did not report its reads.
const RUN_WITHOUT_END: &str = "a run of keysweep started and did not report its end (it was killed, failed or is still \
                      running), so the values that it read cannot be distinguished from the application's lookups";

/// The number of lookups is shown if at most this percentage may be keysweep's own.
const UNSURE_PERCENT_MAX: u64 = 1;

/// The application's lookups in an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The application's lookups.
    pub lookups: u64,
    /// The lower bound of their hits.
    pub hits_min: u64,
    /// The upper bound of their hits.
    pub hits_max: u64,
    /// Lookups by other commands that read no value; how many were hits is unknown.
    pub others: u64,
    /// How many of all these lookups may be keysweep's own, at most.
    pub unsure: u64,
    /// Errors counted by the application; `None` if the source does not count them.
    pub errors: Option<u64>,
    /// Restarts, resets and failovers in the interval.
    pub resets: u32,
    /// Why the figures are unknown, if so.
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

    /// The number of lookups, if it is known within one percent.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        let unsure = self.unsure.min(self.lookups);
        let sure = unsure <= self.lookups / 100 * UNSURE_PERCENT_MAX;
        (sure && self.unknown.is_none()).then_some(self.lookups)
    }

    /// The lower and upper bound of the hit rate, in percent; `None` without lookups, or if they are unknown.
    #[must_use]
    pub fn bounds(&self) -> Option<(f64, f64)> {
        let of = |hits| percent(hits, self.lookups);
        of(self.hits_min).zip(of(self.hits_max)).filter(|_| self.unknown.is_none())
    }

    /// Hits, if their bounds are close enough: the middle of the bounds.
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

    /// Why there is no hit rate although there were lookups.
    #[must_use]
    pub fn unknown_reason(&self) -> Option<String> {
        if let Some(why) = self.unknown {
            return Some(why.to_owned());
        }
        let (min, max) = self.bounds().filter(|_| self.hits().is_none() || self.number().is_none())?;
        if self.number().is_none() {
            return Some(format!(
                "it is between {min:.1}% and {max:.1}%: of at most {} lookups, up to {} may belong to runs of keysweep \
                 that were interrupted or are still running, or during which counters were reset",
                self.lookups, self.unsure
            ));
        }
        Some(format!(
            "it is between {min:.1}% and {max:.1}%: in addition to {} lookups of the application, there were {} by \
             commands that read no value (TTL, TYPE, OBJECT, DUMP and others), and the server does not count their \
             hits; use the application's own counters instead (`--hit-rate`)",
            self.lookups, self.others
        ))
    }
}

/// The lookups of other clients on the servers between the first and the last of `samples`. `unended`: what runs
/// without an end sample read in addition to the runs with one.
pub(super) fn of_servers(samples: &[&CounterSnapshot], unended: RunReads) -> Traffic {
    let reported = |sample: Option<&&CounterSnapshot>| sample.map_or(0, |sample| sample.nodes.len());
    if reported(samples.last()) < reported(samples.first()) {
        return Traffic::unknown(SERVERS_MISSING);
    }
    if unended == RunReads::Values {
        return Traffic::unknown(RUN_WITHOUT_END);
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

/// The counters of a node with their sample.
#[derive(Clone, Copy)]
struct NodeSnapshot<'a> {
    sample: &'a CounterSnapshot,
    reading: &'a NodeCounters,
}

/// The lookups of other clients at a node.
fn of_node(readings: &[Option<NodeSnapshot<'_>>], unended: RunReads) -> Traffic {
    let (mut total, mut part) = (Traffic::default(), NodeTraffic::default());
    let mut before: Option<(NodeSnapshot<'_>, CommandCounts)> = None;
    for now in readings.iter().flatten() {
        let Some(commands) = now.reading.commands else { return Traffic::unknown(NO_COMMAND_STATS) };
        if unended != RunReads::Nothing && commands.scripts.is_none() {
            return Traffic::unknown(RUN_WITHOUT_END);
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
            // A node that appeared later: its earlier counts are unknown.
            None => total.resets += u32::from(readings.first().is_some_and(Option::is_none)),
        }
        if let (SnapshotPhase::Begin, Some(run)) = (now.sample.phase, now.sample.run_id) {
            part.begun.push(run);
        }
        before = Some((*now, commands));
    }
    total += &part.traffic(unended);
    total
}

/// Whether counters continued from one snapshot to the next: no counter fell, and no client reset them.
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

/// A part of an interval in which the counters of a node continued.
#[derive(Default)]
struct NodeTraffic {
    /// The lookups counted.
    gained: Lookups,
    /// Lookups by commands that read no value.
    one_lookup: u64,
    /// Script calls.
    scripts: u64,
    /// Keysweep's own lookups among them.
    own: Lookups,
    /// Keysweep's own reads that may or may not be among them.
    uncertain: u64,
    /// Runs that started in this part.
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
        // A run's own lookups are only known as a whole: those before a reset are not in these counters.
        let known = now.sample.phase != SnapshotPhase::End
            || now.sample.run_id.is_none_or(|run| self.begun.contains(&run));
        if known {
            self.own += is.own_before;
        } else {
            self.uncertain = self.uncertain.saturating_add(is.own_before.reads);
        }
    }

    /// The part after the counters restarted between `before` and `now`.
    fn after_restart(before: NodeSnapshot<'_>, now: NodeSnapshot<'_>, commands: CommandCounts) -> Self {
        let since_s = now.sample.at_ms.saturating_sub(before.sample.at_ms) / 1_000;
        let same = before.reading.process == now.reading.process;
        if !same && now.reading.uptime_s > since_s + UPTIME_SLACK_S {
            // Another server with a longer uptime counted lookups from before the interval.
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
        // While a run waits for its job's lock, it occasionally reads the lock without a script.
        let scripts = self.scripts.saturating_add(RECORDED_SLACK);
        let interrupted = if unended == RunReads::Nothing { 0 } else { scripts };
        let ours = self.own.all().saturating_sub(self.own.reads);
        let excess = ours.saturating_sub(self.one_lookup);
        if excess > RECORDED_SLACK.max(ours / 100) {
            return Traffic::unknown(WRONG_COMMAND_STATS);
        }
        let others = self.one_lookup.saturating_sub(ours);
        let explained = self.one_lookup.saturating_add(self.own.reads);
        let lookups = self.gained.all().saturating_sub(explained);
        let hits = self.gained.hits.saturating_sub(self.own.hits);
        let unsure = self.uncertain.saturating_add(excess).saturating_add(interrupted);
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

/// The traffic from an application's own counters.
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
