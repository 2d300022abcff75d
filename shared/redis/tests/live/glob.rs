//! Compares [`keysweep_model::glob`] with the matches of a real redis-server for random patterns. It uses the first
//! `redis-server` in PATH, so that other versions can be tested.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use keysweep_model::glob::Pattern;

const SEEDS: [u64; 3] = [1, 20_260_101, 0xdead_beef];
const PATTERNS_PER_SEED: usize = 3000;
const KEYS_PER_SEED: usize = 300;
/// Every special byte, some plain ones and two above 127.
const ALPHABET: &[u8] = b"ab[]^-\\*?\x80\xfe";

/// A local server; dropping it ends the process.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on the path");
        Self { process, port }
    }

    fn connect(&self) -> Connection {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => return Connection(BufReader::new(stream)),
                Err(error) if Instant::now() > deadline => panic!("no server within 10 s: {error}"),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Sends one command and returns all strings of the reply, at any nesting.
    fn call(&mut self, command: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            request.extend(format!("${}\r\n", part.len()).bytes());
            request.extend_from_slice(part);
            request.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&request).unwrap();
        let mut strings = Vec::new();
        self.read(&mut strings);
        strings
    }

    fn read(&mut self, strings: &mut Vec<Vec<u8>>) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "*" => (0..rest.parse::<usize>().unwrap()).for_each(|_| self.read(strings)),
            "$" => {
                let mut string = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut string).unwrap();
                string.truncate(string.len() - 2);
                strings.push(string);
            }
            "+" | ":" => {}
            _ => panic!("unexpected reply `{line}`"),
        }
    }
}

fn word(random: &mut fastrand::Rng, length_max: usize) -> Vec<u8> {
    let length = random.usize(0..=length_max);
    (0..length).map(|_| ALPHABET[random.usize(..ALPHABET.len())]).collect()
}

#[test]
fn answers_as_the_server_does() {
    let server = Server::start();
    let mut connection = server.connect();
    for seed in SEEDS {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        connection.call(&[b"FLUSHALL"]);
        let mut keys: BTreeSet<Vec<u8>> = (0..KEYS_PER_SEED).map(|_| word(&mut random, 6)).collect();
        keys.insert(Vec::new());
        for key in &keys {
            connection.call(&[b"SET", key, b""]);
        }
        for _ in 0..PATTERNS_PER_SEED {
            let pattern = Pattern::new(word(&mut random, 9)).unwrap();
            let reply = connection.call(&[b"SCAN", b"0", b"MATCH", pattern.as_bytes(), b"COUNT", b"100000"]);
            let (cursor, listed) = reply.split_first().unwrap();
            assert_eq!(cursor, b"0", "the whole database fits one page");
            let theirs: BTreeSet<&[u8]> = listed.iter().map(Vec::as_slice).collect();
            let ours = keys.iter().map(Vec::as_slice).filter(|key| pattern.matches(key)).collect();
            assert_eq!(theirs, ours, "seed {seed}, pattern `{pattern}` (server left, ours right)");
        }
    }
}
