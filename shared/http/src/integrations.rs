//! The external services of each job: its webhooks and its Prometheus. Read from the settings of each process and
//! never part of a message, because URLs are secrets.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use keysweep_model::secret::Secret;

use super::client::{RetryPolicy, WebClient};
use super::error::WebError;
use super::webhook::Webhook;

/// The webhooks of a job.
#[derive(Clone, Debug, Default)]
pub struct Webhooks {
    /// URLs that receive CloudEvents.
    pub generic: Vec<Secret>,
    /// The key that signs them.
    pub secret: Option<Secret>,
    /// URLs that receive Slack messages.
    pub slack: Vec<Secret>,
}

/// The Prometheus that counts the lookups of a job's application.
#[derive(Clone, Debug)]
pub struct PrometheusSource {
    /// Its URL, which may contain credentials.
    pub url: Secret,
    /// The query of hits.
    pub hits: String,
    /// The query of misses.
    pub misses: String,
    /// The query of errors, if configured.
    pub errors: Option<String>,
}

/// The external services of one job.
#[derive(Clone, Debug, Default)]
pub struct JobIntegrations {
    /// The webhooks for its alerts.
    pub hooks: Webhooks,
    /// The source of hits and misses, if it is a Prometheus.
    pub prometheus: Option<PrometheusSource>,
}

/// The external services of all jobs, and the client for them.
#[derive(Debug, Default)]
pub struct Integrations {
    client: OnceLock<Result<WebClient, WebError>>,
    jobs: BTreeMap<String, JobIntegrations>,
}

impl Webhooks {
    /// All webhooks.
    pub fn all(&self) -> impl Iterator<Item = Webhook> + '_ {
        let generic =
            self.generic.iter().map(|url| Webhook::Generic { url: url.clone(), secret: self.secret.clone() });
        generic.chain(self.slack.iter().map(|url| Webhook::Slack { url: url.clone() }))
    }
}

impl Integrations {
    /// The external services by job.
    #[must_use]
    pub fn new(jobs: impl IntoIterator<Item = (String, JobIntegrations)>) -> Self {
        Self { client: OnceLock::new(), jobs: jobs.into_iter().collect() }
    }

    /// The external services of `job`; `None` for a job that this process does not know.
    #[must_use]
    pub fn of(&self, job: &str) -> Option<&JobIntegrations> {
        self.jobs.get(job)
    }

    /// The hooks of `job`.
    #[must_use]
    pub fn hooks(&self, job: &str) -> Vec<Webhook> {
        self.of(job).map(|reach| reach.hooks.all().collect()).unwrap_or_default()
    }

    /// The Prometheus of `job`.
    #[must_use]
    pub fn prometheus(&self, job: &str) -> Option<&PrometheusSource> {
        self.of(job)?.prometheus.as_ref()
    }

    /// The client, created on first use: most runs need none.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn client(&self) -> Result<&WebClient, WebError> {
        self.client.get_or_init(|| WebClient::new(RetryPolicy::default())).as_ref().map_err(Clone::clone)
    }
}
