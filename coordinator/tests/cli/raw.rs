//! A request to nats-server in its own words, for what no client of ours would ask: a stream that is not ours.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::servers::NatsServer;

/// Asks `subject`; the answer, which is JSON.
pub fn request(server: &NatsServer, subject: &str, body: &Value) -> Value {
    ask(server, "", subject, body)
}

/// The same as a user with a password.
pub fn request_as(server: &NatsServer, user: &str, password: &str, subject: &str) -> Value {
    let login = format!(",\"user\":\"{user}\",\"pass\":\"{password}\"");
    ask(server, &login, subject, &Value::Null)
}

/// How long a service may take to subscribe.
const PATIENCE: Duration = Duration::from_secs(30);

fn ask(server: &NatsServer, login: &str, subject: &str, body: &Value) -> Value {
    let begin = Instant::now();
    loop {
        if let Some(answer) = try_ask(server, login, subject, body) {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "no service answers at `{subject}`");
        sleep(Duration::from_millis(50));
    }
}

/// `None` if there is no subscriber yet: a request would not be answered, and the server says so with a message that has
/// headers.
fn try_ask(server: &NatsServer, login: &str, subject: &str, body: &Value) -> Option<Value> {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().expect("a socket")), stream);
    let body = body.to_string();
    write!(
        writer,
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true{login}}}\r\nSUB _INBOX.raw 1\r\nPUB {subject} _INBOX.raw {}\r\n{body}\r\n",
        body.len()
    )
    .expect("the server reads");
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).expect("the server writes") > 0, "it hung up");
        assert!(!line.starts_with("-ERR"), "{line}");
        if line.starts_with("HMSG ") {
            return None;
        }
        if let Some(message) = line.strip_prefix("MSG ") {
            let bytes = message.trim().rsplit(' ').next().and_then(|bytes| bytes.parse().ok());
            let mut answer = vec![0; bytes.expect("a size")];
            reader.read_exact(&mut answer).expect("the whole message");
            return Some(serde_json::from_slice(&answer).expect("JSON"));
        }
    }
}
