//! One `keysweep run` as its user sees it: a process that is timed and whose memory is watched.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What one run took.
pub(crate) struct Sweep {
    /// From the start of the process to its end.
    pub(crate) wall: Duration,
    /// `durationMs` of the result.
    pub(crate) duration_ms: Option<f64>,
    /// The largest resident memory.
    pub(crate) rss_peak_kb: u64,
}

/// One whole `keysweep run` as its user sees it, from the start of the process to its end.
pub(crate) fn sweep(keysweep: &Path, urls: &[String], args: &[String]) -> Result<Sweep> {
    let mut command = Command::new(keysweep);
    command.arg("run").args(urls.iter().flat_map(|url| ["--redis", url]));
    command.args(["--pattern", "permissions:*", "--yes", "--json", "--quiet"]).args(args);
    // Nobody stands beside a measurement, unless it is one of how gentle a run is.
    if !args.iter().any(|arg| arg.starts_with("--latency-budget")) {
        command.arg("--max-speed");
    }
    // Nothing of a measurement belongs among the reports and the history of whoever measures.
    command.env("KEYSWEEP_STATE_DIR", "none").env("KEYSWEEP_GENERATE_REPORT", "false");
    let begin = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = child.with_context(|| format!("failed to start `{}`", keysweep.display()))?;
    let pid = child.id();
    // A thread reads what it prints, while we look at its memory.
    let reader = std::thread::spawn(move || child.wait_with_output().map(|output| (output, begin.elapsed())));
    let mut rss_peak_kb = 0;
    while !reader.is_finished() {
        rss_peak_kb = rss_peak_kb.max(peak_memory_kb(pid).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let Ok(ended) = reader.join() else { bail!("the thread that reads keysweep's output panicked") };
    let (output, wall) = ended.context("failed to read keysweep's output")?;
    if !output.status.success() {
        bail!(
            "`keysweep run` ended with {} and printed: {}",
            output.status,
            String::from_utf8_lossy(&output.stdout)
        );
    }
    let result: Value =
        serde_json::from_slice(&output.stdout).context("`keysweep run --json` printed no JSON")?;
    Ok(Sweep { wall, duration_ms: find(&result, "durationMs"), rss_peak_kb })
}

/// The largest resident memory so far (`VmHWM`); nothing once the process has ended.
fn peak_memory_kb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// The number called `name`, wherever it stands in the document.
fn find(document: &Value, name: &str) -> Option<f64> {
    match document {
        Value::Object(fields) => {
            let own = fields.get(name).and_then(Value::as_f64);
            own.or_else(|| fields.values().find_map(|value| find(value, name)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_found_at_any_depth() {
        let document = json!({ "a": [{ "durationMs": "no number" }, { "b": { "durationMs": 12 } }] });
        assert_eq!(find(&document, "durationMs"), Some(12.0));
        assert_eq!(find(&document, "absent"), None);
    }

    #[test]
    fn our_own_peak_memory_is_known() {
        assert!(peak_memory_kb(std::process::id()).unwrap() > 100);
    }

    #[test]
    fn a_sweep_that_fails_or_prints_no_json_is_an_error() {
        let check = |program: &str, expected: &str| {
            let Err(error) = sweep(Path::new(program), &[], &[]) else { panic!("`{program}` passed") };
            assert!(error.to_string().contains(expected), "{error}");
        };
        check("false", "ended with exit status: 1");
        check("echo", "printed no JSON");
        check("/nonexistent/keysweep", "failed to start `/nonexistent/keysweep`");
    }
}
