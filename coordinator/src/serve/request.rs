//! Parses the body or query of an API request. Errors name the fields of the request, not the types of the parser.

use keysweep_config::{SETTINGS, SettingKind};
use keysweep_model::ids::RunId;
use keysweep_model::printable::Printable;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::handlers::{ApiResult, CancelRequest, JobRequest, RunRequest, RunsRequest, StatsRequest, refused};
use crate::limits::REQUEST_BYTES_MAX;

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum FieldKind {
    /// A text.
    Text,
    /// A whole number from 0 up to this.
    Whole(u64),
    /// `true` or `false`.
    Switch,
    /// The id of a run; required.
    Run,
}

/// A field's name and type.
pub(super) type RequestField = (&'static str, FieldKind);

/// A request, and its fields.
pub(super) trait RequestFields: DeserializeOwned {
    fn fields() -> Vec<RequestField>;
}

/// A job's settings that a request may change have the names from the settings table.
impl RequestFields for RunRequest {
    fn fields() -> Vec<RequestField> {
        let settings = SETTINGS.iter().filter_map(|row| Some((row.json?.name, FieldKind::of(row.kind))));
        let named = [("job", FieldKind::Text), ("startedBy", FieldKind::Text)];
        named.into_iter().chain(settings).collect()
    }
}

impl RequestFields for StatsRequest {
    fn fields() -> Vec<RequestField> {
        vec![("job", FieldKind::Text), ("redis", FieldKind::Text)]
    }
}

impl RequestFields for JobRequest {
    fn fields() -> Vec<RequestField> {
        vec![("job", FieldKind::Text)]
    }
}

impl RequestFields for CancelRequest {
    fn fields() -> Vec<RequestField> {
        vec![("runId", FieldKind::Run), ("cause", FieldKind::Text)]
    }
}

impl RequestFields for RunsRequest {
    fn fields() -> Vec<RequestField> {
        vec![("job", FieldKind::Text), ("limit", FieldKind::Whole(u64::from(u32::MAX)))]
    }
}

impl FieldKind {
    /// The type of a setting's field. Bounds are checked later, with the settings.
    fn of(kind: SettingKind) -> Self {
        match kind {
            SettingKind::Switch => Self::Switch,
            SettingKind::Whole { .. } => Self::Whole(u64::from(u32::MAX)),
            _ => Self::Text,
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Run => value.as_str().is_some_and(|text| text.parse::<RunId>().is_ok()),
            _ if value.is_null() => true,
            Self::Text => value.is_string(),
            Self::Whole(max) => value.as_u64().is_some_and(|number| number <= max),
            Self::Switch => value.is_boolean(),
        }
    }

    fn description(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Whole(max) => format!("a whole number of up to {max}"),
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Run => "the id of a run".to_owned(),
        }
    }

    /// The value of a query parameter.
    fn of_text(self, text: String) -> Value {
        match self {
            Self::Whole(_) => text.parse::<u64>().map_or(Value::String(text), Value::from),
            Self::Switch => text.parse::<bool>().map_or(Value::String(text), Value::from),
            Self::Text | Self::Run => Value::String(text),
        }
    }
}

/// Parses a body. An empty one is a request with the defaults.
pub(super) fn parse<T: RequestFields>(body: &[u8]) -> ApiResult<T> {
    if body.len() > REQUEST_BYTES_MAX {
        return refused(413, format!("the request is longer than {REQUEST_BYTES_MAX} bytes"));
    }
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => read(fields),
        Ok(_) => refused(400, "the request cannot be parsed: it is not a JSON object"),
        Err(_) => refused(400, "the request cannot be parsed: it is not JSON"),
    }
}

/// Parses a query.
pub(super) fn of_query<T: RequestFields>(pairs: Vec<(String, String)>) -> ApiResult<T> {
    let known_fields = T::fields();
    let mut fields = Map::new();
    for (name, text) in pairs {
        let takes = known_fields
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(FieldKind::Text, |(_, takes)| *takes);
        if fields.contains_key(&name) {
            return refused(400, format!("`{}` is given twice", shown(&name)));
        }
        fields.insert(name, takes.of_text(text));
    }
    read(fields)
}

fn read<T: RequestFields>(fields: Map<String, Value>) -> ApiResult<T> {
    let known_fields = T::fields();
    for (name, value) in &fields {
        let Some((_, takes)) = known_fields.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = known_fields.iter().map(|(known, _)| *known).collect();
            return refused(
                400,
                format!("unknown field `{}`; there are `{}`", shown(name), known.join("`, `")),
            );
        };
        if !takes.fits(value) {
            return refused(400, format!("`{name}` takes {}", takes.description()));
        }
    }
    let missing = known_fields
        .iter()
        .find(|(name, takes)| matches!(takes, FieldKind::Run) && !fields.contains_key(*name));
    if let Some((name, takes)) = missing {
        return refused(400, format!("`{name}` is missing: give {}", takes.description()));
    }
    serde_json::from_value(Value::Object(fields)).or_else(|_| refused(400, "the request cannot be parsed"))
}

/// A name from a request, cut for display.
fn shown(name: &str) -> String {
    Printable(name.chars().take(40).collect::<String>().as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Checks a request with every field: the list has them, and the type accepts them.
    #[track_caller]
    fn whole<T: RequestFields>() {
        let value = |takes: &FieldKind| match takes {
            FieldKind::Text => Value::from("main"),
            FieldKind::Whole(_) => Value::from(7),
            FieldKind::Switch => Value::from(true),
            FieldKind::Run => Value::from(RunId::new().to_string()),
        };
        let fields: Map<String, Value> =
            T::fields().iter().map(|(name, takes)| ((*name).to_owned(), value(takes))).collect();
        let read = read::<T>(fields);
        assert!(read.is_ok(), "{:?}", read.err());
    }

    #[test]
    fn every_field_is_one_of_its_request() {
        whole::<RunRequest>();
        whole::<StatsRequest>();
        whole::<CancelRequest>();
        whole::<RunsRequest>();
        // And in the other direction.
        let written = serde_json::to_value(RunRequest::default()).expect("it can be written");
        let known: BTreeSet<&str> = RunRequest::fields().into_iter().map(|(name, _)| name).collect();
        let written: BTreeSet<&str> =
            written.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(known, written);
    }

    #[track_caller]
    fn refuses<T: RequestFields>(body: &str, words: &str) {
        let refusal = parse::<T>(body.as_bytes()).err().expect("it is refused");
        assert!(refusal.code == 400 && refusal.why.contains(words), "{}", refusal.why);
        for internal in ["expected", "column", "invalid type", "u32", "Deserialize"] {
            assert!(!refusal.why.contains(internal), "{}", refusal.why);
        }
    }

    #[test]
    fn errors_name_the_fields_of_the_request() {
        refuses::<RunRequest>("{", "it is not JSON");
        refuses::<RunRequest>("[]", "not a JSON object");
        refuses::<RunRequest>(&"[".repeat(60_000), "it is not JSON");
        refuses::<RunRequest>(r#"{"colour": 1}"#, "unknown field `colour`; there are `job`, ");
        refuses::<RunRequest>(
            r#"{"scanBatchSize": "9"}"#,
            "`scanBatchSize` takes a whole number of up to 4294967295",
        );
        refuses::<RunRequest>(r#"{"scanBatchSize": -1}"#, "a whole number");
        refuses::<RunRequest>(r#"{"scanBatchSize": 5000000000}"#, "a whole number");
        refuses::<RunRequest>(r#"{"dryRun": "yes"}"#, "`dryRun` takes `true` or `false`");
        refuses::<RunRequest>(r#"{"job": {}}"#, "`job` takes a text");
        refuses::<CancelRequest>("{}", "`runId` is missing");
        refuses::<CancelRequest>(r#"{"runId": "last"}"#, "`runId` takes the id of a run");
        refuses::<CancelRequest>(r#"{"runId": null}"#, "the id of a run");
        assert!(parse::<RunRequest>(b" ").is_ok() && parse::<RunRequest>(br#"{"job": null}"#).is_ok());
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let limit = of_query::<RunsRequest>(vec![pair("limit", "3"), pair("job", "3")]);
        assert_eq!(limit.ok().and_then(|request| request.limit), Some(3));
        for (pairs, words) in [
            (vec![pair("limit", "many")], "`limit` takes a whole number"),
            (vec![pair("limit", "1"), pair("limit", "2")], "`limit` is given twice"),
            (vec![pair("colour", "red")], "unknown field `colour`"),
        ] {
            let refusal = of_query::<RunsRequest>(pairs).err().expect("it is refused");
            assert!(refusal.why.contains(words), "{}", refusal.why);
        }
    }
}
