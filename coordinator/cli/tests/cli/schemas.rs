//! The published schemas, and whether an output is what they say. A field that they do not name is an error here, so that
//! they lack none; a program that reads our output accepts it.

use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

/// A published file, by its path below `docs/`, without the permission for further fields.
fn published(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut document = serde_json::from_str(&text).unwrap();
    close(&mut document);
    document
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            keywords.values_mut().for_each(close);
            if keywords.get("type") == Some(&json!("object")) && keywords.contains_key("properties") {
                keywords.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap_or_else(|e| panic!("{e}"))
}

/// What is wrong with `value`, one line each.
fn errors(validator: &Validator, value: &Value) -> String {
    let errors = validator.iter_errors(value);
    errors.map(|e| format!("{}: {e}\n", e.instance_path())).collect()
}

/// What is wrong with `value` by `docs/schemas/result.json`.
pub fn result_errors(value: &Value) -> String {
    static RESULT: OnceLock<Validator> = OnceLock::new();
    errors(RESULT.get_or_init(|| validator(&published("schemas/result.json"))), value)
}

/// What is wrong with `value` by `docs/schemas/events.json`.
pub fn event_errors(value: &Value) -> String {
    static EVENT: OnceLock<Validator> = OnceLock::new();
    errors(EVENT.get_or_init(|| validator(&published("schemas/events.json"))), value)
}

/// What is wrong with `value` by `docs/schemas/statistics.json`.
pub fn statistics_errors(value: &Value) -> String {
    static STATISTICS: OnceLock<Validator> = OnceLock::new();
    errors(STATISTICS.get_or_init(|| validator(&published("schemas/statistics.json"))), value)
}

/// What is wrong with the state of an experiment by `docs/schemas/ttl-experiment.json`.
pub fn experiment_errors(value: &Value) -> String {
    static EXPERIMENT: OnceLock<Validator> = OnceLock::new();
    errors(EXPERIMENT.get_or_init(|| validator(&published("schemas/ttl-experiment.json"))), value)
}

/// What is wrong with `value` by `docs/schemas/ttl-advice.json`.
pub fn ttl_advice_errors(value: &Value) -> String {
    static ADVICE: OnceLock<Validator> = OnceLock::new();
    errors(ADVICE.get_or_init(|| validator(&published("schemas/ttl-advice.json"))), value)
}

/// What is wrong with an event of `GET /api/live`, by `docs/schemas/live.json`.
pub fn live_errors(value: &Value) -> String {
    static LIVE: OnceLock<Validator> = OnceLock::new();
    errors(LIVE.get_or_init(|| validator(&published("schemas/live.json"))), value)
}

/// Checks the output of a command with `--json`, if it is of a kind that has a schema. `line` is `keysweep …`.
#[track_caller]
pub fn check_output(line: &str, stdout: &str) {
    let mut words = line.split(' ').skip(1);
    let command = words.next().unwrap_or_default();
    if !words.any(|word| word == "--json") {
        return;
    }
    let documents: Vec<Value> =
        serde_json::Deserializer::from_str(stdout).into_iter().map_while(Result::ok).collect();
    for document in documents {
        let errors = match command {
            // Errors have their own form.
            _ if document.get("exitCode").is_some() => continue,
            "events" => event_errors(&document),
            "stats" => statistics_errors(&document),
            "ttl" if document.get("verdict").is_some() => experiment_errors(&document),
            "ttl" if document.get("curve").is_some() => ttl_advice_errors(&document),
            _ if document.get("schemaVersion").is_some() => result_errors(&document),
            _ => continue,
        };
        assert!(errors.is_empty(), "$ {line}\n{errors}\n{document:#}");
    }
}

/// What is wrong with a response by `docs/openapi.json`: with its status, or its body. `path` may have a query.
pub fn api_errors(method: &str, path: &str, status: u16, body: &Value) -> String {
    let document = described();
    let pointer = match operation(document, method, path) {
        Some(operation) => match response(document, &operation, status) {
            Some(response) => format!("{response}/content/application~1json/schema"),
            None => return format!("{status} is not a response of {operation}"),
        },
        // No such operation: the response is an error.
        None if status >= 400 => "/components/schemas/Error".to_owned(),
        None => return format!("no operation is {method} {path}"),
    };
    let mut schema = document.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
    schema["components"] = document["components"].clone();
    errors(&validator(&schema), body)
}

/// What is wrong with a response that is no JSON: its status, or its media type.
pub fn text_errors(method: &str, path: &str, status: u16, media_type: &str) -> String {
    let document = described();
    let Some(operation) = operation(document, method, path) else {
        return format!("no operation is {method} {path}");
    };
    let content = response(document, &operation, status).map(|response| format!("{response}/content"));
    let content = content.and_then(|content| document.pointer(&content)?.as_object().cloned());
    match content.unwrap_or_default().contains_key(media_type) {
        true => String::new(),
        false => format!("{operation} does not answer {status} with {media_type}"),
    }
}

/// The description of the API.
pub fn described() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| published("openapi.json"))
}

/// The pointer to the operation of a request.
fn operation(document: &Value, method: &str, path: &str) -> Option<String> {
    let method = method.to_ascii_lowercase();
    let asked: Vec<&str> = path.split('?').next()?.split('/').collect();
    let fits = |(template, operations): &(&String, &Value)| {
        let parts: Vec<&str> = template.split('/').collect();
        let same = |(part, asked): (&&str, &&str)| part.starts_with('{') || part == asked;
        operations.get(&method).is_some() && parts.len() == asked.len() && parts.iter().zip(&asked).all(same)
    };
    let (template, _) = document["paths"].as_object()?.iter().find(fits)?;
    Some(format!("/paths/{}/{method}", template.replace('/', "~1")))
}

/// The pointer to a response of an operation.
fn response(document: &Value, operation: &str, status: u16) -> Option<String> {
    let own = format!("{operation}/responses/{status}");
    let response = document.pointer(&own)?;
    let reference = response.get("$ref").and_then(Value::as_str);
    Some(reference.map_or(own, |reference| reference.trim_start_matches('#').to_owned()))
}
