//! The metrics and spans of this process.

use std::sync::{Arc, OnceLock};

use keysweep_telemetry::spans::SpanSink;
use keysweep_telemetry::{Role, Telemetry};
use keysweep_traces::OtlpSpans;

use super::build::BUILD;

/// Where the spans of this process go, if anywhere.
static SPANS: OnceLock<Arc<OtlpSpans>> = OnceLock::new();

/// Starts to send spans, if the environment names a collector. Called once, outside of the async runtime. A run does not
/// depend on its traces: variables that cannot be used are a warning.
pub fn start_spans() {
    match OtlpSpans::from_env(BUILD.version) {
        Ok(Some(spans)) => drop(SPANS.set(spans)),
        Ok(None) => {}
        Err(e) => tracing::warn!("no traces are sent: {e}"),
    }
}

/// Sends the spans that are left.
pub fn finish_spans() {
    if let Some(spans) = SPANS.get() {
        spans.finish();
    }
}

/// The metrics of a process with `roles`, and its spans.
pub(super) fn of(roles: &[Role]) -> Arc<Telemetry> {
    let spans = SPANS.get().cloned().map(|spans| spans as Arc<dyn SpanSink>);
    Arc::new(Telemetry::of(roles, BUILD).traced_to(spans))
}
