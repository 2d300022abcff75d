//! The connections that a command over NATS needs: the jobs, their Redis deployments, and NATS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordinator::integrations::integrations;
use coordinator::nats_context;
use coordinator::options::{self, OptionsError};
use coordinator::process_id::hostname;
use keysweep_backup::{BackupTarget, BackupTargets};
use keysweep_config as config;
use keysweep_config::{BackupPlace, Environment, FlagLayer, JobFile, NatsSettings, Settings};
use keysweep_http::Integrations;
use keysweep_model::ids::Alias;
use keysweep_nats::{Nats, NatsError, NatsOptions, setup};
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::{Context, Timing};
use tokio::time::{Instant, sleep};

use super::error::CommandError;

/// How long an interactive command waits for NATS. Roles wait without limit.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long roles wait for JetStream of a NATS that answers.
const JETSTREAM_PATIENCE: Duration = Duration::from_secs(30);

/// The processes that never publish runs or grants.
const WORKERS: [&str; 4] = ["worker", "scanner", "reaper", "reporter"];

/// What a command over NATS connects to.
pub struct Connections {
    /// The settings of every job.
    pub jobs: Vec<Settings>,
    /// How to connect to each deployment.
    pub access: BTreeMap<Alias, ConnectOptions>,
    /// The HTTP integrations of each job.
    pub integrations: Arc<Integrations>,
    /// How to connect to NATS.
    pub nats: NatsSettings,
}

/// A connection to NATS, and the context built on it.
pub struct NatsConnection {
    /// The connection.
    pub nats: Nats,
    /// What a stage needs to run.
    pub context: Context,
}

impl Connections {
    /// Resolves flags, environment and job file for `keysweep <command>`.
    ///
    /// # Errors
    /// Bad settings, or no address of NATS.
    pub fn resolve(
        command: &str,
        flags: &FlagLayer,
        environment: &Environment,
        file: Option<&JobFile>,
    ) -> Result<Self, CommandError> {
        let jobs = config::resolve_all(flags, environment, file)?;
        let Some(nats) = jobs.iter().find_map(|job| job.nats.clone()) else {
            return Err(CommandError::NoNats(command.to_owned()));
        };
        let deployments = config::deployments(flags, environment, file)?;
        let access = deployments.iter().map(|(alias, deployment)| {
            let access = options::access(deployment, 0)?;
            Ok((alias.clone(), access))
        });
        let access: BTreeMap<Alias, ConnectOptions> = access.collect::<Result<_, OptionsError>>()?;
        let reach = |job: &Settings| Ok((job.job.value.clone(), integrations(job)?));
        let outside = jobs.iter().map(reach).collect::<Result<Vec<_>, OptionsError>>()?;
        Ok(Self { jobs, access, integrations: Arc::new(Integrations::new(outside)), nats })
    }

    /// Connects as `role` and checks that the streams and buckets exist. Waits up to `patience` for NATS; without
    /// limit if it is `None`.
    ///
    /// # Errors
    /// When NATS cannot be reached or used.
    pub async fn connect(
        &self,
        role: &str,
        patience: Option<Duration>,
    ) -> Result<NatsConnection, CommandError> {
        let name = format!("keysweep-{role}@{}", hostname());
        let access = NatsOptions::from_settings(&self.nats);
        let access = if WORKERS.contains(&role) { access.of_worker() } else { access };
        let nats = Nats::connect(&access, &name, patience).await?;
        ready(&nats, patience.unwrap_or(JETSTREAM_PATIENCE)).await?;
        let outside = Arc::clone(&self.integrations);
        let backups = Arc::new(BackupTargets::new(self.places(&nats), Some(Arc::new(nats.clone()))));
        let env = nats_context(&nats, self.access.clone(), self.timing());
        Ok(NatsConnection { context: Context { integrations: outside, backups, ..env }, nats })
    }

    /// The backup target of each job that has one.
    fn places(&self, nats: &Nats) -> Vec<(String, BackupTarget)> {
        let place = |job: &Settings| {
            let place = match job.backup.value.as_ref()? {
                BackupPlace::Directory(path) => BackupTarget::directory(path),
                BackupPlace::Bucket(name) => BackupTarget::bucket(nats, name),
            };
            Some((job.job.value.clone(), place))
        };
        self.jobs.iter().filter_map(place).collect()
    }

    /// The NATS buckets that jobs save to.
    #[must_use]
    pub fn buckets(&self) -> Vec<String> {
        let bucket = |job: &Settings| match job.backup.value.as_ref()? {
            BackupPlace::Bucket(name) => Some(name.clone()),
            BackupPlace::Directory(_) => None,
        };
        self.jobs.iter().filter_map(bucket).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The time limits from the settings.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let NatsSettings { ack_wait, lease, retention, .. } = &self.nats;
        Timing {
            ack_wait: ack_wait.value,
            lease: lease.value,
            retention: retention.value,
            ..Timing::default()
        }
    }
}

/// Checks that the streams and buckets exist. JetStream of a server that has just started takes a moment to answer.
async fn ready(nats: &Nats, patience: Duration) -> Result<(), NatsError> {
    let until = Instant::now() + patience;
    loop {
        match setup::ensure(nats).await {
            Err(e) if e.may_pass() && Instant::now() < until => {
                tracing::debug!(error = %e, "JetStream is not ready");
                sleep(Duration::from_millis(500)).await;
            }
            done => return done,
        }
    }
}
