//! A faulty proxy for a real Redis: it forwards commands and replies, except for those that a seeded script replaces:
//! late, never, in pieces, twice, by an error, by another value, or by an excessive one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::hostile;

/// Bytes of an endless reply.
const FLOOD_BYTES: usize = 80 << 20;

/// The longest delay, and the pause between single bytes.
const DELAY_MS_MAX: u64 = 3_000;
const DRIP: Duration = Duration::from_millis(1);

/// Errors of every kind; `{self}` is replaced by the server's address.
const ERRORS: [&str; 25] = [
    "ERR odd",
    "ERR unknown command 'EVALSHA'",
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "NOSCRIPT No matching script.",
    "BUSY Redis is busy running a script.",
    "MASTERDOWN Link with MASTER is down",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair",
    "NOPERM this user has no permissions",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Redis is configured to save RDB snapshots",
    "NOREPLICAS Not enough good replicas to write.",
    "EXECABORT Transaction discarded",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "MOVED 1 {self}",
    "MOVED 1 127.0.0.1:1",
    "MOVED 99999 :0",
    "ASK 1 {self}",
    "ASK 1 127.0.0.1:1",
    "",
    "\u{1b}[2J\u{202e} odd \u{9b}",
];

/// False values.
const LIES: [&str; 14] = [
    "$-1\r\n",
    "*-1\r\n",
    "*0\r\n",
    "$0\r\n\r\n",
    ":0\r\n",
    ":-1\r\n",
    ":-9223372036854775808\r\n",
    ":9223372036854775807\r\n",
    "$20\r\n99999999999999999999\r\n",
    "+OK\r\n",
    "$3\r\nodd\r\n",
    "*1\r\n:1\r\n",
    "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nodd\r\n",
    "*2\r\n$20\r\n18446744073709551615\r\n*0\r\n",
];

/// Commands whose replies decide what is deleted and how. A server that lies there can do anything with its keys: only
/// other commands get false values.
const NO_LIES: [&str; 12] = [
    "EVAL",
    "EVALSHA",
    "EVAL_RO",
    "EVALSHA_RO",
    "SCRIPT",
    "COMMAND",
    "ACL",
    "MULTI",
    "EXEC",
    "WATCH",
    "SET",
    "UNLINK",
];

/// A fault of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyFault {
    /// An error, and the command is not executed.
    Error(usize),
    /// The connection ends before the command, or after it.
    Cut {
        executed: bool,
    },
    /// A part of the reply, and the connection ends.
    Truncated,
    /// Random bytes, and the connection ends.
    Garbage,
    Late,
    /// No more data.
    Silent,
    /// Byte by byte.
    Drip,
    /// Endless elements, bytes, or nesting.
    Flood(u8),
    /// A false value.
    Lie(usize),
    /// The reply with changed bytes.
    Tampered,
    /// The reply twice.
    Twice,
    /// The first reply to the same command.
    Stale,
}

/// One rule of a script.
#[derive(Clone, Debug)]
struct Rule {
    command: String,
    from: u64,
    times: u64,
    odd: ReplyFault,
}

/// The script, and its effects.
#[derive(Default)]
struct ProxyState {
    rules: Vec<Rule>,
    seed: u64,
    /// How often each command was sent.
    counts: BTreeMap<String, u64>,
    first: BTreeMap<String, Vec<u8>>,
    reported: Vec<String>,
}

/// A faulty proxy. All servers of a deployment share one.
#[derive(Clone, Default)]
pub struct FaultyProxy(Arc<Mutex<ProxyState>>);

/// Whether a script contains false values; otherwise all its faults are possible with an honest server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Faults,
    Lies,
}

impl FaultyProxy {
    /// Removes the script.
    pub fn honest(&self) {
        *self.0.lock().unwrap() = ProxyState::default();
    }

    /// A script for commands that are sent as often as in `usual`.
    pub fn script(&self, usual: &BTreeMap<String, u64>, seed: u64) -> Sort {
        let mut rng = Rng::with_seed(seed);
        let sort = if rng.bool() { Sort::Lies } else { Sort::Faults };
        let usual: Vec<(&String, &u64)> = usual
            .iter()
            .filter(|(name, _)| sort == Sort::Faults || !NO_LIES.contains(&name.as_str()))
            .collect();
        let rules = (0..rng.u8(1..=3)).map(|_| rule(sort, &usual, &mut rng)).collect();
        *self.0.lock().unwrap() = ProxyState { rules, seed, ..ProxyState::default() };
        sort
    }

    /// How often each command was sent since the script began.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().counts.clone()
    }

    /// The script, and the replaced replies.
    pub fn reported(&self) -> String {
        let state = self.0.lock().unwrap();
        format!("{:?}; {:?}", state.rules, state.reported)
    }

    /// `host:port` of a faulty proxy for `127.0.0.1:port`.
    pub fn before(&self, port: u16) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (odd, here) = (self.clone(), address.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (odd, here) = (odd.clone(), here.clone());
                thread::spawn(move || odd.serve(client, port, &here));
            }
        });
        address
    }

    fn serve(&self, client: TcpStream, port: u16, here: &str) -> Option<()> {
        let server = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let ends = [client.try_clone().ok()?, server.try_clone().ok()?];
        let mut to_client = client.try_clone().ok()?;
        let (mut from_client, mut to_server) = (BufReader::new(client), server.try_clone().ok()?);
        let mut from_server = BufReader::new(server);
        let mut go_on = || -> Option<()> {
            loop {
                let (raw, name) = request(&mut from_client)?;
                let odd = self.next(&name);
                match odd {
                    Some(ReplyFault::Error(which)) => {
                        let error = ERRORS[which].replace("{self}", here);
                        to_client.write_all(format!("-{error}\r\n").as_bytes()).ok()?;
                        continue;
                    }
                    Some(ReplyFault::Cut { executed: false }) => return None,
                    _ => {}
                }
                to_server.write_all(&raw).ok()?;
                let mut reply = Vec::new();
                read_reply(&mut from_server, &mut reply)?;
                self.0.lock().unwrap().first.entry(name.clone()).or_insert_with(|| reply.clone());
                match odd {
                    None => to_client.write_all(&reply).ok()?,
                    Some(odd) => self.answer(odd, &name, &reply, (&mut to_client, &mut from_client))?,
                }
            }
        };
        go_on();
        for end in ends {
            let _ = end.shutdown(Shutdown::Both);
        }
        None
    }

    /// The fault for this command, if any.
    fn next(&self, name: &str) -> Option<ReplyFault> {
        let mut state = self.0.lock().unwrap();
        let count = state.counts.entry(name.to_owned()).or_default();
        *count += 1;
        let now = *count;
        let rule = state
            .rules
            .iter()
            .find(|rule| rule.command == name && now >= rule.from && now - rule.from < rule.times)?;
        let (odd, reported) = (rule.odd, format!("{name} {now}: {:?}", rule.odd));
        if state.reported.len() < 20 {
            state.reported.push(reported);
        }
        Some(odd)
    }

    /// `None` if the connection ends.
    fn answer(
        &self,
        odd: ReplyFault,
        name: &str,
        reply: &[u8],
        (client, from_client): (&mut TcpStream, &mut BufReader<TcpStream>),
    ) -> Option<()> {
        let mut rng = Rng::with_seed(self.0.lock().unwrap().seed);
        match odd {
            ReplyFault::Error(_) | ReplyFault::Cut { .. } => None,
            ReplyFault::Truncated => client.write_all(&reply[..rng.usize(..reply.len())]).ok().and(None),
            ReplyFault::Garbage => {
                let garbage: Vec<u8> = (0..rng.usize(1..3_000)).map(|_| rng.u8(..)).collect();
                client.write_all(&garbage).ok().and(None)
            }
            ReplyFault::Late => {
                thread::sleep(Duration::from_millis(rng.u64(1..DELAY_MS_MAX)));
                client.write_all(reply).ok()
            }
            ReplyFault::Silent => from_client.read_to_end(&mut Vec::new()).ok().and(None),
            ReplyFault::Drip => {
                for byte in reply {
                    client.write_all(&[*byte]).ok()?;
                    thread::sleep(DRIP);
                }
                Some(())
            }
            ReplyFault::Flood(sort) => flood(client, sort),
            ReplyFault::Lie(which) => client.write_all(LIES[which].as_bytes()).ok(),
            ReplyFault::Tampered => {
                client.write_all(&hostile::tampered(vec![reply.to_vec()], rng.u64(..))).ok()
            }
            ReplyFault::Twice => client.write_all(&[reply, reply].concat()).ok(),
            ReplyFault::Stale => {
                let first = self.0.lock().unwrap().first.get(name).cloned().unwrap_or_default();
                client.write_all(&first).ok()
            }
        }
    }
}

fn rule(sort: Sort, usual: &[(&String, &u64)], rng: &mut Rng) -> Rule {
    let (command, count) = rng.choice(usual).expect("commands are sent");
    let odd = match (sort, rng.u8(0..10)) {
        (Sort::Lies, 0..=4) => ReplyFault::Lie(rng.usize(..LIES.len())),
        (Sort::Lies, 5..=7) => ReplyFault::Tampered,
        (Sort::Lies, 8) => ReplyFault::Twice,
        (Sort::Lies, _) => ReplyFault::Stale,
        (Sort::Faults, 0..=3) => ReplyFault::Error(rng.usize(..ERRORS.len())),
        (Sort::Faults, 4) => ReplyFault::Cut { executed: rng.bool() },
        (Sort::Faults, 5) => ReplyFault::Truncated,
        (Sort::Faults, 6) => ReplyFault::Garbage,
        (Sort::Faults, 7) => ReplyFault::Late,
        (Sort::Faults, 8) => *rng.choice([ReplyFault::Silent, ReplyFault::Drip].iter()).expect("one of them"),
        (Sort::Faults, _) => ReplyFault::Flood(rng.u8(0..4)),
    };
    let times = match rng.u8(0..10) {
        0..=5 => 1,
        6..=8 => rng.u64(2..20),
        _ => u64::MAX,
    };
    Rule { command: (*command).clone(), from: rng.u64(1..=**count), times, odd }
}

/// An endless reply, until the client or the limit ends it.
fn flood(client: &mut TcpStream, sort: u8) -> Option<()> {
    let (head, again): (&[u8], &[u8]) = match sort {
        0 => (b"*2147483647\r\n", b":1\r\n"),
        1 => (b"$2147483647\r\n", b"x"),
        2 => (b"", b"*1\r\n"),
        _ => (b"+", b"x"),
    };
    client.write_all(head).ok()?;
    let piece = again.repeat(60_000 / again.len());
    for _ in 0..FLOOD_BYTES / piece.len() {
        client.write_all(&piece).ok()?;
    }
    None
}

fn line(from: &mut impl BufRead, into: &mut Vec<u8>) -> Option<i64> {
    let begin = into.len();
    from.read_until(b'\n', into).ok().filter(|read| *read > 0)?;
    let digits = std::str::from_utf8(into.get(begin + 1..)?).ok()?;
    Some(digits.trim().parse().unwrap_or(-1))
}

/// A request as received, and the name of its command.
fn request(from: &mut impl BufRead) -> Option<(Vec<u8>, String)> {
    let (mut raw, mut name) = (Vec::new(), String::new());
    for n in 0..line(from, &mut raw)? {
        let length = usize::try_from(line(from, &mut raw)?).ok()?;
        let begin = raw.len();
        raw.resize(begin + length + 2, 0);
        from.read_exact(&mut raw[begin..]).ok()?;
        if n == 0 {
            name = String::from_utf8_lossy(&raw[begin..begin + length]).to_ascii_uppercase();
        }
    }
    Some((raw, name))
}

fn read_reply(from: &mut impl BufRead, into: &mut Vec<u8>) -> Option<()> {
    let begin = into.len();
    let number = line(from, into)?;
    match into[begin] {
        b'$' if number >= 0 => {
            let at = into.len();
            into.resize(at + usize::try_from(number).ok()? + 2, 0);
            from.read_exact(&mut into[at..]).ok()
        }
        b'*' => (0..number).try_for_each(|_| read_reply(from, into)),
        _ => Some(()),
    }
}
