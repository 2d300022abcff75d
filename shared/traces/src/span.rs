//! A span of ours as the SDK has it.

use std::borrow::Cow;

use keysweep_telemetry::spans::{Attribute, AttributeValue, Span, Traced};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// The span for the exporter.
pub(super) fn data(span: Span) -> SpanData {
    let Span { id, parent, traced, start, end, attributes, error } = span;
    let (trace, own) = (TraceId::from(id.trace.get()), SpanId::from(id.span.get()));
    SpanData {
        span_context: SpanContext::new(trace, own, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.get())),
        parent_span_is_remote: parent.is_some(),
        span_kind: match traced {
            Traced::Run => SpanKind::Internal,
            Traced::Task | Traced::Batch => SpanKind::Consumer,
        },
        name: Cow::Borrowed(traced.name()),
        start_time: start,
        end_time: end,
        attributes: attributes.into_iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("keysweep").build(),
    }
}

fn attribute((name, value): Attribute) -> KeyValue {
    match value {
        AttributeValue::Text(text) => KeyValue::new(name, text),
        AttributeValue::Number(number) => KeyValue::new(name, i64::try_from(number).unwrap_or(i64::MAX)),
        AttributeValue::Flag(flag) => KeyValue::new(name, flag),
    }
}
