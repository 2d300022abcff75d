//! Who is outside, by job: the hooks to tell, and the Prometheus to ask. Filled from each process' own settings and
//! never in a message, because addresses are secrets.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::client::{RetryPolicy, WebClient};
use super::error::WebError;
use super::webhook::Webhook;
use crate::config::Secret;

/// The hooks of a job.
#[derive(Clone, Debug, Default)]
pub struct Webhooks {
    /// Addresses that get CloudEvents.
    pub generic: Vec<Secret>,
    /// What signs those.
    pub secret: Option<Secret>,
    /// Addresses that get messages for Slack.
    pub slack: Vec<Secret>,
}

/// The Prometheus that counts the look-ups of a job's application.
#[derive(Clone, Debug)]
pub struct PrometheusSource {
    /// Its address, which may hold a login.
    pub url: Secret,
    /// The query of hits.
    pub hits: String,
    /// The query of misses.
    pub misses: String,
    /// The query of errors, if it knows them.
    pub errors: Option<String>,
}

/// Everything outside that one job has to do with.
#[derive(Clone, Debug, Default)]
pub struct JobIntegrations {
    /// Who is told about alerts.
    pub hooks: Webhooks,
    /// Who counts, if it is a Prometheus.
    pub prometheus: Option<PrometheusSource>,
}

/// Everything outside, and the client to reach it with.
#[derive(Debug, Default)]
pub struct Integrations {
    client: OnceLock<Result<WebClient, WebError>>,
    jobs: BTreeMap<String, JobIntegrations>,
}

impl Webhooks {
    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = Webhook> + '_ {
        let generic =
            self.generic.iter().map(|url| Webhook::Generic { url: url.clone(), secret: self.secret.clone() });
        generic.chain(self.slack.iter().map(|url| Webhook::Slack { url: url.clone() }))
    }
}

impl Integrations {
    /// Whom each job has to do with.
    #[must_use]
    pub fn new(jobs: impl IntoIterator<Item = (String, JobIntegrations)>) -> Self {
        Self { client: OnceLock::new(), jobs: jobs.into_iter().collect() }
    }

    /// Whom `job` has to do with; `None` for a job that this process does not know.
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

    /// The client, made when it is first needed: most runs need none.
    ///
    /// # Errors
    /// When there can be none.
    pub fn client(&self) -> Result<&WebClient, WebError> {
        self.client.get_or_init(|| WebClient::new(RetryPolicy::default())).as_ref().map_err(Clone::clone)
    }
}
