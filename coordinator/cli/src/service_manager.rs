//! Messages to a service manager such as systemd (`sd_notify(3)`): the process is ready, its state in a few words, it is
//! alive, it stops. Each is one datagram to the socket in `NOTIFY_SOCKET`; without that variable, nothing is sent.
//!
//! A message is never waited for, and one that fails disturbs nothing. The crate `sd-notify` would block a thread of the
//! runtime while the manager does not read.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keysweep_config::{Environment, NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC};
use tokio::time::sleep;

/// The service manager, if there is one.
pub(super) struct ServiceManager {
    socket: Option<SocketAddr>,
    /// How long this process may be silent.
    watchdog: Option<Duration>,
    sent: Mutex<Sent>,
}

/// The state of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessState {
    /// A few words for people.
    pub(super) status: &'static str,
    /// Whether it can work.
    pub(super) ready: bool,
    /// Whether it takes no more work.
    pub(super) stopping: bool,
}

/// What the manager was sent.
#[derive(Default)]
struct Sent {
    state: ProcessState,
    /// Whether the log says that messages fail.
    has_failed: bool,
}

impl ServiceManager {
    /// The manager that the environment names.
    pub(super) fn of(environment: &Environment) -> Self {
        let socket = environment.get(NOTIFY_SOCKET).and_then(|name| {
            let unusable = |e: &io::Error| tracing::warn!(error = %e, "`{NOTIFY_SOCKET}` cannot be used");
            address(name).inspect_err(unusable).ok()
        });
        let number = |name| environment.get(name).and_then(|text| text.parse::<u64>().ok());
        // The variables may be about another process, of which this one is a child.
        let is_ours = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = number(WATCHDOG_USEC).filter(|limit| is_ours && *limit > 0);
        Self { socket, watchdog: limit.map(Duration::from_micros), sent: Mutex::default() }
    }

    /// Whether anybody listens.
    pub(super) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Sends what is new. What could not be sent is new again.
    pub(super) fn report(&self, now: ProcessState) {
        let Some(socket) = &self.socket else { return };
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let before = sent.state;
        let lines = [
            (now.ready && !before.ready).then(|| "READY=1".to_owned()),
            (now.stopping && !before.stopping).then(|| "STOPPING=1".to_owned()),
            (now.status != before.status).then(|| format!("STATUS={}", now.status)),
        ];
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        if lines.is_empty() {
            return;
        }
        match send(socket, &lines.join("\n")) {
            // It is said once that the start is over, whatever comes later.
            Ok(()) => sent.state = ProcessState { ready: now.ready || before.ready, ..now },
            Err(e) if !sent.has_failed => {
                sent.has_failed = true;
                tracing::warn!(error = %e, "the service manager does not get messages; they are repeated");
            }
            Err(_) => {}
        }
    }

    /// Says twice in the time that the manager allows that the runtime is alive; never returns.
    pub(super) async fn stay_alive(&self) -> Result<(), Infallible> {
        let (Some(socket), Some(limit)) = (&self.socket, self.watchdog) else { return pending().await };
        loop {
            // The next one comes soon.
            let _ = send(socket, "WATCHDOG=1");
            sleep(limit / 2).await;
        }
    }
}

/// A path, or `@` and the name of an abstract socket.
fn address(name: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(name)
}

fn send(to: &SocketAddr, lines: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(lines.as_bytes(), to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> ServiceManager {
        ServiceManager::of(&Environment::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn the_variables_may_be_absent_wrong_or_about_another_process() {
        let check = |limit: &str, pid: &str, expected: Option<Duration>| {
            let manager = of(&[(NOTIFY_SOCKET, "/s"), (WATCHDOG_USEC, limit), (WATCHDOG_PID, pid)]);
            assert_eq!(manager.watchdog, expected, "{limit} {pid}");
        };
        let own = std::process::id().to_string();
        check("30000000", &own, Some(Duration::from_secs(30)));
        check("1", "", Some(Duration::from_micros(1)));
        check("30000000", "1", None);
        for wrong in ["", "0", "-1", "soon"] {
            check(wrong, &own, None);
        }
        for socket in ["", "/\0"] {
            assert!(!of(&[(NOTIFY_SOCKET, socket)]).is_there());
        }
    }
}
