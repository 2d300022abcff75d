//! A scripted Redis server with a reply per command, on its own port, until the test ends.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// The default reply to INFO: a Redis 7 with one key.
pub const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:0123456789012345678901234567890123456789\r\n\
    uptime_in_seconds:100\r\nrole:master\r\nmaster_replid:9876543210987654321098765432109876543210\r\n\
    connected_slaves:0\r\nused_memory:1000000\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\nloading:0\r\n\
    keyspace_hits:0\r\nkeyspace_misses:0\r\ntotal_commands_processed:1\r\ntotal_connections_received:1\r\n\
    cmdstat_ping:calls=1,usec=1,usec_per_call=1.00\r\n";

/// `host:port` of a server that replies to each command with the bytes that `answer` returns for its words.
pub fn server(answer: impl Fn(&[String]) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || serve(stream, &*answer));
        }
    });
    address
}

fn serve(stream: TcpStream, answer: &dyn Fn(&[String]) -> Vec<u8>) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut requests = BufReader::new(stream);
    loop {
        let words = request(&mut requests)?;
        out.write_all(&answer(&words)).ok()?;
    }
}

fn request(from: &mut impl BufRead) -> Option<Vec<String>> {
    let number = |from: &mut dyn BufRead| {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse::<usize>().ok()
    };
    let count = number(from)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = number(from)?;
        let mut word = vec![0; length + 2];
        from.read_exact(&mut word).ok()?;
        words.push(String::from_utf8_lossy(&word[..length]).into_owned());
    }
    Some(words)
}

/// A bulk string.
pub fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

/// The replies of a server with one key to all commands of a plan; an error for others.
pub fn usual(words: &[String]) -> Vec<u8> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["PING", ..] => b"+PONG\r\n".to_vec(),
        ["CLIENT" | "SELECT" | "READONLY", ..] => b"+OK\r\n".to_vec(),
        ["INFO", ..] => bulk(&format!("{INFO}cluster_enabled:0\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n")),
        ["TIME"] => b"*2\r\n$10\r\n1790000000\r\n$1\r\n0\r\n".to_vec(),
        [other, ..] => format!("-ERR unknown command '{other}'\r\n").into_bytes(),
        [] => b"-ERR\r\n".to_vec(),
    }
}

/// A CLUSTER SHARDS reply with these primaries: id, host, and the first and last slot.
pub fn shards(primaries: &[(&str, &str, u16, u16)]) -> Vec<u8> {
    let shard = |&(id, host, first, last): &(&str, &str, u16, u16)| shard(id, (host, 6_379), (first, last));
    let all: Vec<Vec<u8>> = primaries.iter().map(shard).collect();
    [format!("*{}\r\n", all.len()).into_bytes(), all.concat()].concat()
}

/// One primary of CLUSTER SHARDS: its id, host and port, and its first and last slot.
pub fn shard(id: &str, (host, port): (&str, u16), (first, last): (u16, u16)) -> Vec<u8> {
    let mut reply = format!("*4\r\n$5\r\nslots\r\n*2\r\n:{first}\r\n:{last}\r\n$5\r\nnodes\r\n*1\r\n*12\r\n")
        .into_bytes();
    for (name, value) in
        [("id", id), ("ip", host), ("endpoint", host), ("role", "master"), ("health", "online")]
    {
        reply.extend([bulk(name), bulk(value)].concat());
    }
    reply.extend([bulk("port"), format!(":{port}\r\n").into_bytes()].concat());
    reply
}

/// The same of CLUSTER SLOTS.
pub fn slots(id: &str, (host, port): (&str, u16), (first, last): (u16, u16)) -> Vec<u8> {
    let node = [bulk(host), format!(":{port}\r\n").into_bytes(), bulk(id), b"*0\r\n".to_vec()].concat();
    [format!("*3\r\n:{first}\r\n:{last}\r\n*4\r\n").into_bytes(), node].concat()
}
