//! Ends the processes of a fleet in any case: a shell waits for the end of its input, which comes even if the test
//! itself is killed. It finds the processes by a unique variable in their environment, so it also finds detached
//! processes that they started.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Kills all processes with `$1` in their environment. Twice, because a process may just have started another one.
const SWEEP: &str = r#"
while read -r _; do :; done
for turn in 1 2; do
  for dir in /proc/[0-9]*; do
    if tr '\0' '\n' <"$dir/environ" 2>/dev/null | grep -qxF "$1"; then kill -s KILL "${dir#/proc/}"; fi
  done
done 2>/dev/null
"#;

/// The cleanup of a fleet. Dropping it ends the processes.
pub struct ProcessCleanup {
    shell: Child,
}

impl ProcessCleanup {
    /// Will end the processes whose environment has the line `mark`.
    pub fn start(mark: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", SWEEP, "keysweep-sweeper", mark]);
        // Its own process group: Ctrl-C in the terminal is for the test; this ends after it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { shell: command.spawn().expect("`sh` starts") }
    }
}

impl Drop for ProcessCleanup {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
