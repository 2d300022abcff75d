//! A proxy in front of a real Redis server that replaces some replies by excessive ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Elements of a long array.
const ELEMENTS: usize = 1_000_000;

/// How long the proxy sends an endless reply, one byte per second: longer than any client waits.
const DRIPPING: usize = 60;

/// An excessive reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFault {
    /// A text of 2^31 bytes that is announced, and never sent.
    ClaimedText,
    /// An array of 2^31 elements that is announced, and never sent.
    ClaimedArray,
    /// Nested arrays, 10^4 levels.
    Nested,
    /// An array of 10^6 numbers.
    Numbers,
    /// An array of 10^6 texts.
    Texts,
    /// An endless text, announced with 512 MiB, the maximum of a server.
    EndlessText,
    /// An endless line.
    EndlessLine,
    /// An endless array.
    EndlessArray,
    /// One byte per second.
    Dripping,
}

impl ReplyFault {
    pub const ALL: [Self; 9] = [
        Self::ClaimedText,
        Self::ClaimedArray,
        Self::Nested,
        Self::Numbers,
        Self::Texts,
        Self::EndlessText,
        Self::EndlessLine,
        Self::EndlessArray,
        Self::Dripping,
    ];

    /// Those that are sent as fast as they are read.
    pub const AT_ONCE: [Self; 6] =
        [Self::Nested, Self::Numbers, Self::Texts, Self::EndlessText, Self::EndlessLine, Self::EndlessArray];

    /// Whether the client waits for the end of a reply that does not arrive.
    pub fn takes_long(self) -> bool {
        !Self::AT_ONCE.contains(&self)
    }

    /// Sends it until the client closes the connection.
    fn send(self, out: &mut TcpStream) -> Option<()> {
        let repeated = |unit: &[u8]| unit.repeat((64 << 10) / unit.len());
        let (head, body, times) = match self {
            Self::ClaimedText => (&b"$2147483648\r\n"[..], b"x".to_vec(), 1),
            Self::ClaimedArray => (&b"*2147483648\r\n"[..], b":1\r\n".to_vec(), 1),
            Self::Nested => (&b""[..], b"*1\r\n".repeat(10_000), 1),
            Self::Numbers => (&b"*1000000\r\n"[..], b":1\r\n".repeat(ELEMENTS), 1),
            Self::Texts => (&b"*1000000\r\n"[..], b"$1\r\nx\r\n".repeat(ELEMENTS), 1),
            Self::EndlessText => (&b"$536870912\r\n"[..], repeated(b"x"), usize::MAX),
            Self::EndlessLine => (&b"+"[..], repeated(b"x"), usize::MAX),
            Self::EndlessArray => (&b"*100000000\r\n"[..], repeated(b"$1\r\nx\r\n"), usize::MAX),
            Self::Dripping => {
                out.write_all(b"$100\r\n").ok()?;
                for _ in 0..DRIPPING {
                    out.write_all(b"x").ok()?;
                    thread::sleep(Duration::from_secs(1));
                }
                return None;
            }
        };
        out.write_all(head).ok()?;
        for _ in 0..times {
            out.write_all(&body).ok()?;
        }
        Some(())
    }
}

/// The names of connections that list keys, and of those that delete them.
pub const LISTS: &str = "keysweep-lists";
pub const ACTS: &str = "keysweep-acts";

/// Selects the commands with replaced replies.
#[derive(Clone, Copy, Debug, Default)]
pub struct On {
    /// The first words of the command; any if empty.
    pub command: &'static str,
    /// The name of the connection; any if empty.
    pub connection: &'static str,
    /// Only after such a command was seen.
    pub after: &'static str,
    /// Such commands are then rejected, as by older servers.
    pub refused: &'static str,
}

impl On {
    pub const fn any(command: &'static str) -> Self {
        Self { command, connection: "", after: "", refused: "" }
    }

    /// Commands on connections that list keys.
    pub const fn listing(command: &'static str) -> Self {
        Self { connection: LISTS, ..Self::any(command) }
    }

    /// Commands on connections that delete.
    pub const fn acting(command: &'static str) -> Self {
        Self { connection: ACTS, ..Self::any(command) }
    }

    /// Commands at the end of a plan, when it measures the keys to delete.
    pub const fn after_the_plan(self) -> Self {
        Self { after: "MEMORY USAGE", ..self }
    }
}

/// Whether a command starts with these words; always if there are none.
fn begins(words: &[String], with: &str) -> bool {
    with.split_whitespace().zip(words).all(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// A proxy with replaced replies.
pub struct Proxy {
    /// `host:port`.
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// The port of the real server.
    behind: u16,
    rule: Mutex<Rule>,
    given: AtomicUsize,
}

/// The current rule.
struct Rule {
    on: On,
    /// Whether the command to wait for was seen.
    armed: bool,
    /// The replies, used in turn.
    odd: Vec<ReplyFault>,
    next: usize,
}

impl Rule {
    fn new(on: On, odd: &[ReplyFault]) -> Self {
        Self { on, armed: on.after.is_empty(), odd: odd.to_vec(), next: 0 }
    }

    fn answer(&mut self, connection: &str, words: &[String]) -> Option<Answer> {
        let On { command, connection: wanted, after, refused } = self.on;
        if !self.armed {
            self.armed = begins(words, after);
            return None;
        }
        if !refused.is_empty() && begins(words, refused) {
            return Some(Answer::Refused);
        }
        let is_odd = begins(words, command) && (wanted.is_empty() || wanted == connection);
        if !is_odd || self.odd.is_empty() {
            return None;
        }
        self.next += 1;
        Some(Answer::ReplyFault(self.odd[(self.next - 1) % self.odd.len()]))
    }
}

/// What the proxy does with a command.
enum Answer {
    Refused,
    ReplyFault(ReplyFault),
}

impl Proxy {
    /// A proxy for the real server at `port` that replies with `odd`, in turn, to the commands in `on`.
    pub fn new(on: On, odd: &[ReplyFault], port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let rule = Mutex::new(Rule::new(on, odd));
        let shared = Arc::new(Shared { behind: port, rule, given: AtomicUsize::new(0) });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// Replaces the rule.
    pub fn turn_to(&self, on: On, odd: &[ReplyFault]) {
        *self.shared.rule.lock().unwrap() = Rule::new(on, odd);
    }

    /// The number of replaced replies.
    pub fn given(&self) -> usize {
        self.shared.given.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let behind = TcpStream::connect(("127.0.0.1", self.behind)).ok()?;
        for socket in [&stream, &behind] {
            socket.set_nodelay(true).ok()?;
        }
        let (mut out, mut there) = (stream.try_clone().ok()?, behind.try_clone().ok()?);
        let (mut requests, mut replies) = (BufReader::new(stream), BufReader::new(behind));
        let mut name = String::new();
        loop {
            let mut bytes = Vec::new();
            let words = request(&mut requests, &mut bytes)?;
            words.first()?;
            if let [first, second, its, ..] = words.as_slice()
                && (first.as_str(), second.as_str()) == ("CLIENT", "SETNAME")
            {
                name.clone_from(its);
            }
            let answer = self.rule.lock().unwrap().answer(&name, &words);
            match answer {
                None => {}
                Some(Answer::Refused) => {
                    out.write_all(b"-ERR unknown command\r\n").ok()?;
                    continue;
                }
                Some(Answer::ReplyFault(odd)) => {
                    self.given.fetch_add(1, Ordering::Relaxed);
                    if words[0] == "SCAN" {
                        // So that the reply is parsed as keys.
                        out.write_all(b"*2\r\n$1\r\n0\r\n").ok()?;
                    }
                    odd.send(&mut out)?;
                    continue;
                }
            }
            there.write_all(&bytes).ok()?;
            bytes.clear();
            relay(&mut replies, &mut bytes)?;
            out.write_all(&bytes).ok()?;
        }
    }
}

/// Reads a line into `bytes`; returns the number after its first byte, if there is one.
fn line(from: &mut impl BufRead, bytes: &mut Vec<u8>) -> Option<(u8, i64)> {
    let begin = bytes.len();
    from.read_until(b'\n', bytes).ok().filter(|read| *read > 0)?;
    let line = &bytes[begin..];
    let number = str::from_utf8(line.get(1..)?).ok().and_then(|text| text.trim().parse().ok());
    Some((line[0], number.unwrap_or_default()))
}

fn exactly(from: &mut impl Read, bytes: &mut Vec<u8>, length: i64) -> Option<()> {
    let begin = bytes.len();
    bytes.resize(begin + usize::try_from(length).ok()?, 0);
    from.read_exact(&mut bytes[begin..]).ok()
}

fn request(from: &mut impl BufRead, bytes: &mut Vec<u8>) -> Option<Vec<String>> {
    let (_, count) = line(from, bytes)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (_, length) = line(from, bytes)?;
        let begin = bytes.len();
        exactly(from, bytes, length + 2)?;
        words.push(String::from_utf8_lossy(&bytes[begin..bytes.len() - 2]).into_owned());
    }
    Some(words)
}

/// Forwards one reply.
fn relay(from: &mut impl BufRead, bytes: &mut Vec<u8>) -> Option<()> {
    match line(from, bytes)? {
        (b'$', length @ 0..) => exactly(from, bytes, length + 2),
        (b'*', count @ 1..) => (0..count).try_for_each(|_| relay(from, bytes)),
        _ => Some(()),
    }
}
