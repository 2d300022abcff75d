//! The local resources of a server: ports, a directory, arguments; and whether a process is alive.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use keysweep_files::Folder;

use super::ServersError;

/// How the port of the cluster bus is passed to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bus {
    /// It is not a cluster node.
    None,
    /// This one, from Redis 7.0 on: without `cluster-port` it would be port + 10000, which may not exist.
    Port(u16),
    /// It cannot be configured.
    Fixed,
}

/// The arguments of every local redis-server; the arguments of a caller follow them and override them.
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

/// Three different ports that are free now. Another process may still take one before the server binds it.
///
/// # Errors
/// If the system has none.
pub fn free_ports() -> Result<[u16; 3], ServersError> {
    let find = || {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        // All are bound until all are known, so that they differ.
        let (first, second, third) = (bind()?, bind()?, bind()?);
        Ok([first.local_addr()?.port(), second.local_addr()?.port(), third.local_addr()?.port()])
    };
    find().map_err(ServersError::system("look for free ports on 127.0.0.1"))
}

/// A new directory that only this user can read.
///
/// # Errors
/// If it cannot be created.
pub fn fresh_dir() -> Result<PathBuf, ServersError> {
    Ok(Folder::temporary(&format!("keysweep-server-{}", std::process::id()))?.path().to_owned())
}

/// The state letter of a process or thread, from its directory in /proc.
fn state(place: &Path) -> Option<char> {
    let stat = fs::read_to_string(place.join("stat")).ok()?;
    // The name before it may contain anything.
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// Whether a thread of a process runs or waits, and is not stopped. `false` if the system does not report it.
pub(super) fn is_running(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().filter_map(|thread| state(&thread.path())).any(|state| !"TtZX".contains(state))
}

/// Whether the process has ended (zombies count). Without /proc it is unknown, and the time limit decides.
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
        let older = arguments(Path::new("/d"), 7000, Bus::Fixed).join(" ");
        assert!(older.ends_with("--port 7000 --cluster-enabled yes"), "{older}");
    }

    #[test]
    fn ports_differ_and_directories_are_new() {
        let [one, two, three] = free_ports().unwrap();
        assert!(one != two && two != three && one != three);
        let (a, b) = (fresh_dir().unwrap(), fresh_dir().unwrap());
        assert_ne!(a, b);
        for dir in [a, b] {
            fs::remove_dir(dir).unwrap();
        }
    }

    #[test]
    fn own_process_is_alive() {
        assert!(!is_gone(std::process::id()));
        assert!(is_gone(u32::MAX));
    }
}
