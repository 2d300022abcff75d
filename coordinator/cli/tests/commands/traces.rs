//! Traces as an OpenTelemetry collector gets them: one tree per run, in one process and over many; and runs that do not
//! depend on the collector.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::ids::RunId;
use keysweep_model::trace::TraceParent;
use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::receiver::{CannedReply, Receiver, unused_url};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use serde_json::Value;

use crate::cli::broker::Broker;
use crate::cli::deployment::TestDeployment;
use crate::cli::state::State;
use crate::cli::{Keysweep, SECRET};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// A collector that takes spans.
struct Collector(Receiver);

impl Collector {
    async fn start() -> Self {
        Self(Receiver::start([CannedReply::status(200)]).await)
    }

    fn url(&self) -> String {
        self.0.url().split("/services").next().expect("a base").to_owned()
    }

    /// `command` with traces that go here, with a login.
    fn traced(&self, command: Keysweep) -> Keysweep {
        command.env(ENDPOINT, &self.url()).env("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-api-key={SECRET}"))
    }

    /// The spans, with the service that sent each.
    fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        for sent in self.0.sent() {
            assert_eq!(sent.uri.path(), "/v1/traces");
            assert_eq!(sent.headers["content-type"], "application/x-protobuf");
            assert_eq!(sent.headers["x-api-key"], SECRET);
            let request = ExportTraceServiceRequest::decode(sent.body).expect("protobuf of OTLP");
            for of in request.resource_spans {
                let resource =
                    of.resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
                let all = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(all.map(|span| (resource["service.name"].clone(), span)));
            }
        }
        spans
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let shown = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
        AnyValue::StringValue(text) => Some(text.clone()),
        AnyValue::IntValue(number) => Some(number.to_string()),
        AnyValue::BoolValue(flag) => Some(flag.to_string()),
        other => panic!("{}: {other:?}", pair.key),
    };
    all.iter().filter_map(|pair| Some((pair.key.clone(), shown(pair)?))).collect()
}

/// The spans are one tree with the run of `result` at its root, and say what the result says.
#[track_caller]
fn is_the_tree_of(result: &Value, spans: &[Span]) {
    let run: RunId = result["runId"].as_str().and_then(|id| id.parse().ok()).expect("a run");
    let root = TraceParent::of_run(run);
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let ids =
        |name: &'static str| -> BTreeSet<Vec<u8>> { named(name).map(|span| span.span_id.clone()).collect() };
    let all: BTreeSet<&Vec<u8>> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(all.len(), spans.len(), "an id twice");
    for span in spans {
        assert_eq!(span.trace_id, root.trace.get().to_be_bytes());
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        let parents = match span.name.as_str() {
            "run" => BTreeSet::from([Vec::new()]),
            "scan task" => ids("run"),
            "reap batch" => ids("scan task"),
            other => panic!("{other}"),
        };
        assert!(parents.contains(&span.parent_span_id), "{span:?}");
        assert!(span.status.as_ref().is_none_or(|status| status.code() == StatusCode::Unset), "{span:?}");
        let has = attributes(&span.attributes);
        assert!(has.values().all(|value| !value.contains("permissions:")), "a key is named: {has:?}");
        if span.name != "run" {
            assert_eq!(has["db.system.name"], "redis");
        }
    }
    let run: Vec<&Span> = named("run").collect();
    let [run] = run[..] else { panic!("{} roots", run.len()) };
    assert_eq!(run.span_id, root.span.get().to_be_bytes());
    let said = attributes(&run.attributes);
    assert_eq!(said["keysweep.run.cleaned_keys"], result["cleanedKeys"].to_string());
    assert_eq!(said["keysweep.run.scanned_keys"], result["scannedKeys"].to_string());
    assert_eq!(said["keysweep.run.status"], "completed");
    let sizes =
        named("reap batch").map(|batch| attributes(&batch.attributes)["db.operation.batch.size"].clone());
    let reaped: u64 = sizes.map(|size| size.parse::<u64>().expect("a count")).sum();
    assert_eq!(reaped.to_string(), result["cleanedKeys"].to_string());
    let tasks: BTreeSet<String> =
        named("scan task").map(|task| attributes(&task.attributes)["keysweep.task.id"].clone()).collect();
    assert_eq!(tasks.len(), named("scan task").count(), "each task once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_one_process_is_one_tree() {
    let cluster = ClusterServers::start(3, 0).await.expect("a cluster can be started");
    let (place, state, collector) =
        (TestDeployment::cluster(&cluster).await, State::new(), Collector::start().await);
    place.seed(5_000).await;
    let command = state.command(&["run", "--yes", "--json", "--redis", place.url()]);
    let ended = collector.traced(command).run();
    let result = ended.exits(0).result("completed");
    let (services, spans): (BTreeSet<String>, Vec<Span>) = collector.spans().into_iter().unzip();
    assert_eq!(services, BTreeSet::from(["keysweep".to_owned()]));
    is_the_tree_of(&result, &spans);
    // Nothing is sent to a collector unless its address is set.
    let (before, run) = (collector.0.sent().len(), ["run", "--yes", "--redis", place.url()]);
    state.command(&run).run().exits(0);
    collector.traced(state.command(&run)).env("OTEL_SDK_DISABLED", "true").run().exits(0);
    collector.traced(state.command(&run)).env("OTEL_TRACES_EXPORTER", "none").run().exits(0);
    assert_eq!(collector.0.sent().len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_over_nats_is_one_tree() {
    let collector = Collector::start().await;
    let (_nats, broker) = Broker::guarded().await;
    let role = |name: &str| {
        let command = broker.command(&[name], &[]).env("OTEL_SERVICE_NAME", &format!("our-{name}"));
        let mut role = collector.traced(command).start();
        role.wait_for(&format!("{name} is ready"));
        role
    };
    let workers = ["scanner", "reaper", "reporter"].map(role);
    let run = broker.command(&["run"], &["--yes", "--json"]);
    let result = collector.traced(run).run().exits(0).result("completed");
    assert_eq!(result["cleanedKeys"], broker.stale);
    for worker in workers {
        worker.signal("TERM");
        worker.end().exits(0);
    }
    let spans = collector.spans();
    for (service, span) in &spans {
        let expected = match span.name.as_str() {
            "scan task" => "our-scanner",
            "reap batch" => "our-reaper",
            _ => "our-reporter",
        };
        assert_eq!(service, expected, "{span:?}");
    }
    is_the_tree_of(&result, &spans.into_iter().map(|(_, span)| span).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_does_not_depend_on_its_collector() {
    let server = Server::start(&[]).await.expect("a Redis server can be started");
    let (place, state) = (TestDeployment::standalone(&server).await, State::new());
    let refusing = Receiver::start([CannedReply::status(400)]).await;
    let refusing = refusing.url_with_login();
    let away = unused_url().await;
    let cases = [
        (ENDPOINT, away.as_str(), "does not take spans"),
        (ENDPOINT, refusing.as_str(), "does not take spans"),
        (ENDPOINT, "no address", "no traces are sent"),
    ];
    for (name, value, warning) in cases {
        let stale = place.seed(1_000).await;
        let run = ["run", "--yes", "--json", "--redis", place.url()];
        let ended = state.command(&run).env(name, value).run();
        assert_eq!(ended.exits(0).result("completed")["cleanedKeys"], stale);
        ended.log_contains(&[warning]);
        let log = ended.to_string();
        assert_eq!(log.matches(warning).count(), 1, "{log}");
        assert!(!log.contains("T0SECRET"), "{log}");
    }
    let grpc = state.command(&["run", "--yes", "--redis", place.url()]).env(ENDPOINT, &away);
    let ended = grpc.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").run();
    ended.exits(0).log_contains(&["no traces are sent", "`grpc`", "http/protobuf"]);
}
