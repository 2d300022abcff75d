//! What one server takes from this machine: ports, a directory, arguments; and whether a process lives.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::ServersError;
use crate::files::Folder;

/// Where [`lasting_port`] looks.
const LASTING_PORTS: std::ops::Range<u16> = 20_000..32_768;
/// How many ports it tries before it takes any free one.
const LASTING_PORT_ATTEMPTS: u32 = 100;

/// How the port of the cluster bus is told to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bus {
    /// It is no node of a cluster.
    None,
    /// This one, from Redis 7.0 on: without `cluster-port` it would be port + 10000, which may not even exist.
    Port(u16),
    /// Not at all.
    Untold,
}

/// The arguments of every redis-server of ours; what a caller adds comes after them and wins.
pub(super) fn arguments(dir: &Path, port: u16, bus: Bus) -> Vec<String> {
    let fixed = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--protected-mode", "no"];
    let mut args: Vec<String> = fixed.into_iter().map(str::to_owned).collect();
    args.extend(["--daemonize".into(), "no".into(), "--dir".into(), dir.display().to_string()]);
    args.extend(["--port".into(), port.to_string()]);
    if bus != Bus::None {
        args.extend(["--cluster-enabled".into(), "yes".into()]);
    }
    if let Bus::Port(bus_port) = bus {
        args.extend(["--cluster-port".into(), bus_port.to_string()]);
    }
    args
}

/// Three different ports that are free now. Someone may still take one before the server binds it.
pub(super) fn free_ports() -> io::Result<[u16; 3]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All are held until all are known, so that they differ.
    let (first, second, third) = (bind()?, bind()?, bind()?);
    Ok([first.local_addr()?.port(), second.local_addr()?.port(), third.local_addr()?.port()])
}

/// A port that is free now and that a server can come back to: it lies below the ports from which the system
/// (Linux, macOS) serves outgoing connections, which could take it, or even reach themselves through it,
/// while the server is down.
pub(super) fn lasting_port() -> io::Result<u16> {
    for _ in 0..LASTING_PORT_ATTEMPTS {
        let port = fastrand::u16(LASTING_PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    free_ports().map(|[port, ..]| port)
}

/// A new directory that only we can read.
pub(super) fn fresh_dir() -> Result<PathBuf, ServersError> {
    Ok(Folder::temporary(&format!("keysweep-server-{}", std::process::id()))?.path().to_owned())
}

/// The letter that Linux gives to what a process or thread does, by its place in /proc.
fn state(place: &Path) -> Option<char> {
    let stat = fs::read_to_string(place.join("stat")).ok()?;
    // The name before it may hold anything.
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// Whether a thread of a process runs or waits, and is not stopped. Where the system does not say so, none does.
pub(super) fn is_running(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().filter_map(|thread| state(&thread.path())).any(|state| !"TtZX".contains(state))
}

/// Whether the process has ended (a zombie has). Without /proc nobody knows, and the time limit decides.
pub(super) fn is_gone(pid: u32) -> bool {
    match state(Path::new(&format!("/proc/{pid}"))) {
        Some(state) => state == 'Z',
        None => Path::new("/proc/self/stat").exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_node_gets_a_bus_port_and_a_standalone_server_none() {
        let standalone = arguments(Path::new("/d"), 7000, Bus::None).join(" ");
        assert!(
            standalone.ends_with("--dir /d --port 7000") && !standalone.contains("cluster"),
            "{standalone}"
        );
        let node = arguments(Path::new("/d"), 7000, Bus::Port(7001)).join(" ");
        assert!(node.ends_with("--port 7000 --cluster-enabled yes --cluster-port 7001"), "{node}");
        let older = arguments(Path::new("/d"), 7000, Bus::Untold).join(" ");
        assert!(older.ends_with("--port 7000 --cluster-enabled yes"), "{older}");
    }

    #[test]
    fn ports_differ_and_directories_are_new() {
        let [one, two, three] = free_ports().unwrap();
        assert!(one != two && two != three && one != three);
        assert!(LASTING_PORTS.contains(&lasting_port().unwrap()));
        let (a, b) = (fresh_dir().unwrap(), fresh_dir().unwrap());
        assert_ne!(a, b);
        for dir in [a, b] {
            fs::remove_dir(dir).unwrap();
        }
    }

    #[test]
    fn we_live() {
        assert!(!is_gone(std::process::id()));
        assert!(is_gone(u32::MAX));
    }
}
