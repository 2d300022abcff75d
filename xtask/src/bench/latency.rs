//! The latency of another client's requests, measured by `clients/foreground.rs` in its own process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The median and 99th percentile of many latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    /// The median, in ms.
    pub(crate) p50_ms: f64,
    /// The 99th percentile, in ms.
    pub(crate) p99_ms: f64,
    /// The number of requests.
    pub(crate) requests: usize,
}

impl Latency {
    /// Computes the figures from latencies in any order; `None` if there are none.
    fn of(mut all: Vec<Duration>) -> Option<Self> {
        all.sort_unstable();
        // The smallest value that is not below the given share of all (nearest rank).
        let percentile = |percent: usize| {
            let rank = (all.len() * percent).div_ceil(100).max(1);
            all.get(rank - 1).map(|latency| latency.as_secs_f64() * 1e3)
        };
        Some(Self { p50_ms: percentile(50)?, p99_ms: percentile(99)?, requests: all.len() })
    }
}

/// The running foreground client. Dropping it kills it.
pub(crate) struct Foreground {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Foreground {
    /// Starts the client with the binary `xtask`; returns when it sends requests.
    pub(crate) fn start(xtask: &Path, urls: &[String]) -> Result<Self> {
        let mut command = Command::new(xtask);
        command.arg("foreground").args(urls).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("failed to start the foreground client")?;
        let out = child.stdout.take().context("the foreground client has no stdout")?;
        let mut foreground = Self { child, out: BufReader::new(out) };
        let mut line = String::new();
        foreground.out.read_line(&mut line)?;
        if line != "ready\n" {
            bail!("the foreground client printed `{}` instead of `ready`", line.trim());
        }
        Ok(foreground)
    }

    /// Stops the client and returns the latency of its requests.
    ///
    /// # Errors
    /// If a request failed, or none was sent.
    pub(crate) fn stop(mut self) -> Result<Latency> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.out.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the foreground client ended with {status}");
        }
        let parsed: Result<Vec<u64>, _> = text.lines().map(str::parse).collect();
        let nanoseconds = parsed.context("the foreground client printed something else than latencies")?;
        let latencies = nanoseconds.into_iter().map(Duration::from_nanos).collect();
        Latency::of(latencies).context("the foreground client sent no request")
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // It has exited already unless an error occurred.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let ms = |range: std::ops::RangeInclusive<u64>| range.rev().map(Duration::from_millis).collect();
        let check = |all, p50_ms, p99_ms| {
            let found = Latency::of(all).unwrap();
            assert_eq!((found.p50_ms, found.p99_ms), (p50_ms, p99_ms));
        };
        check(ms(1..=200), 100.0, 198.0);
        check(ms(7..=7), 7.0, 7.0);
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
