//! Ends the processes of a fleet when the fleet ends, however that happens: a shell that waits for the end of its
//! input, which comes even if the test itself is killed. It finds the processes by a variable that only they have
//! in their environment, so it also finds those that they started and that outlive them by design.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Kills whatever has `$1` in its environment. Twice, because what is being killed may just have started another.
const SWEEP: &str = r#"
while read -r _; do :; done
for turn in 1 2; do
  for dir in /proc/[0-9]*; do
    if tr '\0' '\n' <"$dir/environ" 2>/dev/null | grep -qxF "$1"; then kill -s KILL "${dir#/proc/}"; fi
  done
done 2>/dev/null
"#;

/// See the module. Dropping it ends the processes.
pub struct Sweeper {
    shell: Child,
}

impl Sweeper {
    /// Will end the processes whose environment has the line `mark`.
    pub fn start(mark: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", SWEEP, "keysweep-sweeper", mark]);
        // A group of its own: Ctrl-C in the terminal is for the test; this ends after it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { shell: command.spawn().expect("`sh` starts") }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
