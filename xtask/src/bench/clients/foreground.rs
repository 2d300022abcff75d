//! The application whose requests must not suffer: alternating GET and SET on its own keys, which have a TTL, at a
//! steady rate spread evenly over the nodes. Each request has an intended send time, and its latency counts from then:
//! a request that waits for a late predecessor includes that wait.
//!
//! It prints `ready` on stdout, works until stdin is closed, and then prints every latency in nanoseconds.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use keysweep_model::slot::slot_of;

use super::raw::Raw;

/// Requests per second, for all nodes together.
const RATE: u32 = 2_000;
/// The number of its keys on one node.
const KEYS_PER_NODE: usize = 100;
/// The TTL of its keys; no process deletes them.
const TTL_SECONDS: &str = "3600";

/// The requests that are repeated on one node, as bytes.
struct Requests {
    get: Vec<Vec<u8>>,
    set: Vec<Vec<u8>>,
}

/// Sends requests to the nodes at `urls` until stdin is closed.
///
/// # Errors
/// If a node cannot be reached or returns an error.
pub(crate) fn run(urls: &[String]) -> Result<()> {
    let mut nodes = Vec::new();
    for url in urls {
        let mut raw = Raw::connect(url)?;
        let requests = requests(&raw.own_slots()?);
        for set in &requests.set {
            call(&mut raw, set)?;
        }
        nodes.push((raw, requests));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let interval = Duration::from_secs(1) * u32::try_from(urls.len())? / RATE;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    // The nodes alternate.
    let begin = Instant::now();
    let start_of = |index: usize| begin + interval * u32::try_from(index).unwrap_or(0) / urls.len() as u32;
    let threads: Vec<_> = nodes
        .into_iter()
        .enumerate()
        .map(|(index, (raw, requests))| {
            let (stop, start) = (Arc::clone(&stop), start_of(index));
            std::thread::spawn(move || work(raw, &requests, start, interval, &stop))
        })
        .collect();
    std::io::stdin().read_to_end(&mut Vec::new())?;
    stop.store(true, Ordering::Relaxed);
    let mut text = String::new();
    for thread in threads {
        let Ok(latencies) = thread.join() else { bail!("a thread of the foreground client panicked") };
        for latency in latencies? {
            text.push_str(&latency.as_nanos().to_string());
            text.push('\n');
        }
    }
    Ok(out.write_all(text.as_bytes())?)
}

fn work(
    mut raw: Raw,
    requests: &Requests,
    start: Instant,
    interval: Duration,
    stop: &AtomicBool,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let pairs = requests.get.iter().zip(&requests.set).cycle();
    let turns = pairs.flat_map(|(get, set)| [get, set]);
    for (number, request) in (0_u32..).zip(turns) {
        let meant = start + interval * number;
        std::thread::sleep(meant.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        call(&mut raw, request)?;
        latencies.push(meant.elapsed());
    }
    Ok(latencies)
}

fn call(raw: &mut Raw, request: &[u8]) -> Result<()> {
    raw.send(request)?;
    let answer = raw.line()?;
    match answer.first() {
        Some(b'+') => Ok(()),
        Some(b'$') if answer != b"$-1" => raw.line().map(|_| ()),
        _ => bail!("the foreground client received `{}`", String::from_utf8_lossy(answer)),
    }
}

/// GET and SET for keys in `slots`.
fn requests(slots: &[u16]) -> Requests {
    let mine = |key: &String| slots.binary_search(&slot_of(key.as_bytes())).is_ok();
    let keys: Vec<String> =
        (0..1_000_000).map(|number| format!("app:{number}")).filter(mine).take(KEYS_PER_NODE).collect();
    let get = keys.iter().map(|key| command(&["GET", key]));
    let set = keys.iter().map(|key| command(&["SET", key, "read,write,share", "EX", TTL_SECONDS]));
    Requests { get: get.collect(), set: set.collect() }
}

fn command(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len());
    for arg in args {
        bytes.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
    }
    bytes.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_use_keys_in_the_nodes_slots() {
        let slots: Vec<u16> = (5_000..5_400).collect();
        let requests = requests(&slots);
        assert_eq!((requests.get.len(), requests.set.len()), (KEYS_PER_NODE, KEYS_PER_NODE));
        let first = String::from_utf8(requests.get[0].clone()).unwrap();
        let key = first.lines().nth(4).unwrap();
        assert!(key.starts_with("app:") && slots.contains(&slot_of(key.as_bytes())), "{first}");
    }
}
