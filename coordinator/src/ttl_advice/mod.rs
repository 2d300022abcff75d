//! What another TTL would do to a cache, from looks at its servers: `keysweep-ttl-advice` estimates, this module samples.
//! Hits and misses need two looks, so what a look saw is kept for the next one. Nothing is written to the servers.

mod counted;
mod look;
mod panel;
mod record;
mod refused;
mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::duration::millis;
use keysweep_model::glob::PatternError;
use keysweep_model::ids::NodeId;
use keysweep_model::messages::{Lookups, Rules};
use keysweep_model::time::now_ms;
use keysweep_redis::{RedisError, Throttle};
use keysweep_runtime::collect::{self, SnapshotMeta};
use keysweep_runtime::context::Context;
use keysweep_storage::counter_snapshot::{self, CounterSnapshot, SnapshotPhase};
use keysweep_storage::store::StoreError;
use keysweep_ttl_advice::limits::{FOLLOWED_MIN, FOLLOWED_SHARE_MIN};
use keysweep_ttl_advice::{Idle, Observation, Refusal, SampledKey, Traffic, advise, upper_end};
use reporter::span;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use self::counted::CountedInterval;
use self::look::{Places, SeenKey, TtlSample};
use self::panel::{Found, Panel, PanelKey, Since, tolerance};
use self::record::Selection;
use self::refused::{loaded, without_ttl};
use self::report::seconds;
pub use self::report::{RecommendedTtl, TtlAdvice, TtlDiagnostics, TtlEstimate, TtlPoint};
use crate::discover::discover;
use crate::inspect::databases;
use crate::limits::{TTL_CALL_AGAIN_MIN, TTL_LOOK_PAUSE_MIN, TTL_LOOKS, TTL_PANEL_NAME_BYTES};
use crate::options::Options;
use crate::preflight::PreflightError;

/// The seed of random weights: the same looks give the same advice.
const SEED: u64 = 1;

/// What advice is asked for.
#[derive(Clone, Debug, Default)]
pub struct TtlRequest {
    /// The database; `None`: all that have keys.
    pub db: Option<u32>,
    /// Patterns of the keys; empty: all keys.
    pub patterns: Vec<String>,
    /// The TTL that the application sets, if it is known.
    pub configured_ttl: Option<Duration>,
    /// The hit rate to reach, 0 to 1; without it, memory decides.
    pub target_hit_rate: Option<f64>,
    /// For how long to look again before the answer.
    pub look_for: Duration,
}

/// Why there is no answer at all.
#[derive(Debug, Error)]
pub enum TtlAdviceError {
    /// A server failed, or refused a command.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// No server can be reached.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Not all servers report their counters.
    #[error("not all primaries report their counters: {0}")]
    Silent(String),
    /// It has no PEXPIRETIME.
    #[error("TTL advice needs Redis 7.0 or newer, or Valkey; `{address}` is {version}")]
    TooOld {
        /// The server.
        address: String,
        /// Its version.
        version: String,
    },
    /// A pattern that Redis would not accept.
    #[error("pattern {0}")]
    Pattern(#[from] PatternError),
    /// The application's counters cannot be read.
    #[error("the application's hits and misses are not known: {0}")]
    Application(String),
    /// What was seen cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Looks at the deployment of `options`, and advises. What was seen is kept in the history of `context` for the next call.
///
/// # Errors
/// When servers or the history cannot be used.
pub async fn ttl_advice(
    context: &Context,
    options: &Options,
    request: &TtlRequest,
) -> Result<TtlAdvice, TtlAdviceError> {
    let numbers = match request.db {
        Some(db) => vec![db],
        None => databases(options).await?,
    };
    let mut clients = Vec::new();
    for db in numbers {
        clients.push((db, discover(&options.clone().of_database(db)).await?));
    }
    let places = Places::new(clients, Throttle::of(&options.pacing));
    let patterns: Vec<&str> = request.patterns.iter().map(String::as_str).collect();
    let patterns: &[&str] = if patterns.is_empty() { &["*"] } else { &patterns };
    let rules = Rules { sources: options.rules.sources.clone(), ..Rules::deleting(patterns, &[])? };
    let looking = Looking { context, options, request, places, rules };
    let until = Instant::now() + request.look_for;
    let mut advice = looking.whole_look().await?;
    while Instant::now() < until {
        let ttl =
            advice.diagnostics.current_ttl_seconds.map_or(Duration::from_secs(1), Duration::from_secs_f64);
        let pause = (ttl / TTL_LOOKS).max(TTL_LOOK_PAUSE_MIN);
        sleep(pause.min(until.duration_since(Instant::now()))).await;
        if Instant::now() < until {
            looking.look_at_panel().await?;
        } else {
            advice = looking.whole_look().await?;
        }
    }
    Ok(advice)
}

/// What all looks of one call share.
struct Looking<'a> {
    context: &'a Context,
    options: &'a Options,
    request: &'a TtlRequest,
    places: Places,
    rules: Rules,
}

/// What a look found, with the panel as it was before.
struct Look {
    sample: TtlSample,
    panel: Option<Panel>,
    found: Vec<Found>,
    at_ms: u64,
}

impl Looking<'_> {
    fn selection(&self) -> Selection {
        Selection { db: self.request.db, patterns: self.request.patterns.clone() }
    }

    /// Looks at the keys of the panel only.
    async fn look_at_panel(&self) -> Result<(), TtlAdviceError> {
        let look = self.look(false).await?;
        if let Some(panel) = look.panel {
            record::write(self.context, self.options, self.selection(), &panel).await?;
        }
        Ok(())
    }

    /// Looks at the keys of the panel and at a new sample, and advises.
    async fn whole_look(&self) -> Result<TtlAdvice, TtlAdviceError> {
        let look = self.look(true).await?;
        let configured = self.request.configured_ttl.map(millis);
        let remaining: Vec<u64> = look.sample.keys.iter().map(|key| key.remaining_ms).collect();
        let ttl_ms = configured.or_else(|| upper_end(&remaining));
        // Chance moves what is derived from keys a little; a panel of another TTL is of no use.
        let kept = look.panel.as_ref().map(|panel| panel.ttl_ms);
        let kept = kept.filter(|kept_ms| ttl_ms.is_some_and(|ttl_ms| is_near(ttl_ms, *kept_ms)));
        let ttl_ms = kept.or(ttl_ms);
        let look = Look { panel: look.panel.filter(|_| kept.is_some()), ..look };
        let mut known = TtlDiagnostics {
            current_ttl_seconds: ttl_ms.map(seconds),
            ttl_from: ttl_ms.map(|_| if configured.is_some() { "configured" } else { "keys" }),
            sampled_keys: look.sample.keys.len() as u64,
            live_keys: Some(look.sample.live_keys),
            key_bytes: look.sample.key_bytes,
            ..TtlDiagnostics::default()
        };
        let Some(ttl_ms) = ttl_ms.filter(|_| !remaining.is_empty()) else {
            return Ok(TtlAdvice::refused(without_ttl(remaining.len()), known));
        };
        let again = (Duration::from_millis(ttl_ms) / 2).max(TTL_CALL_AGAIN_MIN);
        known.call_again_seconds = Some(again.as_secs_f64());
        let interval =
            CountedInterval::of(self.context, self.options, look.panel.as_ref(), look.at_ms).await?;
        let advice = self.advice(&look, ttl_ms, interval.as_ref(), known, again);
        let was_reset = interval.as_ref().is_none_or(CountedInterval::was_reset);
        let panel = match look.panel {
            Some(panel) if !was_reset && !panel.is_over(look.at_ms) => panel,
            _ => begin(&look.sample, ttl_ms, look.at_ms),
        };
        record::write(self.context, self.options, self.selection(), &panel).await?;
        Ok(advice)
    }

    /// Reads the counters, follows the panel that is kept, and takes a new sample if `samples`. The counters are kept with the
    /// lookups made after them, so that hit rates of any time can leave those out.
    async fn look(&self, samples: bool) -> Result<Look, TtlAdviceError> {
        let mut panel = record::read(self.context, self.options, &self.selection()).await?;
        let mut taken = self.snapshot().await?;
        let at_ms = taken.at_ms;
        let mut own: BTreeMap<NodeId, Lookups> = BTreeMap::new();
        let looked = async {
            let found = match &panel {
                Some(panel) => self.places.follow(&panel.keys, &mut own).await?,
                None => Vec::new(),
            };
            let sample = match samples {
                true => self.places.sample(&self.rules, &mut own).await?,
                false => TtlSample::default(),
            };
            Ok::<_, TtlAdviceError>((found, sample))
        };
        let looked = looked.await;
        for node in &mut taken.nodes {
            node.own_after = own.get(&node.node).copied().unwrap_or_default();
        }
        counter_snapshot::create(&*self.context.history_store, taken).await?;
        let (found, sample) = looked?;
        if let Some(panel) = &mut panel {
            panel.follow(&found);
        }
        Ok(Look { sample, panel, found, at_ms })
    }

    async fn snapshot(&self) -> Result<CounterSnapshot, TtlAdviceError> {
        let (options, context) = (self.options, self.context);
        let source = &options.application.hit_rate;
        let application = match self.places.first() {
            Some(client) => {
                let read =
                    collect::application_counters(client, source, (&context.integrations, &options.job));
                read.await.map_err(TtlAdviceError::Application)?
            }
            None => None,
        };
        let purpose = SnapshotMeta {
            job: options.job.clone(),
            redis: options.alias.clone(),
            run: None,
            phase: SnapshotPhase::Between,
        };
        Ok(purpose.snapshot(&self.places.counters().await?, application, now_ms()))
    }

    fn advice(
        &self,
        look: &Look,
        ttl_ms: u64,
        interval: Option<&CountedInterval>,
        mut known: TtlDiagnostics,
        again: Duration,
    ) -> TtlAdvice {
        let again = span(again.as_secs_f64());
        let counted = match (interval, &look.panel) {
            (Some(interval), _) => interval.describe(&mut known),
            (None, Some(_)) => {
                Err("the counters of the first look cannot be compared with those of now: a run of keysweep \
                                    was going on, or they are no longer kept; call again later"
                    .to_owned())
            }
            (None, None) => Err(format!(
                "hits and misses need two looks, and this is the first at these keys with this TTL; call again in \
                 {again}, or let one call look for a while (`--for`)"
            )),
        };
        let traffic = counted.as_ref().ok().copied();
        let fresh: Vec<SampledKey> = look.sample.keys.iter().map(sampled).collect();
        let panel = look.panel.as_ref();
        let followed = panel.map(|panel| panel.sampled(&look.found)).filter(|keys| is_panel(keys));
        let keys = followed.as_ref().unwrap_or(&fresh);
        known.followed_keys = keys.iter().filter(|key| key.follow_up.is_some()).count() as u64;
        let live_keys =
            panel.map_or(look.sample.live_keys, |panel| panel.live_keys.midpoint(look.sample.live_keys));
        let observation = Observation {
            ttl_ms,
            keys,
            traffic: traffic.unwrap_or(Traffic { hits: 0, misses: 0, window_ms: None }),
            removals: interval.and_then(|interval| interval.removals),
            live_keys: Some(live_keys),
            key_bytes: look.sample.key_bytes,
        };
        let advice = advise(&observation, self.request.target_hit_rate, SEED);
        let mut answer = TtlAdvice::of(&advice, live_keys, known);
        let without_idle_times = loaded(&look.sample, ttl_ms);
        if without_idle_times.is_some() {
            answer.diagnostics.never_read = None;
        }
        let refused = match (&advice.curve, counted) {
            // Without counts, the other reasons to refuse still hold.
            (Err(Refusal::TooFewRequests { .. }), Err(why)) => Some(why),
            // What depends on idle times.
            (Ok(_) | Err(Refusal::SlidingTtl { .. } | Refusal::OtherPattern { .. }), _) => without_idle_times,
            _ => None,
        };
        match refused {
            Some(why) => TtlAdvice::refused(why, answer.diagnostics),
            None => answer,
        }
    }
}

/// Whether two TTLs in ms are the same but for chance.
fn is_near(one_ms: u64, other_ms: u64) -> bool {
    one_ms.abs_diff(other_ms) <= tolerance(one_ms)
}

fn sampled(key: &SeenKey) -> SampledKey {
    SampledKey { remaining_ms: key.remaining_ms, idle: idle(key), follow_up: None }
}

fn idle(key: &SeenKey) -> Option<Idle> {
    let clock_ms = key.expires_at_ms.saturating_sub(key.remaining_ms);
    key.idle_s.map(|idle_s| Idle::from_seconds(idle_s, clock_ms))
}

/// Whether enough keys were followed.
fn is_panel(keys: &[SampledKey]) -> bool {
    let followed = keys.iter().filter(|key| key.follow_up.is_some()).count();
    #[expect(clippy::cast_precision_loss, reason = "there are some thousands")]
    let is_enough = followed as f64 >= FOLLOWED_SHARE_MIN * keys.len() as f64;
    followed >= FOLLOWED_MIN && is_enough
}

/// A panel of the sampled keys, as many as may be kept.
fn begin(sample: &TtlSample, ttl_ms: u64, begun_ms: u64) -> Panel {
    let mut bytes = 0;
    let fits = |key: &&SeenKey| {
        bytes += key.key.len();
        bytes <= TTL_PANEL_NAME_BYTES
    };
    let key = |key: &SeenKey| PanelKey {
        db: key.db,
        key: key.key.clone(),
        remaining_ms: key.remaining_ms,
        expires_at_ms: key.expires_at_ms,
        idle_ms: idle(key).map(|idle| (idle.at_least_ms, idle.at_most_ms)),
        watched_ms: key.expires_at_ms.saturating_sub(key.remaining_ms),
        since: Since::Live,
    };
    let keys = sample.keys.iter().take_while(fits).map(key).collect();
    Panel { ttl_ms, begun_ms, live_keys: sample.live_keys, keys }
}
