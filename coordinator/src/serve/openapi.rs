//! The description of the HTTP API as an OpenAPI 3.1 document, made from its operations (`routes.rs`) and the types of
//! their requests and responses. `cargo xtask docs --schemas` writes it to `docs/openapi.json`. The service returns that
//! file: nothing here runs in it.

use axum::routing::MethodFilter;
use keysweep_model::ids::RunId;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::handlers::{JobRequest, RunAnswer, RunRequest, Runs, RunsRequest, StatsRequest, TtlAdviceAnswer};
use super::http::{CancelBody, ErrorBody};
use super::page::audit::{AuditRequest, FoundKeys};
use super::page::login::{Login, SessionAnswer};
use super::page::series::CacheSeries;
pub(crate) use super::page::snapshot::live_event;
use super::routes::{Caller, Operation};
use crate::runs::{Cancelled, RunView};
use crate::schemas::plain;
use crate::statistics::Statistics;

const JSON: &str = "application/json";

/// What every process serves at its admin address without a token. `coordinator/cli/src/admin.rs` has the routes.
struct Probe {
    path: &'static str,
    summary: &'static str,
    media_types: &'static [&'static str],
    /// Statuses with their meanings.
    responses: &'static [(u16, &'static str)],
}

const PROBES: [Probe; 3] = [
    Probe {
        path: "/livez",
        summary: "Whether the process runs",
        media_types: &["text/plain"],
        responses: &[(200, "It does.")],
    },
    Probe {
        path: "/readyz",
        summary: "Whether the process can work",
        media_types: &["text/plain"],
        responses: &[(200, "It can."), (503, "It cannot; the text says why.")],
    },
    Probe {
        path: "/metrics",
        summary: "Metrics of the process",
        media_types: &["text/plain", "application/openmetrics-text"],
        responses: &[(
            200,
            "The metrics, in the text format of Prometheus, or in that of OpenMetrics if `Accept` asks for it.",
        )],
    },
];

/// The statuses of error responses that every operation may have, but the description.
const REFUSALS: [(u16, &str); 10] = [
    (400, "The request is malformed, or an option is out of range."),
    (401, "The token is missing or wrong."),
    (
        403,
        "No token is configured, so the API is off; the client may only read; or the request exceeds its job.",
    ),
    (404, "There is no such run, or the job is neither served nor in the history."),
    (408, "The body took too long."),
    (413, "The body is too long."),
    (415, "A browser's request is not JSON."),
    (429, "The address has sent too many wrong tokens: try again in a moment."),
    (500, "Redis or NATS failed; the text names which."),
    (
        503,
        "The service waits for NATS if it needs it, is draining, or is starting too many runs at once: try again.",
    ),
];

/// That of a run that cannot start.
const CONFLICT: (u16, &str) = (409, "The job is already running, or a guard refuses the run.");

/// That of a search where no state file is.
const NOT_HERE: (u16, &str) = (501, "The runs are carried out by workers, and their audit trail is in NATS.");

/// The document, in the order in which it is read.
#[derive(Serialize)]
pub(crate) struct OpenApi {
    openapi: &'static str,
    info: Value,
    security: Value,
    paths: Map<String, Value>,
    components: Value,
}

/// Makes the document.
pub(crate) fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for operation in Operation::ALL {
        let path = paths.entry(operation.full_path()).or_insert_with(|| json!({}));
        let method = if operation.method() == MethodFilter::POST { "post" } else { "get" };
        path[method] = plain(described(*operation, &mut schemas));
    }
    for probe in PROBES {
        paths.insert(probe.path.to_owned(), json!({ "get": probe.described() }));
    }
    let error = schemas.response::<ErrorBody<'_>>();
    let refusals = REFUSALS.into_iter().chain([CONFLICT, NOT_HERE]);
    let refusals: Map<String, Value> =
        refusals.map(|(status, meaning)| (status.to_string(), response(meaning, &error))).collect();
    OpenApi {
        openapi: "3.1.0",
        info: json!({
            "title": "keysweep",
            "summary": "The HTTP API of `keysweep serve`.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        }),
        security: json!([{ "token": [] }]),
        paths,
        components: json!({
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": refusals,
            "schemas": schemas.definitions(),
        }),
    }
}

/// The schemas of requests, as they are read, and of responses, as they are written.
struct Schemas {
    requests: SchemaGenerator,
    responses: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|with| {
                with.definitions_path = "/components/schemas".into();
                with.meta_schema = None;
            })
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            responses: settings().for_serialize().into_generator(),
        }
    }

    fn request<T: JsonSchema>(&mut self) -> Value {
        self.requests.subschema_for::<T>().into()
    }

    fn response<T: JsonSchema>(&mut self) -> Value {
        self.responses.subschema_for::<T>().into()
    }

    /// The fields of a request as parameters of a query. All are optional.
    fn query<T: JsonSchema>(&mut self) -> Vec<Value> {
        let schema = T::json_schema(&mut self.requests);
        let fields = schema.get("properties").and_then(Value::as_object);
        fields.into_iter().flatten().map(|(name, schema)| parameter("query", name, schema.clone())).collect()
    }

    fn definitions(mut self) -> Value {
        let mut definitions = self.requests.take_definitions(false);
        definitions.extend(self.responses.take_definitions(false));
        plain(Value::Object(definitions))
    }
}

/// A parameter in `place` with `schema`. A parameter that is there is not null, and its description is its own.
fn parameter(place: &str, name: &str, mut schema: Value) -> Value {
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    if let Some(kind) = schema["type"].as_array().and_then(|kinds| kinds.iter().find(|kind| *kind != "null"))
    {
        schema["type"] = kind.clone();
    }
    json!({
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema,
    })
}

/// A response whose body is JSON with `schema`.
fn response(meaning: &str, schema: &Value) -> Value {
    text(meaning, JSON, schema)
}

/// A response whose body is of `media_type`.
fn text(meaning: &str, media_type: &str, schema: &Value) -> Value {
    json!({ "description": meaning, "content": { media_type: { "schema": schema } } })
}

/// An operation, with all its responses.
fn described(operation: Operation, schemas: &mut Schemas) -> Value {
    let mut described = good(operation, schemas);
    described["operationId"] = json!(<&str>::from(operation));
    if operation.caller() != Caller::Client {
        described["security"] = json!([]);
    }
    for (status, _) in refusals(operation) {
        described["responses"][status.to_string()] =
            json!({ "$ref": format!("#/components/responses/{status}") });
    }
    described
}

/// What an operation takes, and answers if nothing is wrong.
fn good(operation: Operation, schemas: &mut Schemas) -> Value {
    match operation {
        Operation::Stats => json!({
            "summary": "Statistics of job queue, cache and Redis",
            "parameters": schemas.query::<StatsRequest>(),
            "responses": { "200": response("The statistics.", &schemas.response::<Statistics>()) },
        }),
        Operation::ListRuns => json!({
            "summary": "List the runs in the history",
            "parameters": schemas.query::<RunsRequest>(),
            "responses": { "200": response("The runs.", &schemas.response::<Runs>()) },
        }),
        Operation::StartRun => json!({
            "summary": "Start a run",
            "requestBody": body(&schemas.request::<RunRequest>()),
            "responses": { "202": started(&schemas.response::<RunAnswer>()) },
        }),
        Operation::ShowRun => json!({
            "summary": "Show a run: its line in the history, its progress and its result",
            "parameters": [run_id(schemas)],
            "responses": { "200": response("The run.", &schemas.response::<RunView>()) },
        }),
        Operation::ShowReport => json!({
            "summary": "The report of a run that has ended, as an HTML document",
            "parameters": [run_id(schemas)],
            "responses": { "200": text("The report.", "text/html", &json!({ "type": "string" })) },
        }),
        Operation::CancelRun => json!({
            "summary": "Stop a run at a safe point",
            "parameters": [run_id(schemas)],
            "requestBody": body(&schemas.request::<CancelBody>()),
            "responses": { "200": response("What the request has done.", &schemas.response::<Cancelled>()) },
        }),
        Operation::SearchAudit => json!({
            "summary": "Search the keys that runs changed, those handled last first",
            "parameters": schemas.query::<AuditRequest>(),
            "responses": { "200": response("The keys.", &schemas.response::<FoundKeys>()) },
        }),
        Operation::FollowLive => json!({
            "summary": "Follow what the page shows, as server-sent events",
            "description": "Its content may change between versions.",
            "responses": { "200": text("The events.", "text/event-stream", &events(schemas)) },
        }),
        Operation::Series => json!({
            "summary": "Show the cache of a job over time, for charts",
            "description": "Its content may change between versions.",
            "parameters": schemas.query::<JobRequest>(),
            "responses": { "200": response("The figures.", &schemas.response::<CacheSeries>()) },
        }),
        Operation::TtlAdvice => json!({
            "summary": "Show what other TTLs would do to the cache of a job, by the looks of the service",
            "parameters": schemas.query::<JobRequest>(),
            "responses": { "200": response("The advice.", &schemas.response::<TtlAdviceAnswer>()) },
        }),
        Operation::LogIn => json!({
            "summary": "Begin a session of a browser: the answer sets its cookie",
            "requestBody": needed(body(&schemas.request::<Login>())),
            "responses": { "200": response("The session.", &schemas.response::<SessionAnswer>()) },
        }),
        Operation::LogOut => json!({
            "summary": "End the session of a browser",
            "responses": { "200": response("It has ended.", &schemas.response::<SessionAnswer>()) },
        }),
        Operation::OpenApi => json!({
            "summary": "This document",
            "responses": { "200": response("The document.", &json!({ "type": "object" })) },
        }),
    }
}

/// Server-sent events, one after the other.
fn events(schemas: &mut Schemas) -> Value {
    json!({ "type": "array", "items": live_event(&mut schemas.responses) })
}

/// The error responses of an operation.
fn refusals(operation: Operation) -> impl Iterator<Item = (u16, &'static str)> {
    let own = match operation {
        Operation::StartRun => Some(CONFLICT),
        Operation::SearchAudit => Some(NOT_HERE),
        _ => None,
    };
    let all = (operation.caller() != Caller::Anyone).then_some(REFUSALS);
    all.into_iter().flatten().chain(own)
}

impl Probe {
    fn described(&self) -> Value {
        let of_text = |(status, meaning): &(u16, &str)| {
            let schema = json!({ "schema": { "type": "string" } });
            let content: Map<_, _> =
                self.media_types.iter().map(|of| ((*of).to_owned(), schema.clone())).collect();
            (status.to_string(), json!({ "description": meaning, "content": content }))
        };
        let responses: Map<String, Value> = self.responses.iter().map(of_text).collect();
        json!({ "summary": self.summary, "security": [], "responses": responses })
    }
}

/// The response to a started run.
fn started(schema: &Value) -> Value {
    let mut response = response("The run is stored, and waits for workers.", schema);
    response["headers"] = json!({
        "Location": { "description": "The path of the run.", "schema": { "type": "string" } },
    });
    response
}

/// A body with `schema`, which may be left out.
fn body(schema: &Value) -> Value {
    json!({ "required": false, "content": { JSON: { "schema": schema } } })
}

fn needed(mut body: Value) -> Value {
    body["required"] = json!(true);
    body
}

fn run_id(schemas: &mut Schemas) -> Value {
    let mut schema = schemas.request::<RunId>();
    schema["description"] = json!("The id of the run.");
    parameter("path", "id", schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::request::RequestFields;

    /// The values of all `$ref` in `value`.
    fn references(value: &Value) -> Vec<String> {
        match value {
            Value::Object(fields) => {
                let own = fields.get("$ref").and_then(Value::as_str).map(str::to_owned);
                own.into_iter().chain(fields.values().flat_map(references)).collect()
            }
            Value::Array(items) => items.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_reference_resolves() {
        let document = json!(document());
        let references = references(&document);
        assert!(references.len() > 40, "{references:?}");
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("a pointer");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    /// Requests and responses share the place of their definitions.
    #[test]
    fn no_two_types_have_the_same_name() {
        let mut schemas = Schemas::new();
        for operation in Operation::ALL {
            described(*operation, &mut schemas);
        }
        for (name, schema) in schemas.requests.definitions() {
            let other = schemas.responses.definitions().get(name);
            assert!(other.is_none_or(|other| other == schema), "{name}");
        }
    }

    #[test]
    fn requests_have_the_fields_that_are_read() {
        fn check<T: RequestFields + JsonSchema>() {
            let schema = T::json_schema(&mut Schemas::new().requests);
            let described = schema.get("properties").and_then(Value::as_object).expect("properties");
            let mut read: Vec<&str> = T::fields().into_iter().map(|(name, _)| name).collect();
            read.sort_unstable();
            assert_eq!(described.keys().map(String::as_str).collect::<Vec<_>>(), read);
            assert_eq!(schema.get("additionalProperties"), Some(&json!(false)));
        }
        check::<StatsRequest>();
        check::<RunsRequest>();
        check::<RunRequest>();
        check::<CancelBody>();
        check::<AuditRequest>();
        check::<JobRequest>();
        check::<Login>();
    }
}
