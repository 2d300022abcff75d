//! Spans to an OpenTelemetry collector, over OTLP/HTTP with protobuf. Off unless the standard variables name an
//! endpoint; `docs/traces.md` lists the spans and the variables.

mod exporter;
mod span;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use keysweep_telemetry::spans::{Span, SpanSink};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor};
use thiserror::Error;

/// How long the end of a process waits for the collector to take the last spans.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The one protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// Why spans cannot be sent.
#[derive(Debug, Error)]
pub enum TracesError {
    /// The variables ask for another protocol.
    #[error(
        "`{variable}` is `{value}`, and only `{PROTOCOL}` is spoken: set it to that, and the port to the collector's for HTTP (4318 by default)"
    )]
    Protocol {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// The variables cannot be used, or the system has no HTTP client.
    #[error("the `OTEL_EXPORTER_OTLP_…` variables cannot be used: {0}")]
    Settings(String),
}

/// Sends spans in the background. They are kept until the collector takes them, up to a limit; then they are dropped.
#[derive(Debug)]
pub struct OtlpSpans {
    processor: BatchSpanProcessor,
}

impl OtlpSpans {
    /// Starts to send, if the standard variables name an endpoint. Must not be called within an async runtime.
    ///
    /// # Errors
    /// When the variables cannot be used.
    pub fn from_env(version: &'static str) -> Result<Option<Arc<Self>>, TracesError> {
        let Some(endpoint) = endpoint() else { return Ok(None) };
        for variable in [OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL] {
            match value(variable) {
                Some(other) if other != PROTOCOL => {
                    return Err(TracesError::Protocol { variable, value: other });
                }
                // The variable for traces has priority.
                Some(_) => break,
                None => {}
            }
        }
        let mut processor = BatchSpanProcessor::builder(exporter::of(&endpoint)?).build();
        processor.set_resource(&resource(version));
        Ok(Some(Arc::new(Self { processor })))
    }

    /// Sends what is left, and waits some seconds for the collector.
    pub fn finish(&self) {
        match self.processor.shutdown_with_timeout(LAST_WAIT) {
            Ok(()) => {}
            Err(OTelSdkError::Timeout(_)) => tracing::warn!(
                "the last spans may be lost: the collector did not take them within {LAST_WAIT:?}"
            ),
            Err(e) => {
                tracing::debug!(error = %e, "failed to send the last spans");
                tracing::warn!("the last spans were not sent");
            }
        }
    }
}

impl SpanSink for OtlpSpans {
    fn record(&self, span: Span) {
        self.processor.on_end(span::data(span));
    }
}

/// The value of a variable; `None` if it is empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the standard variables of OpenTelemetry, which the SDK reads as well"
)]
fn value(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The collector; `None` if spans go nowhere.
fn endpoint() -> Option<String> {
    let is_disabled = value("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_elsewhere = value("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter != "otlp");
    if is_disabled || is_elsewhere {
        return None;
    }
    value(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT).or_else(|| value(OTEL_EXPORTER_OTLP_ENDPOINT))
}

/// What sends the spans. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add to it, and have priority.
fn resource(version: &'static str) -> Resource {
    let named = Resource::builder();
    let is_named = value("OTEL_SERVICE_NAME").is_some()
        || value("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    let named = if is_named { named } else { named.with_service_name("keysweep") };
    named.with_attribute(opentelemetry::KeyValue::new("service.version", version)).build()
}
