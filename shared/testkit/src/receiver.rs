//! HTTP receivers on loopback: each sends configured replies, and records requests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use keysweep_http::{RetryPolicy, WebClient, WebError};
use keysweep_tasks::supervision::TaskGroup;
use tokio::net::TcpListener;

/// Contained in every URL, and in no error.
pub const SECRET: &str = "T0SECRET";

/// Short time limits for tests.
pub fn hasty() -> WebClient {
    let patience = RetryPolicy {
        connect: Duration::from_millis(500),
        request: Duration::from_millis(500),
        tries: 3,
        pause: Duration::from_millis(20),
        pause_max: Duration::from_millis(200),
    };
    WebClient::new(patience).unwrap()
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Path and query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A status, headers, and a body.
#[derive(Clone)]
pub struct CannedReply(pub u16, pub Vec<(&'static str, String)>, pub String);

impl CannedReply {
    /// Only a status.
    pub fn status(status: u16) -> Self {
        Self(status, Vec::new(), String::new())
    }

    /// A body.
    pub fn body(body: impl Into<String>) -> Self {
        Self(200, Vec::new(), body.into())
    }
}

#[derive(Default)]
struct Shared {
    sent: Mutex<Vec<Sent>>,
    replies: Mutex<VecDeque<CannedReply>>,
}

/// A receiver. Dropping it ends it.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    _crew: TaskGroup,
}

impl Receiver {
    /// Sends `replies` one after another, and then always the last one.
    pub async fn start(replies: impl IntoIterator<Item = CannedReply>) -> Self {
        let shared =
            Arc::new(Shared { replies: Mutex::new(replies.into_iter().collect()), ..Shared::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let mut crew = TaskGroup::default();
        crew.start("receiver", async move { axum::serve(listener, router).await });
        Self { address, shared, _crew: crew }
    }

    /// Its URL with the secret path.
    pub fn url(&self) -> String {
        format!("http://{}/services/{SECRET}", self.address)
    }

    /// Its URL with credentials.
    pub fn url_with_login(&self) -> String {
        format!("http://me:{SECRET}@{}", self.address)
    }

    /// Sends this from now on.
    pub fn answer(&self, reply: CannedReply) {
        *self.shared.replies.lock().unwrap() = VecDeque::from([reply]);
    }

    /// All received requests.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap().clone()
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    shared.sent.lock().unwrap().push(Sent { uri, headers, body });
    let mut replies = shared.replies.lock().unwrap();
    let reply = if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
    let CannedReply(status, headers, body) = reply.unwrap();
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}

/// The URL of a listener that accepts connections and never replies, while it exists.
pub async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/services/{SECRET}", listener.local_addr().unwrap());
    (listener, url)
}

/// A URL without a listener.
pub async fn unused_url() -> String {
    silent().await.1
}

/// Checks that the error's texts contain `expected`, and nothing of the URL.
#[track_caller]
pub fn check(error: &WebError, expected: &str) {
    let (shown, debugged) = (error.to_string(), format!("{error:?}"));
    assert!(shown.contains(expected), "`{shown}` should contain `{expected}`");
    for text in [shown, debugged] {
        assert!(!text.contains(SECRET) && !text.contains("services"), "the address shows in `{text}`");
    }
}
