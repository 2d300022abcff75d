//! Raw requests to nats-server, for requests that keysweep's clients never send: to a foreign stream.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use keysweep_testkit::nats_server::NatsServer;
use serde_json::Value;

/// Sends a request to `subject`; returns the reply, which is JSON.
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

/// `None` if there is no subscriber yet: then the server replies with a message that has headers.
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

/// A client that can send anything, like an attacker.
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    subscriptions: u32,
    /// Messages between a PING and its PONG.
    heard: Vec<Heard>,
}

/// A received message.
#[derive(Clone, Debug)]
pub struct Heard {
    pub subject: String,
    pub reply: Option<String>,
    /// The headers, empty if there are none.
    pub headers: String,
    pub payload: Vec<u8>,
}

impl Client {
    /// Connects as a user, or without credentials.
    pub fn connect(server: &NatsServer, login: Option<(&str, &str)>) -> Self {
        let writer = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
        writer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let reader = BufReader::new(writer.try_clone().expect("a socket"));
        let login =
            login.map_or(String::new(), |(user, pass)| format!(",\"user\":\"{user}\",\"pass\":\"{pass}\""));
        let mut client = Self { reader, writer, subscriptions: 0, heard: Vec::new() };
        client.say(&format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true{login}}}\r\n"
        ));
        client.settle();
        client
    }

    fn say(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).expect("the server reads");
    }

    pub fn subscribe(&mut self, subject: &str) {
        self.subscriptions += 1;
        self.say(&format!("SUB {subject} {}\r\n", self.subscriptions));
    }

    /// `headers` are lines as on the wire, without the end of the last one.
    pub fn publish(&mut self, subject: &str, reply: &str, headers: &str, body: &str) {
        self.publish_bytes(subject, reply, headers, body.as_bytes());
    }

    /// The same with a binary body.
    pub fn publish_bytes(&mut self, subject: &str, reply: &str, headers: &str, body: &[u8]) {
        if headers.is_empty() {
            self.say(&format!("PUB {subject} {reply} {}\r\n", body.len()));
        } else {
            let head = format!("NATS/1.0\r\n{headers}\r\n\r\n");
            let (length, all) = (head.len(), head.len() + body.len());
            self.say(&format!("HPUB {subject} {reply} {length} {all}\r\n{head}"));
        }
        self.writer.write_all(&[body, b"\r\n"].concat()).expect("the server reads");
    }

    /// Waits until the server has processed all input; returns the messages since the last call.
    pub fn settle(&mut self) -> Vec<Heard> {
        self.say("PING\r\n");
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).expect("the server writes") > 0, "it hung up");
            let mut words = line.trim_end().split(' ');
            match words.next() {
                Some("PONG") => return std::mem::take(&mut self.heard),
                Some("PING") => self.say("PONG\r\n"),
                Some(kind @ ("MSG" | "HMSG")) => {
                    let words: Vec<&str> = words.collect();
                    let heard = self.message(kind == "HMSG", &words);
                    self.heard.push(heard);
                }
                // Rejections are recognized by missing effects.
                _ => {}
            }
        }
    }

    fn message(&mut self, with_headers: bool, words: &[&str]) -> Heard {
        let sizes = if with_headers { 2 } else { 1 };
        let (fixed, numbers) = words.split_at(words.len() - sizes);
        let numbers: Vec<usize> = numbers.iter().map(|word| word.parse().expect("a size")).collect();
        let mut bytes = vec![0; *numbers.last().expect("a size") + 2];
        self.reader.read_exact(&mut bytes).expect("the whole message");
        bytes.truncate(bytes.len() - 2);
        let payload = bytes.split_off(if with_headers { numbers[0] } else { 0 });
        Heard {
            subject: fixed[0].to_owned(),
            reply: fixed.get(2).map(|reply| (*reply).to_owned()),
            headers: String::from_utf8_lossy(&bytes).into_owned(),
            payload,
        }
    }

    /// Sends a request, and waits for the first reply.
    pub fn request(&mut self, subject: &str, headers: &str, body: &str) -> Heard {
        let inbox = format!("_INBOX.raw.{}", fastrand::u64(..));
        self.subscribe(&inbox);
        self.publish(subject, &inbox, headers, body);
        let begin = Instant::now();
        loop {
            if let Some(answer) = self.settle().into_iter().find(|heard| heard.subject == inbox) {
                return answer;
            }
            assert!(begin.elapsed() < PATIENCE, "no reply at `{subject}`");
            sleep(Duration::from_millis(5));
        }
    }
}
