//! What another TTL would do to a cache, from looks at its servers: `keysweep-ttl-advice` estimates, this module samples.
//! Hits and misses need two looks, so what a look saw is kept for the next one. Nothing is written to the servers.

mod advise;
mod counted;
mod groups;
mod look;
mod panel;
mod record;
mod refused;
mod report;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::duration::millis;
use keysweep_model::glob::PatternError;
use keysweep_model::ids::NodeId;
use keysweep_model::messages::{HitRateSource, Lookups, Rules};
use keysweep_model::time::now_ms;
use keysweep_model::ttl_advice::refusal::SEVERAL_TTLS;
use keysweep_model::ttl_advice::{TtlAdvice, TtlDiagnostics, TtlGroup};
use keysweep_policy::RuleSet;
use keysweep_redis::{RedisError, RedisErrorKind, Throttle};
use keysweep_runtime::collect::{self, SnapshotMeta};
use keysweep_runtime::context::Context;
use keysweep_storage::counter_snapshot::{self, CounterSnapshot, SnapshotPhase};
use keysweep_storage::store::StoreError;
use keysweep_ttl_advice::limits::KEYS_MIN;
use keysweep_ttl_advice::{CountedFor, several_ttls, upper_end};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use self::advise::{Seen, idle};
use self::counted::CountedInterval;
use self::groups::{Group, grouped};
use self::look::{Places, SeenKey, TtlSample};
use self::panel::{Found, Panel, PanelKey, Since, pause, tolerance};
use self::record::{KeptPanel, Selection};
use self::refused::without_ttl;
use self::report::{Refused, seconds};
pub use self::request::{TtlLooks, TtlRequest};
use crate::discover::discover;
use crate::inspect::databases;
use crate::limits::{
    TTL_CALL_AGAIN_MIN, TTL_GROUPED_KEYS, TTL_PANEL_BYTES, TTL_PANEL_KEY_BYTES, TTL_SAMPLE_KEYS,
};
use crate::options::Options;
use crate::preflight::PreflightError;

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

impl TtlAdviceError {
    /// The advice of a service whose servers do not allow any: it would fail again at every look.
    pub(crate) fn into_refusal(self) -> Result<TtlAdvice, Self> {
        let name = match &self {
            Self::TooOld { .. } => "tooOld",
            Self::Redis(e) if e.kind == RedisErrorKind::PermissionDenied => "permissionDenied",
            _ => return Err(self),
        };
        Ok(Refused::new(name, self.to_string()).advice(TtlDiagnostics::default()))
    }
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
    let looking = Looking::new(context, options, request).await?;
    let until = Instant::now() + request.look_for;
    let mut advice = looking.whole_look().await?;
    while Instant::now() < until {
        let left = until.duration_since(Instant::now());
        sleep(pause(&advice).map_or(left, |pause| pause.min(left))).await;
        if Instant::now() < until {
            looking.look_at_panel().await?;
        } else {
            advice = looking.whole_look().await?;
        }
    }
    Ok(advice)
}

/// Looks at the keys that are followed, and no others: where the counters of now could not be compared with later ones.
///
/// # Errors
/// As for [`ttl_advice`].
pub(crate) async fn follow(
    context: &Context,
    options: &Options,
    request: &TtlRequest,
) -> Result<(), TtlAdviceError> {
    Looking::new(context, options, request).await?.look_at_panel().await
}

/// What all looks of one call share.
struct Looking<'a> {
    context: &'a Context,
    options: &'a Options,
    request: &'a TtlRequest,
    places: Places,
    rules: Rules,
}

/// What a look found, with the panels as they were before.
struct Look {
    sample: TtlSample,
    /// Why the sample cannot be of one TTL.
    several: Option<Refused>,
    followed: Vec<Followed>,
    at_ms: u64,
}

/// A panel, and what a look found of its keys.
struct Followed {
    kept: KeptPanel,
    found: Vec<Found>,
}

/// Keys of one TTL, and what there was of them before.
struct Part {
    group: Option<String>,
    sample: TtlSample,
    followed: Option<Followed>,
    at_ms: u64,
}

impl<'a> Looking<'a> {
    async fn new(
        context: &'a Context,
        options: &'a Options,
        request: &'a TtlRequest,
    ) -> Result<Self, TtlAdviceError> {
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
        Ok(Self { context, options, request, places, rules })
    }

    fn selection(&self) -> Selection {
        Selection { db: self.request.db, patterns: self.request.patterns.clone() }
    }

    /// Looks at the keys of the panels only.
    async fn look_at_panel(&self) -> Result<(), TtlAdviceError> {
        let look = self.look(false).await?;
        let panels = look.followed.into_iter().map(|followed| followed.kept).collect();
        Ok(record::write(self.context, self.options, self.selection(), panels).await?)
    }

    /// Looks at the keys of the panels and at a new sample, and advises: about all keys if they have one TTL, and otherwise
    /// about groups of them.
    async fn whole_look(&self) -> Result<TtlAdvice, TtlAdviceError> {
        let Look { sample, several, mut followed, at_ms } = self.look(true).await?;
        let mut panel_of = |group: Option<&str>| {
            let at = followed.iter().position(|followed| followed.kept.group.as_deref() == group);
            at.map(|at| followed.swap_remove(at))
        };
        let mut panels = Vec::new();
        let groups = if several.is_some() { grouped(&sample, self.rule_set().as_ref()) } else { Vec::new() };
        let advice = if let (Some(why), [_, _, ..]) = (several, groups.as_slice()) {
            let known = TtlDiagnostics {
                sampled_keys: sample.keys.len() as u64,
                live_keys: Some(sample.live_keys),
                key_bytes: sample.key_bytes(),
                ..TtlDiagnostics::default()
            };
            let (mut about, of) = (Vec::new(), groups.len());
            for Group { keys, by, sample } in groups {
                let part = Part { followed: panel_of(Some(&keys)), group: Some(keys.clone()), sample, at_ms };
                let advice = self.advice(part, TTL_PANEL_BYTES / of, &mut panels).await?;
                about.push(TtlGroup { keys, by: by.to_owned(), advice });
            }
            let why =
                format!("not all keys have one TTL, so each group of them is looked at apart: {}", why.why);
            TtlAdvice { groups: about, ..Refused::new(SEVERAL_TTLS, why).advice(known) }
        } else {
            let part = Part { followed: panel_of(None), group: None, sample, at_ms };
            self.advice(part, TTL_PANEL_BYTES, &mut panels).await?
        };
        record::write(self.context, self.options, self.selection(), panels).await?;
        Ok(advice)
    }

    /// The rules that tell keys apart, if the job has some.
    fn rule_set(&self) -> Option<RuleSet> {
        let policy = self.options.rules.policy.as_ref()?;
        RuleSet::new(&policy.rules).ok()
    }

    /// The advice about keys of one TTL. Their panel, or a new one of at most so many bytes, is added to `panels`.
    async fn advice(
        &self,
        part: Part,
        panel_bytes: usize,
        panels: &mut Vec<KeptPanel>,
    ) -> Result<TtlAdvice, TtlAdviceError> {
        let Part { group, sample, followed, at_ms } = part;
        let configured = self.request.configured_ttl.map(millis).filter(|_| group.is_none());
        let ttl_ms = configured.or_else(|| upper_end(&remaining(&sample)));
        // Chance moves what is derived from keys a little; a panel of another TTL is of no use.
        let is_same = |kept_ms: u64| ttl_ms.is_some_and(|ttl_ms| is_near(ttl_ms, kept_ms));
        let followed = followed.filter(|followed| is_same(followed.kept.panel.ttl_ms));
        let (panel, found) = followed.map_or((None, Vec::new()), |of| (Some(of.kept.panel), of.found));
        let ttl_ms = panel.as_ref().map(|panel| panel.ttl_ms).or(ttl_ms);
        let mut known = TtlDiagnostics {
            current_ttl_seconds: ttl_ms.map(seconds),
            ttl_from: ttl_ms.map(|_| if configured.is_some() { "configured" } else { "keys" }.to_owned()),
            sampled_keys: sample.keys.len() as u64,
            live_keys: Some(sample.live_keys),
            key_bytes: sample.key_bytes(),
            ..TtlDiagnostics::default()
        };
        let Some(ttl_ms) = ttl_ms.filter(|_| !sample.keys.is_empty()) else {
            return Ok(without_ttl(sample.keys.len()).advice(known));
        };
        let again = (Duration::from_millis(ttl_ms) / 2).max(TTL_CALL_AGAIN_MIN);
        known.call_again_seconds = Some(again.as_secs_f64());
        let interval = CountedInterval::of(self.context, self.options, panel.as_ref(), at_ms).await?;
        let was_reset = interval.as_ref().is_none_or(CountedInterval::was_reset);
        let next = match &panel {
            Some(panel) if !was_reset && !panel.is_over(at_ms) => panel.clone(),
            _ => begin(&sample, ttl_ms, at_ms, panel_bytes),
        };
        let counted_for = self.counted_for(group.is_some());
        panels.push(KeptPanel { group, panel: next });
        let target_hit_rate = self.request.target_hit_rate;
        let seen =
            Seen { ttl_ms, sample, panel, found, interval, counted_for, known, again, target_hit_rate };
        Ok(seen.advice().await)
    }

    /// Servers count the requests for all keys, also where only some are asked about.
    fn counted_for(&self, is_group: bool) -> CountedFor {
        let counts_all = self.options.application.hit_rate == HitRateSource::Redis;
        if is_group || counts_all && !self.request.patterns.is_empty() {
            CountedFor::OthersToo
        } else {
            CountedFor::SampledKeys
        }
    }

    /// Reads the counters, follows the panels that are kept, and takes a new sample if `samples`: a larger one if its keys have
    /// several TTLs. The counters are kept together with the number of lookups that this look made after it read them, so that
    /// later hit rates exclude these lookups.
    async fn look(&self, samples: bool) -> Result<Look, TtlAdviceError> {
        let mut panels = record::read(self.context, self.options, &self.selection()).await?;
        let mut taken = self.snapshot().await?;
        let at_ms = taken.at_ms;
        let mut own: BTreeMap<NodeId, Lookups> = BTreeMap::new();
        let were_grouped = panels.iter().any(|kept| kept.group.is_some());
        let looked = async {
            let keys: Vec<&PanelKey> = panels.iter().flat_map(|kept| &kept.panel.keys).collect();
            let found = self.places.follow(&keys, &mut own).await?;
            if !samples {
                return Ok((found, TtlSample::default(), None));
            }
            // Keys that had several TTLs at the last look will have them again.
            let wanted = if were_grouped { TTL_GROUPED_KEYS } else { TTL_SAMPLE_KEYS };
            let mut sample = self.places.sample(&self.rules, wanted, &mut own).await?;
            let several = several(&sample).filter(|_| self.request.configured_ttl.is_none());
            if several.is_some() && !were_grouped {
                sample = self.places.sample(&self.rules, TTL_GROUPED_KEYS, &mut own).await?;
            }
            Ok::<_, TtlAdviceError>((found, sample, several))
        };
        let looked = looked.await;
        for node in &mut taken.nodes {
            node.own_after = own.get(&node.node).copied().unwrap_or_default();
        }
        counter_snapshot::create(&*self.context.history_store, taken).await?;
        let (mut found, sample, several) = looked?;
        let mut followed = Vec::new();
        for mut kept in panels.drain(..) {
            let of: Vec<Found> = found.drain(..kept.panel.keys.len().min(found.len())).collect();
            kept.panel.follow(&of);
            followed.push(Followed { kept, found: of });
        }
        Ok(Look { sample, several, followed, at_ms })
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
}

/// Whether two TTLs in ms are the same but for chance.
fn is_near(one_ms: u64, other_ms: u64) -> bool {
    one_ms.abs_diff(other_ms) <= tolerance(one_ms)
}

fn remaining(sample: &TtlSample) -> Vec<u64> {
    sample.keys.iter().map(|key| key.remaining_ms).collect()
}

/// Why the keys of a sample, which are enough, are not written with one TTL; `None` if they may be.
fn several(sample: &TtlSample) -> Option<Refused> {
    let remaining = remaining(sample);
    match upper_end(&remaining) {
        None if remaining.len() < KEYS_MIN => None,
        None => Some(without_ttl(remaining.len())),
        Some(ttl_ms) => several_ttls(&remaining, ttl_ms).as_ref().map(Refused::of),
    }
}

/// A panel of the sampled keys, as many as may be kept in so many bytes.
fn begin(sample: &TtlSample, ttl_ms: u64, begun_ms: u64, bytes_max: usize) -> Panel {
    let mut bytes = 0;
    let fits = |key: &&SeenKey| {
        bytes += key.key.len() + TTL_PANEL_KEY_BYTES;
        bytes <= bytes_max
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
