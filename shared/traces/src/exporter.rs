//! The exporter: the SDK's, with a log line when a collector begins and ceases to fail.

use std::fmt::{self, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keysweep_http::display_origin;
use opentelemetry_otlp::{SpanExporter as Otlp, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use reqwest::blocking::ClientBuilder;
use reqwest::redirect::Policy;

use super::TracesError;

/// Sends spans, and says so once if they are not taken.
pub(super) struct Exporter {
    otlp: Otlp,
    /// Where, as it may be shown.
    place: String,
    fails: AtomicBool,
}

/// The exporter to `endpoint`. Its headers may contain a token, so it follows no redirect.
pub(super) fn of(endpoint: &str) -> Result<Exporter, TracesError> {
    // The NATS client uses the process' default provider if there is one, and ring otherwise, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = |e: &dyn fmt::Display| TracesError::Settings(e.to_string());
    let client = ClientBuilder::new().redirect(Policy::none()).referer(false);
    let client = client.build().map_err(|e| settings(&e))?;
    let otlp = Otlp::builder().with_http().with_http_client(client).build().map_err(|e| settings(&e))?;
    Ok(Exporter { otlp, place: display_origin(endpoint), fails: AtomicBool::new(false) })
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "an exporter to {}", self.place)
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exported = self.otlp.export(batch).await;
        let failed_before = self.fails.swap(exported.is_err(), Ordering::Relaxed);
        match &exported {
            Ok(()) if failed_before => tracing::info!("{} takes spans again", self.place),
            Err(e) if !failed_before => {
                tracing::debug!(error = %e, "failed to send spans");
                tracing::warn!("{} does not take spans: those that it does not take are lost", self.place);
            }
            _ => {}
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.otlp.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
