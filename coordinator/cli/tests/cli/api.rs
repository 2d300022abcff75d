//! A client of the HTTP API of a service.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::schemas::{api_errors, text_errors};

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.has("content-type: application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Refused with `status`, for a reason that contains `text`.
    #[track_caller]
    pub fn refused(&self, status: u16, text: &str) {
        let answer = self.json(status);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains(text), "`{text}` is not in {self:?}");
    }

    /// It must be one that the description of the API has for the request. The files of the page are not in it.
    #[track_caller]
    pub fn is_described(&self, method: &str, path: &str) {
        if path == "/" || [".js", ".css", "LICENSE"].iter().any(|end| path.ends_with(end)) {
            return;
        }
        let media_type = self.header("content-type").split(';').next().unwrap_or_default();
        let errors = match media_type {
            "application/json" => api_errors(method, path, self.status, &self.json(self.status)),
            media_type => text_errors(method, path, self.status, media_type),
        };
        assert!(errors.is_empty(), "{method} {path}: {errors}\n{self:?}");
    }

    /// The value of a header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub fn has(&self, header: &str) -> bool {
        self.head.to_ascii_lowercase().lines().any(|line| line.starts_with(header))
    }
}

/// Sends one request, such as `GET /livez`, with these headers and those of its length and connection.
pub fn exchange(
    stream: &mut (impl Read + Write),
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let length = body.len();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{request} HTTP/1.1\r\nConnection: close\r\n");
    // A server that rejects early need not read it all.
    let _ = write!(stream, "{head}{headers}Content-Length: {length}\r\n\r\n{body}");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.unwrap_or_default(), head: head.to_owned(), body: body.to_owned() }
}

/// A service with an address.
pub struct Api {
    pub address: String,
    pub token: Option<&'static str>,
}

impl Api {
    /// The response to a program, which sends its token. It must be one that the description of the API has.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = self.token.map(|token| format!("Bearer {token}"));
        let token = token.as_deref().map(|token| ("Authorization", token));
        let headers: Vec<(&str, &str)> = token.into_iter().chain([("Host", "keysweep")]).collect();
        let answer = self.send(method, path, &headers, body);
        answer.is_described(method, path);
        answer
    }

    /// A request with these headers, and those of its length and connection.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        exchange(&mut stream, &format!("{method} {path}"), headers, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &body.to_string())
    }

    pub fn with(&self, token: Option<&'static str>) -> Self {
        Self { address: self.address.clone(), token }
    }

    /// The run once it has its result.
    pub fn ended(&self, run: &Value) -> Value {
        self.ended_within(run, Duration::from_secs(60))
    }

    /// The same for a long run.
    pub fn ended_within(&self, run: &Value, limit: Duration) -> Value {
        let path = format!("/api/runs/{}", run.as_str().expect("an id"));
        let until = Instant::now() + limit;
        loop {
            let view = self.get(&path).json(200);
            if !view["result"].is_null() && !view["run"]["status"].is_null() {
                return view;
            }
            assert!(Instant::now() < until, "{view}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
