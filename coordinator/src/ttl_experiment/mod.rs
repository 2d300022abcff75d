//! `keysweep ttl experiment`: half of the users get another TTL. The application reads the assignment from a small hash, which
//! is the only thing that is written; looks at live keys count what each arm fills; verdicts and guards end the experiment.

mod document;
mod error;
mod look;
mod planning;
mod record;
mod words;

use std::collections::BTreeMap;

use keysweep_model::ids::RunId;
use keysweep_model::key::Key;
use keysweep_model::slot::slot_of;
use keysweep_redis::ttl_assignment::{
    Published, assignment_key, publish, published, server_figures, withdraw,
};
use keysweep_redis::{Conn, RedisClient, RedisError, RedisErrorKind, Throttle};
use keysweep_runtime::context::Context;
use keysweep_storage::events::{Event, EventKind};
use keysweep_ttl_experiment::{
    Assignment, Design, Health, Look, Observed, Plan, Standing, standing, tripped,
};
use serde_json::json;

use self::look::{read_keys, server_time};
use self::record::{Ended, ExperimentRecord, ServerCounters};
use self::words::{fields, going_on, verdict};
use crate::limits::EXPERIMENT_REDIRECTIONS_MAX;
use crate::options::Options;
use crate::state;

pub use document::{ExperimentPlan, ExperimentStatus, RelativeMisses, Verdict};
pub use error::ExperimentError;
pub use look::UserKeys;

/// What an experiment should find.
#[derive(Clone, Debug)]
pub struct ExperimentRequest {
    /// The job.
    pub job: String,
    /// The TTL of today in ms.
    pub control_ttl_ms: u64,
    /// The other TTL in ms.
    pub ttl_ms: u64,
    /// Buckets.
    pub buckets: u32,
    /// The length of a period in ms, if it is given.
    pub period_ms: Option<u64>,
    /// The relative change of misses to find.
    pub effect: f64,
    /// Smaller changes do not matter.
    pub margin: f64,
    /// The probability of a wrong verdict.
    pub alpha: f64,
    /// The probability of finding the effect.
    pub power: f64,
    /// How many times as many fills are needed as if they were independent, if it is given.
    pub overdispersion: Option<f64>,
    /// Entries written per second, if it is given.
    pub fills_per_s: Option<f64>,
}

/// The experiments of a deployment, by one name.
pub struct Experiment {
    client: RedisClient,
    context: Context,
    name: String,
    job: String,
    keys: UserKeys,
    breaks: Throttle,
}

impl Experiment {
    /// Connects to the deployment of `options`, and opens the state file.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub async fn open(options: &Options, name: &str, keys: UserKeys) -> Result<Self, ExperimentError> {
        if options.state.dir.is_none() {
            return Err(ExperimentError::NoState);
        }
        Ok(Self {
            context: state::context(options).await?,
            client: RedisClient::discover(options.access.clone()).await?,
            name: name.to_owned(),
            job: options.job.clone(),
            keys,
            breaks: Throttle::of(&options.pacing),
        })
    }

    /// What an experiment would take. Writes nothing.
    ///
    /// # Errors
    /// When it cannot be planned, or a server fails.
    pub async fn plan(&self, request: &ExperimentRequest) -> Result<ExperimentPlan, ExperimentError> {
        let (measured, plan) = self.planned(request).await?;
        Ok(ExperimentPlan::of(request, &measured, &plan))
    }

    /// Starts an experiment: keeps it, and publishes its assignment.
    ///
    /// # Errors
    /// When it cannot be planned, another one is running, a guard would stop it at once, or a server fails.
    pub async fn start(&self, request: &ExperimentRequest) -> Result<ExperimentStatus, ExperimentError> {
        let before = record::read(&*self.context.history_store, &self.name).await?;
        if let Some((running, _)) = before.as_ref().filter(|(record, _)| record.ended.is_none()) {
            return Err(self.exists(running.id.clone()));
        }
        match self.at_owner(async |conn, key| published(&conn, &key).await).await? {
            Published::None => {}
            Published::Id(id) => return Err(self.exists(id)),
            Published::Foreign => return Err(ExperimentError::Foreign { key: self.key() }),
        }
        let servers = self.servers().await?;
        let (_, plan) = self.planned(request).await?;
        let mut record = self.record(request, plan, server_time(&self.client).await?);
        let health = record.note_servers(servers);
        if let Some(guard) = tripped(&health, None) {
            return Err(ExperimentError::Guard(guard));
        }
        let revision = before.map(|(_, revision)| revision);
        // Kept first: an assignment that is published without it could not be stopped by its name.
        if record::keep(&*self.context.history_store, &self.name, &record, revision).await?.is_none() {
            return Err(ExperimentError::Changed);
        }
        let (fields, until_ms) = (fields(&record), record.design.assignment.until_ms);
        let id = record.id.clone();
        let there =
            self.at_owner(async |conn, key| publish(&conn, &key, &id, &fields, until_ms).await).await?;
        if let Some(other) = there {
            return Err(match other {
                Published::Id(id) => self.exists(id),
                _ => ExperimentError::Foreign { key: self.key() },
            });
        }
        let now_ms = record.design.assignment.start_ms;
        let status =
            self.status(&record, &standing(&record.design, &record.observed, &health, now_ms), now_ms);
        self.emit(&record, "started", &status, now_ms).await;
        Ok(status)
    }

    fn record(&self, request: &ExperimentRequest, plan: Plan, start_ms: u64) -> ExperimentRecord {
        let id = RunId::new().to_string();
        let assignment = Assignment {
            salt: id.clone(),
            buckets: request.buckets,
            control_ttl_ms: request.control_ttl_ms,
            treated_ttl_ms: request.ttl_ms,
            start_ms,
            period_ms: plan.period_ms,
            until_ms: start_ms + plan.duration_ms,
        };
        let design = Design {
            assignment,
            margin: request.margin,
            alpha: request.alpha,
            planned_variance: plan.planned_variance,
        };
        let (observed, servers) = (Observed::default(), BTreeMap::new());
        ExperimentRecord {
            id,
            job: self.job.clone(),
            design,
            plan,
            observed,
            servers,
            evicted: 0,
            ended: None,
        }
    }

    /// Looks at the live keys, and says what is known. Ends the experiment if it is decided, or if it must not go on.
    ///
    /// # Errors
    /// When there is no experiment of this name, or a server fails: then nothing was counted.
    pub async fn look(&self) -> Result<ExperimentStatus, ExperimentError> {
        let (mut record, revision) = self.read().await?;
        let now_ms = server_time(&self.client).await?;
        if record.ended.is_some() {
            let known = standing(&record.design, &record.observed, &Health::default(), now_ms);
            return Ok(self.status(&record, &known, now_ms));
        }
        let assignment = record.design.assignment.clone();
        let there = self.at_owner(async |conn, key| published(&conn, &key).await).await?;
        let is_removed = now_ms < assignment.until_ms && there != Published::Id(record.id.clone());
        let health = record.note_servers(self.servers().await?);
        if !is_removed {
            self.count(&assignment, &mut record, now_ms).await?;
        }
        let known = standing(&record.design, &record.observed, &health, now_ms);
        if is_removed {
            let reason = format!("the assignment `{}` was removed or replaced", self.key());
            record.ended = Some(Ended { at_ms: now_ms, verdict: Verdict::Stopped, reason });
        } else if let Some((verdict, reason)) = verdict(&record, &known) {
            self.restore(&record).await?;
            record.ended = Some(Ended { at_ms: now_ms, verdict, reason });
        }
        self.finish_look(&record, revision, &known, now_ms).await
    }

    /// Counts what was written since the last look.
    async fn count(
        &self,
        assignment: &Assignment,
        record: &mut ExperimentRecord,
        now_ms: u64,
    ) -> Result<(), ExperimentError> {
        let mut look = Look::begin(assignment, &record.observed, now_ms);
        read_keys(&self.client, &self.keys, self.breaks, now_ms, |key| {
            look.add(key.user, key.key, key.expires_ms, key.now_ms);
        })
        .await?;
        let ended_ms = server_time(&self.client).await?;
        match look.fault(ended_ms) {
            None => record.observed.add(look),
            Some(fault) => tracing::warn!("this look does not count: {}", words::fault(fault)),
        }
        Ok(())
    }

    async fn finish_look(
        &self,
        record: &ExperimentRecord,
        revision: u64,
        known: &Standing,
        now_ms: u64,
    ) -> Result<ExperimentStatus, ExperimentError> {
        let store = &*self.context.history_store;
        if record::keep(store, &self.name, record, Some(revision)).await?.is_none() {
            return Err(ExperimentError::Changed);
        }
        let status = self.status(record, known, now_ms);
        if record.ended.is_some() {
            self.emit(record, "ended", &status, now_ms).await;
        }
        Ok(status)
    }

    /// Ends the experiment: all users have the TTL of the control again.
    ///
    /// # Errors
    /// When there is no experiment of this name, or a server fails.
    pub async fn stop(&self) -> Result<ExperimentStatus, ExperimentError> {
        let (mut record, revision) = self.read().await?;
        let now_ms = server_time(&self.client).await?;
        let known = standing(&record.design, &record.observed, &Health::default(), now_ms);
        // Also if it has ended: nothing of it may be left.
        self.restore(&record).await?;
        if record.ended.is_some() {
            return Ok(self.status(&record, &known, now_ms));
        }
        let reason = "it was stopped by `keysweep ttl experiment stop`".to_owned();
        record.ended = Some(Ended { at_ms: now_ms, verdict: Verdict::Stopped, reason });
        self.finish_look(&record, revision, &known, now_ms).await
    }

    async fn read(&self) -> Result<(ExperimentRecord, u64), ExperimentError> {
        let found = record::read(&*self.context.history_store, &self.name).await?;
        found.ok_or_else(|| ExperimentError::NotFound { name: self.name.clone() })
    }

    async fn restore(&self, record: &ExperimentRecord) -> Result<(), ExperimentError> {
        let left = self.at_owner(async |conn, key| withdraw(&conn, &key, &record.id).await).await?;
        if let Some(Published::Id(id)) = left {
            tracing::warn!(
                "`{}` has the assignment of another experiment (`{id}`): it is left alone",
                self.key()
            );
        }
        Ok(())
    }

    /// The counters of all primaries.
    async fn servers(&self) -> Result<BTreeMap<String, ServerCounters>, ExperimentError> {
        let mut servers = BTreeMap::new();
        for primary in &self.client.topology().primaries {
            let figures = server_figures(&self.client.conn(&primary.node).await?).await?;
            if let Some(version) = figures.too_old {
                return Err(ExperimentError::TooOld { version });
            }
            let counters = ServerCounters {
                process: figures.process,
                evicted: figures.evicted,
                errors: figures.errors,
                hits: figures.hits,
                memory: figures.used_memory.zip(figures.max_memory),
            };
            servers.insert(primary.node.to_string(), counters);
        }
        Ok(servers)
    }

    /// Does `work` at the server of the assignment's key. Follows the key if its slot has moved.
    async fn at_owner<T>(
        &self,
        work: impl AsyncFn(Conn, Vec<u8>) -> Result<T, RedisError>,
    ) -> Result<T, ExperimentError> {
        let key = assignment_key(&self.name);
        let mut left = EXPERIMENT_REDIRECTIONS_MAX;
        loop {
            let topology = self.client.topology();
            let owner = topology.owner(slot_of(&key)).ok_or_else(|| {
                let why = "no node serves the slot of the assignment";
                RedisError::new(RedisErrorKind::Unavailable, self.key(), why)
            })?;
            match work(self.client.conn(&owner.node).await?, key.clone()).await {
                Err(fault) if fault.kind == RedisErrorKind::Moved && left > 0 => {
                    left -= 1;
                    self.client.refresh().await?;
                }
                done => return Ok(done?),
            }
        }
    }

    fn status(&self, record: &ExperimentRecord, known: &Standing, now_ms: u64) -> ExperimentStatus {
        let (verdict, sentence) = match &record.ended {
            Some(ended) => (ended.verdict, ended.reason.clone()),
            None => (Verdict::GoOn, going_on(record, known)),
        };
        ExperimentStatus::of(&self.name, &self.key(), record, known, verdict, sentence, now_ms)
    }

    /// The key as text.
    fn key(&self) -> String {
        Key::new(assignment_key(&self.name)).to_string()
    }

    fn exists(&self, id: String) -> ExperimentError {
        ExperimentError::Exists { name: self.name.clone(), id }
    }

    async fn emit(&self, record: &ExperimentRecord, which: &str, status: &ExperimentStatus, now_ms: u64) {
        let event = Event {
            job: self.job.clone(),
            subject: record.id.clone(),
            kind: EventKind::TtlExperiment,
            which: Some(which.to_owned()),
            time_ms: now_ms,
            data: json!(status),
        };
        self.context.emit_event(&event).await;
    }
}
