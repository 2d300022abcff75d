//! Runs a process to its end and measures time, CPU and memory. CPU comes from the system's accounting of the process
//! and all children it waited for (wait4), memory from polling every few milliseconds.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wait4::Wait4;

use super::proc;

/// The polling interval of a process's memory. Its peak never decreases, so only the last value matters.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The resource usage of a process.
pub(crate) struct Usage {
    /// The elapsed time.
    pub(crate) wall: Duration,
    /// User and system time of the process and of those that it started.
    pub(crate) cpu: Duration,
    /// The largest resident memory of any of them.
    pub(crate) peak_kb: u64,
}

/// Runs `command` with an empty stdin.
///
/// # Errors
/// If it cannot be started or fails; the text contains its output.
pub(crate) fn run(command: &mut Command) -> Result<Usage> {
    let program = command.get_program().display().to_string();
    let begin = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("failed to start `{program}`"))?;
    let pid = child.id();
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let waiter = std::thread::spawn(move || child.wait4().map(|ended| (ended, begin.elapsed())));
    let mut peak_kb = 0;
    while !waiter.is_finished() {
        let tree = proc::tree(pid);
        peak_kb = tree.into_iter().filter_map(proc::peak_memory_kb).fold(peak_kb, u64::max);
        std::thread::sleep(LOOK_EVERY);
    }
    let (Ok(ended), Ok(stdout), Ok(stderr)) = (waiter.join(), stdout.join(), stderr.join()) else {
        bail!("a thread that watches `{program}` panicked");
    };
    let (ended, wall) = ended.with_context(|| format!("failed to wait for `{program}`"))?;
    if !ended.status.success() {
        let said = [stderr, stdout].concat();
        bail!(
            "`{program}` ended with {} and printed: {}",
            ended.status,
            String::from_utf8_lossy(&said).trim()
        );
    }
    Ok(Usage { wall, cpu: ended.rusage.utime + ended.rusage.stime, peak_kb })
}

/// Reads all output, so that the process is never blocked by a full pipe.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // Unreadable output is only missing in the message; the process's status decides.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Usage> {
        run(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn cpu_of_children_is_counted() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let used = shell(&format!("sh -c '{busy}'; true")).unwrap();
        assert!(used.cpu > Duration::from_millis(10) && used.cpu < used.wall * 2, "{:?}", used.cpu);
        assert!(used.peak_kb > 100, "{}", used.peak_kb);
        let idle = shell("sleep 0.2").unwrap();
        assert!(idle.wall >= Duration::from_millis(200) && idle.cpu < idle.wall / 2);
    }

    #[test]
    fn a_failure_contains_the_output() {
        let Err(error) = shell("echo out; echo err >&2; exit 3") else { panic!("it passed") };
        assert_eq!(error.to_string(), "`sh` ended with exit status: 3 and printed: err\nout");
        let Err(error) = run(&mut Command::new("/nonexistent/keysweep")) else { panic!("it passed") };
        assert_eq!(error.to_string(), "failed to start `/nonexistent/keysweep`");
    }
}
