//! Requests to the service, over HTTP and NATS, with random changes to their bytes, while the service and its workers
//! execute the valid ones: nothing panics, each request gets a response or is closed, the service keeps responding
//! within its memory limit, and no key is deleted that must stay.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fastrand::Rng;
use keysweep_redis::Reply;
use keysweep_testkit::nats_server::NatsServer;
use keysweep_testkit::soak::{Cases, hostile};
use serde_json::{Value, json};

use crate::cli::api::Api;
use crate::cli::broker::{Broker, KEYS};
use crate::cli::raw::Client;
use crate::cli::{DEBUG_KIB_MAX, Running, SECRET};

/// Requests in a test run, and in a soak; one after the other.
const CASES: u64 = 60;
const SOAK_CASES: u64 = 1_000;
const LANES: usize = 1;

/// By when a request has its response or is closed, and by when the service responds to a liveness probe.
const END: Duration = Duration::from_secs(20);
const ALIVE: Duration = Duration::from_secs(5);

/// How long an impatient client waits.
const SOON: Duration = Duration::from_millis(300);

/// How long the roles are up at most.
const ROLE_END: Duration = Duration::from_secs(3_600);

/// The memory limit of the service.
const PEAK_KIB_MAX: u64 = DEBUG_KIB_MAX;

/// A service with workers.
struct ServiceUnderTest {
    nats: NatsServer,
    broker: Broker,
    address: String,
    process: Running,
    workers: Vec<Running>,
    /// A run that has ended.
    run: String,
    answers: Mutex<BTreeMap<String, u64>>,
}

impl ServiceUnderTest {
    async fn start() -> Self {
        let (nats, broker) = Broker::guarded().await;
        let (process, Api { address, .. }) = broker.service(&[]);
        let workers = broker.workers();
        let mut service =
            Self { nats, broker, address, process, workers, run: String::new(), answers: Mutex::default() };
        let answer = service.http(&request("POST", "/api/runs", "{}"), true).expect("it answers");
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        let started: Value = serde_json::from_str(body).expect("JSON");
        started["runId"].as_str().expect("an id").clone_into(&mut service.run);
        service
    }

    /// The response to these bytes; `None` if there is none. The client disconnects after a moment without data,
    /// unless it is `patient`: incomplete requests are left to the service then.
    fn http(&self, bytes: &[u8], patient: bool) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(if patient { END } else { SOON })).expect("a timeout");
        // A server that has refused need not read it all.
        let _ = stream.write_all(bytes);
        let (begun, mut answer) = (Instant::now(), Vec::new());
        let mut read = stream.read_to_end(&mut answer);
        if read.is_err() && !patient {
            stream.set_read_timeout(Some(END)).expect("a timeout");
            let _ = stream.shutdown(Shutdown::Write);
            read = stream.read_to_end(&mut answer);
        }
        assert!(begun.elapsed() < END, "no end after {:?}: {read:?}", begun.elapsed());
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (!answer.is_empty()).then_some(answer)
    }

    /// Real requests: whole ones over HTTP, and the bodies of those over NATS with their endpoints.
    fn real(&self) -> (Vec<Vec<u8>>, [(&'static str, String); 3]) {
        let start = json!({
            "job": "permission-cache-cleanup", "scanBatchSize": 50, "dryRun": true, "startedBy": "a test",
            "latencyBudget": "1ms", "rateLimit": 1_000_000, "inactivityThresholdDays": 30,
        })
        .to_string();
        let cancel = json!({ "runId": self.run, "cause": "enough" }).to_string();
        let stats = json!({ "redis": "main" }).to_string();
        let of_run = format!("/api/runs/{}", self.run);
        let http = vec![
            request("POST", "/api/runs", &start),
            request("POST", "/api/runs", "{}"),
            request("POST", &format!("{of_run}/cancel"), "{\"cause\":\"enough\"}"),
            request("GET", &of_run, ""),
            request("GET", "/api/runs?limit=3&job=permission-cache-cleanup", ""),
            request("GET", "/api/stats?redis=main", ""),
        ];
        (http, [("run", start), ("cancel", cancel), ("stats", stats)])
    }

    fn case(&self, seed: u64) {
        let (http, bodies) = self.real();
        let mut rng = Rng::with_seed(seed);
        let answered = if rng.bool() {
            let answer = self
                .http(&hostile::tampered(http, seed), rng.u8(0..50) == 0)
                .unwrap_or_else(|| "nothing".to_owned());
            answer.split(' ').nth(1).unwrap_or("nothing").to_owned()
        } else {
            let (endpoint, body) = rng.choice(bodies.iter()).expect("one of them");
            let body = match rng.bool() {
                true => hostile::tampered(vec![body.clone().into_bytes()], seed),
                false => other_values(body, &mut rng),
            };
            let mut client = Client::connect(&self.nats, None);
            let subject = format!("keysweep.api.{endpoint}");
            // Its own client sends text.
            let answer = client.request(&subject, "", &String::from_utf8_lossy(&body));
            let code = answer.headers.lines().find_map(|line| line.strip_prefix("Nats-Service-Error-Code:"));
            format!("NATS {}", code.unwrap_or("200").trim())
        };
        // 500 is for errors that the request did not cause.
        assert!(!answered.ends_with("500"), "{answered}");
        *self.answers.lock().unwrap().entry(answered).or_default() += 1;
        let begun = Instant::now();
        let alive = self.http(b"GET /livez HTTP/1.1\r\nHost: keysweep\r\nConnection: close\r\n\r\n", true);
        assert!(alive.is_some_and(|alive| alive.contains("200 OK")) && begun.elapsed() < ALIVE, "{begun:?}");
    }

    /// Names in requests become parts of NATS subjects, and are repeated in the error, which is sent in a header.
    fn refuses_names_that_are_none(&self) {
        for (field, odd, code) in [
            ("job", "a\r\nNats-Other: b\u{1b}[2J", "404"),
            ("redis", "a\r\nPUB x 0\r\n\r\n", "400"),
            ("redis", "a b", "400"),
            ("redis", "*", "400"),
            ("redis", "", "400"),
        ] {
            let body = json!({ field: odd }).to_string();
            let answer = Client::connect(&self.nats, None).request("keysweep.api.stats", "", &body);
            assert!(answer.headers.contains(&format!("Nats-Service-Error-Code: {code}")), "{answer:?}");
            assert!(!answer.headers.lines().any(|line| line.starts_with("Nats-Other")), "{answer:?}");
        }
    }

    /// Keys that must stay, and exist.
    async fn healthy(&self) -> usize {
        let mut there = BTreeSet::new();
        for conn in self.broker.place.conns() {
            let Ok(Reply::Array(keys)) = conn.info_text("KEYS permissions:*").await else { panic!("a list") };
            there.extend(keys.into_iter().map(|key| format!("{key:?}")));
        }
        let stale = |key: &String| key.contains("0:documents");
        there.iter().filter(|key| !stale(key)).count()
    }
}

/// A body in which one or two fields have other values.
fn other_values(body: &str, rng: &mut Rng) -> Vec<u8> {
    let mut fields: Value = serde_json::from_str(body).expect("JSON");
    let values = [
        json!(null),
        json!(true),
        json!(""),
        json!(-1),
        json!(0),
        json!(1),
        json!(u64::MAX),
        json!(1e300),
        json!([]),
        json!({}),
        json!("1ms"),
        json!("0s"),
        json!("x".repeat(600)),
        json!("\u{1b}[2J\n\u{202e}"),
        json!("main"),
    ];
    for _ in 0..rng.u8(1..3) {
        let fields = fields.as_object_mut().expect("an object");
        let name = rng.choice(fields.keys()).expect("it has some").clone();
        fields.insert(name, rng.choice(values.iter()).expect("one of them").clone());
    }
    fields.to_string().into_bytes()
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: keysweep\r\nAuthorization: Bearer {SECRET}\r\n");
    format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn soak(first_seed: u64, count: u64) {
    let service = ServiceUnderTest::start().await;
    service.refuses_names_that_are_none();
    let cases = Cases::new("hostile requests", first_seed, count, LANES);
    Box::pin(cases.run(async |_, seed| {
        tokio::task::block_in_place(|| service.case(seed));
    }))
    .await;
    let healthy = service.healthy().await;
    assert_eq!(healthy as u64, KEYS - service.broker.stale, "keys that are to stay");
    let peak = service.process.peak_kib();
    println!("hostile requests: {:?}; the service had {peak} KiB at most", service.answers.lock().unwrap());
    assert!((1..PEAK_KIB_MAX).contains(&peak), "{peak} KiB");
    for mut role in service.workers.into_iter().chain([service.process]) {
        assert!(!role.has_ended(), "{}", role.so_far());
        role.signal("TERM");
        role.end_within(ROLE_END).exits(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_hostile_bytes() {
    Box::pin(soak(1, CASES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; cargo xtask soak runs it"]
async fn soak_hostile_requests() {
    Box::pin(soak(200_000, SOAK_CASES)).await;
}
