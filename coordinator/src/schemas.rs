//! The JSON Schemas of what programs read: results, events, statistics, TTL advice, live data, and the HTTP API. They are
//! made from the types that are written, for the files in `docs/`: `cargo xtask docs --schemas` writes those, and tests
//! compare them. Nothing here runs in the product.

use keysweep_model::result::CleanupResult;
use keysweep_model::ttl_advice::{SampledTtlAdvice, TtlAdvice};
use keysweep_storage::decisions::DecisionRecord;
use keysweep_storage::events::{
    AlertData, CloudEvent, EventKind, FailedAttemptData, IssueData, MissedData, ProgressData, StartedData,
    TakenOverData,
};
use reporter::summary::Summary;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Error, Value, json};

use crate::serve::openapi;
use crate::statistics::Statistics;
use crate::ttl_experiment::{ExperimentPlan, ExperimentStatus};

/// The generated files, by their paths below `docs/`, with their contents.
///
/// # Errors
/// If one cannot be serialized.
pub fn documents() -> Result<[(&'static str, String); 8], Error> {
    Ok([
        ("schemas/result.json", text(&of::<CleanupResult>()?)?),
        ("schemas/events.json", text(&events()?)?),
        ("schemas/statistics.json", text(&of::<Statistics>()?)?),
        ("schemas/ttl-advice.json", text(&of::<TtlAdvice>()?)?),
        ("schemas/ttl-experiment.json", text(&of::<ExperimentStatus>()?)?),
        ("schemas/ttl-experiment-plan.json", text(&of::<ExperimentPlan>()?)?),
        ("schemas/live.json", text(&live()?)?),
        ("openapi.json", text(&openapi::document())?),
    ])
}

fn text(document: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

/// The schema of a type.
fn of<T: JsonSchema>() -> Result<Schema, Error> {
    plain(generator().into_root_schema_for::<T>().into()).try_into()
}

/// The schema of an event: one alternative for each type, with its data.
fn events() -> Result<Schema, Error> {
    let mut generator = generator();
    let mut kinds = Vec::new();
    for kind in EventKind::ALL {
        let data = data(*kind, &mut generator);
        for event_type in kind.event_types() {
            let mut event = json!(generator.subschema_for::<CloudEvent<'_>>());
            event["properties"] = json!({ "type": { "const": event_type }, "data": data });
            kinds.push(event);
        }
    }
    plain(json!({
        "$schema": generator.settings().meta_schema,
        "title": "Event",
        "description": "An event of keysweep: a CloudEvent 1.0 in structured JSON. Its type determines its data.",
        "oneOf": kinds,
        "$defs": generator.take_definitions(false),
    }))
    .try_into()
}

/// The schema of an event of the page.
fn live() -> Result<Schema, Error> {
    let mut generator = generator();
    let mut schema = openapi::live_event(&mut generator);
    schema["$schema"] = json!(generator.settings().meta_schema);
    schema["title"] = json!("LiveEvent");
    schema["description"] =
        json!("An event of `GET /api/live`: its name, and the JSON document in its data.");
    schema["$defs"] = Value::Object(generator.take_definitions(false));
    plain(schema).try_into()
}

/// The schema of the data of an event.
fn data(kind: EventKind, generator: &mut SchemaGenerator) -> Value {
    let data = match kind {
        EventKind::Started => generator.subschema_for::<StartedData<'_>>(),
        EventKind::Progress => generator.subschema_for::<ProgressData>(),
        EventKind::TakenOver => generator.subschema_for::<TakenOverData<'_>>(),
        EventKind::Issue => generator.subschema_for::<IssueData<'_>>(),
        EventKind::Alert => generator.subschema_for::<AlertData<'_>>(),
        EventKind::Summary => generator.subschema_for::<Summary>(),
        EventKind::Missed => generator.subschema_for::<MissedData>(),
        EventKind::Decided => generator.subschema_for::<DecisionRecord>(),
        EventKind::TtlExperiment => generator.subschema_for::<ExperimentStatus>(),
        EventKind::TtlAdvice => generator.subschema_for::<SampledTtlAdvice>(),
        EventKind::Completed | EventKind::Partial | EventKind::Cancelled => {
            generator.subschema_for::<CleanupResult>()
        }
        EventKind::Failed => {
            let result = generator.subschema_for::<CleanupResult>();
            let attempt = generator.subschema_for::<FailedAttemptData<'_>>();
            return json!({ "anyOf": [result, attempt] });
        }
    };
    data.into()
}

/// A schema without what is there for readers of the source: links and line breaks in descriptions, and the defaults of
/// fields that records of earlier versions lack. No field of ours has the name `default` or `description`.
pub(crate) fn plain(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(keywords) => {
            keywords.remove("default");
            if let Some(Value::String(text)) = keywords.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
            }
            keywords.values_mut().for_each(|value| *value = plain(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = plain(item.take())),
        _ => {}
    }
    schema
}
