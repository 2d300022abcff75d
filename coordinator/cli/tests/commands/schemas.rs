//! The published schemas. Every output of every test is compared with them (`cli/schemas.rs`); here is what they refuse.

use coordinator::statistics::Statistics;
use keysweep_model::result::CleanupResult;
use keysweep_servers::Server;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::schemas::{api_errors, event_errors, live_errors, result_errors, statistics_errors};
use crate::cli::state::State;

/// The pointers to all values within `value`.
fn pointers(value: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| {
        let own = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let within = pointers(value).into_iter().map(|pointer| format!("{own}{pointer}"));
        std::iter::once(own.clone()).chain(within).collect::<Vec<_>>()
    };
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| below(name, value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, value)| below(&n.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}

/// Null is what an unknown value is: the type must read it exactly where the schema allows it.
#[track_caller]
fn null_is_allowed_where_the_type_has_an_option<T: DeserializeOwned>(
    value: &Value,
    errors: fn(&Value) -> String,
) {
    assert_eq!(errors(value), "");
    let pointers = pointers(value);
    assert!(pointers.len() > 40, "{value:#}");
    for pointer in pointers {
        let mut changed = value.clone();
        *changed.pointer_mut(&pointer).unwrap() = Value::Null;
        let (errors, read) = (errors(&changed), serde_json::from_value::<T>(changed));
        assert_eq!(errors.is_empty(), read.is_ok(), "{pointer}: {errors}, {:?}", read.err());
    }
}

#[track_caller]
fn refuses(errors: fn(&Value) -> String, value: &Value, change: impl FnOnce(&mut Value)) {
    let mut changed = value.clone();
    change(&mut changed);
    assert_ne!(errors(&changed), "", "{changed:#}");
}

fn remove(value: &mut Value, name: &str) {
    assert!(value.as_object_mut().unwrap().remove(name).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_refuse_what_is_not_printed() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(1_000).await;
    let state = State::new();
    let (ended, result) = state.json(&["run", "--yes", "--redis", place.url()]);
    ended.exits(0);
    let (_, statistics) = state.json(&["stats", "--redis", place.url()]);
    null_is_allowed_where_the_type_has_an_option::<CleanupResult>(&result, result_errors);
    null_is_allowed_where_the_type_has_an_option::<Statistics>(&statistics, statistics_errors);
    for name in ["freedBytes", "skippedKeys", "nodes"] {
        refuses(result_errors, &result, |result| remove(result, name));
    }
    refuses(result_errors, &result, |result| result["status"] = json!("done"));
    refuses(result_errors, &result, |result| result["runId"] = json!("last"));
    refuses(result_errors, &result, |result| result["nodes"][0]["colour"] = json!("red"));
    refuses(statistics_errors, &statistics, |statistics| statistics["jobQueue"]["failed"] = json!(-1));
    let ended = state.command(&["events", "--json"]).run();
    let events = ended.exits(0).stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut seen = 0;
    for event in events {
        seen += 1;
        refuses(event_errors, &event, |event| event["type"] = json!("dev.keysweep.run.paused.v1"));
        refuses(event_errors, &event, |event| event["data"] = json!({}));
        refuses(event_errors, &event, |event| remove(event, "time"));
    }
    assert!(seen >= 3, "{ended}");
}

#[test]
fn the_schema_of_live_data_refuses_other_events() {
    let check = |event: &str, data: Value, good: bool| {
        let sent = json!({ "event": event, "data": data });
        let errors = live_errors(&sent);
        assert_eq!(errors.is_empty(), good, "{sent}: {errors}");
    };
    let empty = json!({
        "jobs": [], "running": [], "details": {}, "runs": [], "alerts": [], "resolved": [], "workers": null,
        "problem": null,
    });
    check("snapshot", empty.clone(), true);
    check("patch", empty, true);
    check("patch", json!({ "runs": [], "problem": "no store" }), true);
    check("snapshot", json!({ "runs": [], "problem": "no store" }), false);
    check("patch", json!({}), false);
    check("patch", json!({ "runs": null }), false);
    check("patch", json!({ "runs": [{}] }), false);
    check("patch", json!({ "colour": "red" }), false);
    check("message", json!({ "runs": [] }), false);
}

#[test]
fn the_description_of_the_api_refuses_other_responses() {
    let check = |method: &str, path: &str, status: u16, body: &Value, good: bool| {
        let errors = api_errors(method, path, status, body);
        assert_eq!(errors.is_empty(), good, "{method} {path} {status} {body}: {errors}");
    };
    let (error, runs) = (json!({ "error": "why" }), json!({ "runs": [] }));
    check("GET", "/api/runs?limit=1", 200, &runs, true);
    check("GET", "/api/runs", 200, &error, false);
    check("GET", "/api/runs", 404, &error, true);
    check("GET", "/api/runs", 404, &json!({ "error": null }), false);
    check("GET", "/api/runs", 409, &error, false);
    check("POST", "/api/runs", 409, &error, true);
    check("GET", "/api/elsewhere", 404, &error, true);
    check("GET", "/api/elsewhere", 200, &runs, false);
    check("DELETE", "/api/runs", 405, &error, true);
}
