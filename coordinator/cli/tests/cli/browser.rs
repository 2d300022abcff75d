//! What a browser sends for the page of a service, and what it receives as server-sent events.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{Answer, Api};
use super::schemas::live_errors;

/// How long a test waits for an event.
const EVENT_WAIT: Duration = Duration::from_secs(60);

/// A browser at a service.
pub struct Browser {
    api: Api,
    cookie: String,
}

impl Browser {
    /// Without a session.
    pub fn at(api: &Api) -> Self {
        Self { api: api.with(None), cookie: String::new() }
    }

    /// Logged in.
    #[track_caller]
    pub fn logged_in(api: &Api, token: &str) -> Self {
        let mut browser = Self::at(api);
        let answer = browser.log_in(token);
        assert_eq!(answer.status, 200, "{answer:?}");
        browser
    }

    /// Logs in, and keeps the cookie that it gets.
    pub fn log_in(&mut self, token: &str) -> Answer {
        let answer = self.post("/login", &json!({ "token": token }));
        self.cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        answer
    }

    pub fn get(&self, path: &str) -> Answer {
        let headers = [("Host", self.api.address.as_str()), ("Cookie", &self.cookie)];
        let answer = self.api.send("GET", path, &headers, "");
        answer.is_described("GET", path);
        answer
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let origin = format!("http://{}", self.api.address);
        let own = [
            ("Content-Type", "application/json"),
            ("X-Keysweep", "page"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Origin", &origin),
        ];
        self.post_with(path, &own, body)
    }

    /// The same with other headers than the page sends.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let host = ("Host", self.api.address.as_str());
        // The first one counts.
        let host = (!headers.iter().any(|(name, _)| *name == "Host")).then_some(host);
        let cookie = ("Cookie", self.cookie.as_str());
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain(host).chain([cookie]).collect();
        let answer = self.api.send("POST", path, &headers, &body.to_string());
        answer.is_described("POST", path);
        answer
    }

    /// The cookie of its session, as it sends it.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// A GET with other headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: Vec<(&str, &str)> =
            headers.iter().copied().chain([("Cookie", self.cookie.as_str())]).collect();
        self.api.send("GET", path, &headers, "")
    }

    /// Watches the page.
    pub fn events(&self) -> EventStream {
        self.events_after(None)
    }

    /// The same after the connection was lost.
    pub fn events_after(&self, last: Option<u64>) -> EventStream {
        let stream = self.watch_after(last);
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).expect("a head") > 0 {}
        EventStream { head, lines, page: Value::Null }
    }

    /// The same as bytes.
    pub fn watch(&self) -> TcpStream {
        self.watch_after(None)
    }

    /// The same; a browser that connects again sends the id of the last event that it has got.
    fn watch_after(&self, last: Option<u64>) -> TcpStream {
        let mut stream = TcpStream::connect(&self.api.address).expect("it listens");
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        // Without the chunks of HTTP/1.1.
        let head = format!(
            "GET /api/live HTTP/1.0\r\nHost: {}\r\nCookie: {}\r\n{last}\r\n",
            self.api.address, self.cookie
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        stream
    }
}

/// Events as they arrive.
pub struct EventStream {
    pub head: String,
    lines: BufReader<TcpStream>,
    /// The page by the events so far.
    page: Value,
}

impl EventStream {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// Waits for a comment.
    pub fn comment(&mut self) {
        let mut line = String::new();
        while !line.starts_with(':') {
            line.clear();
            assert!(self.lines.read_line(&mut line).expect("a line in time") > 0, "the events ended");
        }
    }

    /// The id of the next event, and the page after it; `None` at the end.
    pub fn next(&mut self) -> Option<(u64, Value)> {
        self.next_before(None)
    }

    /// The same; panics at the first comment after `last`.
    fn next_before(&mut self, last: Option<Instant>) -> Option<(u64, Value)> {
        let (mut id, mut event, mut data) = (None, String::new(), None::<Value>);
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("a line in time") == 0 {
                return None;
            }
            assert!(last.is_none_or(|last| Instant::now() < last), "no such event: {:#}", self.page);
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => id = text.parse().ok(),
                Some(("data", text)) => data = serde_json::from_str(text).ok(),
                Some(("event", name)) => name.clone_into(&mut event),
                _ if line == "\n" && data.is_some() => {
                    // The whole page comes first, and then only what has changed.
                    assert_eq!(event == "snapshot", self.page.is_null(), "{event}");
                    let sent = json!({ "event": event, "data": data });
                    assert_eq!(live_errors(&sent), "", "{sent:#}");
                    self.take(data?);
                    return Some((id.expect("an id"), self.page.clone()));
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, data: Value) {
        match (&mut self.page, data) {
            (Value::Object(page), Value::Object(changed)) => page.extend(changed),
            (page, data) => *page = data,
        }
    }

    /// The page after the next event that fulfils `condition`.
    #[track_caller]
    pub fn until(&mut self, condition: impl Fn(&Value) -> bool) -> Value {
        let (mut last, limit) = (Value::Null, Instant::now() + EVENT_WAIT);
        while let Some((_, data)) = self.next_before(Some(limit)) {
            if condition(&data) {
                return data;
            }
            last = data;
        }
        panic!("the events ended with {last:#}")
    }
}
