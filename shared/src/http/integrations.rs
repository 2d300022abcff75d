//! Who is outside, by job: the hooks to tell, and the Prometheus to ask. Filled from each process' own settings and
//! never in a message, because addresses are secrets.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use thiserror::Error;

use super::client::{RetryPolicy, WebClient, address};
use super::error::WebError;
use super::webhook::Webhook;
use crate::config::{Secret, Settings};

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

/// Settings that name nobody who could be reached.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A query is missing.
    #[error("`hit_rate` is a Prometheus, which is asked for hits and misses: set `{0}`, too")]
    NoQuery(&'static str),
    /// An address cannot be read.
    #[error("`{setting}`: {source}")]
    Address {
        /// Whose value it is.
        setting: &'static str,
        /// What is wrong.
        source: WebError,
    },
}

impl Webhooks {
    /// The hooks that `settings` name.
    ///
    /// # Errors
    /// When an address cannot be read.
    pub fn from_settings(settings: &Settings) -> Result<Self, SourceError> {
        check("webhooks", &settings.webhooks.value)?;
        check("slack_webhooks", &settings.slack_webhooks.value)?;
        Ok(Self {
            generic: settings.webhooks.value.clone(),
            secret: settings.webhook_secret.value.clone(),
            slack: settings.slack_webhooks.value.clone(),
        })
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = Webhook> + '_ {
        let generic =
            self.generic.iter().map(|url| Webhook::Generic { url: url.clone(), secret: self.secret.clone() });
        generic.chain(self.slack.iter().map(|url| Webhook::Slack { url: url.clone() }))
    }
}

impl PrometheusSource {
    /// The Prometheus that `settings` name, if they do.
    ///
    /// # Errors
    /// When its address cannot be read, or a query is missing.
    pub fn from_settings(settings: &Settings) -> Result<Option<Self>, SourceError> {
        let source = &settings.hit_rate.value;
        if source.word != "prometheus" {
            return Ok(None);
        }
        let url = Secret::new(&source.what);
        check("hit_rate", std::slice::from_ref(&url))?;
        let queries = &settings.queries;
        Ok(Some(Self {
            url,
            hits: queries.hits.value.clone().ok_or(SourceError::NoQuery("hits_query"))?,
            misses: queries.misses.value.clone().ok_or(SourceError::NoQuery("misses_query"))?,
            errors: queries.errors.value.clone(),
        }))
    }
}

impl JobIntegrations {
    /// Whom `settings` name.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn from_settings(settings: &Settings) -> Result<Self, SourceError> {
        Ok(Self {
            hooks: Webhooks::from_settings(settings)?,
            prometheus: PrometheusSource::from_settings(settings)?,
        })
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

fn check(setting: &'static str, urls: &[Secret]) -> Result<(), SourceError> {
    let wrong = urls.iter().find_map(|url| address(url, "read").err());
    wrong.map_or(Ok(()), |source| Err(SourceError::Address { setting, source }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, FlagLayer, resolve};

    fn reach(pairs: &[(&'static str, &'static str)]) -> Result<JobIntegrations, SourceError> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        JobIntegrations::from_settings(&resolve(&FlagLayer::default(), &environment, None).unwrap())
    }

    #[test]
    fn hooks_and_prometheus_come_from_the_settings() {
        let reach = reach(&[
            ("KEYSWEEP_WEBHOOKS", "https://a/x"),
            ("KEYSWEEP_WEBHOOK_SECRET", "word"),
            ("KEYSWEEP_SLACK_WEBHOOKS", "https://b/y"),
            ("KEYSWEEP_HIT_RATE", "prometheus:http://prometheus:9090"),
            ("KEYSWEEP_HITS_QUERY", "sum(hits_total)"),
            ("KEYSWEEP_MISSES_QUERY", "sum(misses_total)"),
        ]);
        let outside = Integrations::new([("nightly".to_owned(), reach.unwrap())]);
        let places: Vec<String> = outside.hooks("nightly").iter().map(Webhook::place).collect();
        assert_eq!(places, ["https://a/***", "https://b/***"]);
        assert_eq!(outside.prometheus("nightly").unwrap().hits, "sum(hits_total)");
        assert!(outside.hooks("other").is_empty() && outside.prometheus("other").is_none());
    }

    #[test]
    fn what_cannot_be_used_is_said_before_it_is_needed() {
        let error = |pairs: &[(&'static str, &'static str)]| reach(pairs).unwrap_err().to_string();
        let source = ("KEYSWEEP_HIT_RATE", "prometheus:http://prometheus:9090");
        assert!(error(&[source]).ends_with("set `hits_query`, too"));
        assert!(error(&[source, ("KEYSWEEP_HITS_QUERY", "a")]).ends_with("set `misses_query`, too"));
        let error = error(&[("KEYSWEEP_WEBHOOKS", "https://:SECRET")]);
        assert!(error.starts_with("`webhooks`: ") && !error.contains("SECRET"), "{error}");
    }
}
