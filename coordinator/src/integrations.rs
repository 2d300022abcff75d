//! The webhooks and the Prometheus server of a job, from its settings.

use keysweep_config::Settings;
use keysweep_http::{JobIntegrations, PrometheusSource, WebError, Webhooks, check_address};
use keysweep_model::secret::Secret;
use thiserror::Error;

/// Settings with an address or a source that cannot be used.
#[derive(Debug, Error)]
pub enum IntegrationError {
    /// A query is missing.
    #[error("`hit_rate` is a Prometheus server, which needs queries for hits and misses: set `{0}`, too")]
    NoQuery(&'static str),
    /// An address is invalid.
    #[error("`{setting}`: {source}")]
    Address {
        /// The setting with the address.
        setting: &'static str,
        /// The error.
        source: WebError,
    },
}

/// The webhooks and the Prometheus server that `settings` name.
///
/// # Errors
/// When an address cannot be read, or a query is missing.
pub fn integrations(settings: &Settings) -> Result<JobIntegrations, IntegrationError> {
    Ok(JobIntegrations { hooks: webhooks(settings)?, prometheus: prometheus(settings)? })
}

fn webhooks(settings: &Settings) -> Result<Webhooks, IntegrationError> {
    check("webhooks", &settings.webhooks.value)?;
    check("slack_webhooks", &settings.slack_webhooks.value)?;
    Ok(Webhooks {
        generic: settings.webhooks.value.clone(),
        secret: settings.webhook_secret.value.clone(),
        slack: settings.slack_webhooks.value.clone(),
    })
}

fn prometheus(settings: &Settings) -> Result<Option<PrometheusSource>, IntegrationError> {
    let source = &settings.hit_rate.value;
    if source.word != "prometheus" {
        return Ok(None);
    }
    let url = Secret::new(&source.what);
    check("hit_rate", std::slice::from_ref(&url))?;
    Ok(Some(PrometheusSource {
        url,
        hits: settings.hits_query.value.clone().ok_or(IntegrationError::NoQuery("hits_query"))?,
        misses: settings.misses_query.value.clone().ok_or(IntegrationError::NoQuery("misses_query"))?,
        errors: settings.errors_query.value.clone(),
    }))
}

fn check(setting: &'static str, urls: &[Secret]) -> Result<(), IntegrationError> {
    let wrong = urls.iter().find_map(|url| check_address(url).err());
    wrong.map_or(Ok(()), |source| Err(IntegrationError::Address { setting, source }))
}

#[cfg(test)]
mod tests {
    use keysweep_config::{Environment, FlagLayer, resolve};
    use keysweep_http::{Integrations, Webhook};

    use super::*;

    fn of_variables(pairs: &[(&'static str, &'static str)]) -> Result<JobIntegrations, IntegrationError> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        integrations(&resolve(&FlagLayer::default(), &environment, None).unwrap())
    }

    #[test]
    fn webhooks_and_prometheus_come_from_the_settings() {
        let nightly = of_variables(&[
            ("KEYSWEEP_WEBHOOKS", "https://a/x"),
            ("KEYSWEEP_WEBHOOK_SECRET", "word"),
            ("KEYSWEEP_SLACK_WEBHOOKS", "https://b/y"),
            ("KEYSWEEP_HIT_RATE", "prometheus:http://prometheus:9090"),
            ("KEYSWEEP_HITS_QUERY", "sum(hits_total)"),
            ("KEYSWEEP_MISSES_QUERY", "sum(misses_total)"),
        ]);
        let all = Integrations::new([("nightly".to_owned(), nightly.unwrap())]);
        let urls: Vec<String> = all.hooks("nightly").iter().map(Webhook::display_url).collect();
        assert_eq!(urls, ["https://a/***", "https://b/***"]);
        assert_eq!(all.prometheus("nightly").unwrap().hits, "sum(hits_total)");
        assert!(all.hooks("other").is_empty() && all.prometheus("other").is_none());
    }

    #[test]
    fn unusable_integrations_are_reported_when_settings_are_read() {
        let error = |pairs: &[(&'static str, &'static str)]| of_variables(pairs).unwrap_err().to_string();
        let source = ("KEYSWEEP_HIT_RATE", "prometheus:http://prometheus:9090");
        assert!(error(&[source]).ends_with("set `hits_query`, too"));
        assert!(error(&[source, ("KEYSWEEP_HITS_QUERY", "a")]).ends_with("set `misses_query`, too"));
        let error = error(&[("KEYSWEEP_WEBHOOKS", "https://:SECRET")]);
        assert!(error.starts_with("`webhooks`: ") && !error.contains("SECRET"), "{error}");
    }
}
