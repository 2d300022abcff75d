//! What another user of the machine, or a damaged file, can do to a run: links, locks, pipes, and numbers. The other
//! user has the id 65534; the tests run as root to act as both users.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keysweep_servers::Server;

use crate::cli::deployment::TestDeployment;
use crate::cli::{Ended, Keysweep, keysweep};

/// The other user.
const MALLORY: u32 = 65_534;

/// A folder that every user can enter, like `/tmp`; removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        assert_eq!(fs::metadata("/proc/self").unwrap().uid(), 0, "these tests run as root, to be two users");
        let path = PathBuf::from("/tmp").join(format!("keysweep-hostile-{}", uuid::Uuid::now_v7()));
        fs::DirBuilder::new().mode(0o755).create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// A folder of ours with a file that matters, and a link to it that the other user has made at `name`.
    fn trap(&self, name: &str) -> PathBuf {
        let victim = self.at("victim");
        fs::create_dir_all(&victim).unwrap();
        fs::write(victim.join("precious"), "precious").unwrap();
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        symlink(&victim, self.at(name)).unwrap();
        lchown(self.at(name), Some(MALLORY), Some(MALLORY)).unwrap();
        victim
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// It contains only what was there before.
#[track_caller]
fn untouched(victim: &Path, ended: &Ended) {
    let names: Vec<_> = fs::read_dir(victim).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["precious"], "{ended}");
    assert_eq!(fs::read_to_string(victim.join("precious")).unwrap(), "precious", "{ended}");
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn run(place: &TestDeployment, scratch: &Scratch, more: &[&str]) -> Keysweep {
    let args = ["run", "--yes", "--json", "--grace", "0s", "--redis", place.url()];
    let args = [&args, more].concat();
    keysweep(&args).env("KEYSWEEP_STATE_DIR", &scratch.text("state"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_goes_through_no_link_of_another_user() {
    let (server, scratch) = (Server::start(&[]).await.unwrap(), Scratch::new());
    let place = TestDeployment::standalone(&server).await;
    place.seed(100).await;
    let victim = scratch.trap("reports/permission-cache-cleanup");
    let ended = run(&place, &scratch, &["--report-dir", &scratch.text("reports")]).run();
    ended
        .exits(0)
        .log_contains(&["the report was not written", "permission-cache-cleanup"])
        .result("completed");
    untouched(&victim, &ended);
    // The folder itself is a link.
    let ended =
        run(&place, &scratch, &["--report-dir", &scratch.text("reports/permission-cache-cleanup")]).run();
    ended.exits(0).log_contains(&["the symbolic link", "belongs to user 65534", "name another place"]);
    untouched(&victim, &ended);
    // Our own reports, and history files, are readable by us only.
    let ended = run(&place, &scratch, &["--report-dir", &scratch.text("own")]).run();
    ended.exits(0).log_contains(&["Report: "]);
    let folder = scratch.at("own/permission-cache-cleanup");
    let pages: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!((pages.len(), mode(&folder)), (2, 0o700), "{ended}");
    for file in pages.iter().chain([&scratch.at("state/keysweep.db")]) {
        assert_eq!(mode(file), 0o600, "{}", file.display());
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "flock", "-n"]).arg(file).arg("true");
        assert!(!other.stderr(Stdio::null()).status().unwrap().success(), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_and_backups_go_through_no_link_of_another_user() {
    let (server, scratch) = (Server::start(&[]).await.unwrap(), Scratch::new());
    // Where reports of demos went for this user, before.
    let victim = scratch.trap("keysweep-demo-0");
    let demo = keysweep(&["demo", "--keys", "2000", "--log-format", "text"])
        .env("TMPDIR", scratch.0.to_str().unwrap());
    let ended = demo.run();
    untouched(&victim, ended.exits(0));
    let said = ended.stderr.split_once("[Demo] Report: ").expect("a report").1;
    let report = Path::new(said.lines().next().unwrap().trim());
    assert!(report.starts_with(&scratch.0) && mode(report) == 0o600, "{ended}");
    assert_eq!(mode(report.ancestors().nth(2).unwrap()), 0o700, "{ended}");
    let place = TestDeployment::standalone(&server).await;
    place.seed(100).await;
    let ended = run(&place, &scratch, &["--backup", &scratch.text("keysweep-demo-0")]).run();
    ended.fails(2, &["the symbolic link", "belongs to user 65534"]);
    untouched(&victim, &ended);
    assert_eq!(place.keys("permissions:*").await, 100, "nothing is deleted that cannot be saved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_is_not_ours_is_not_used() {
    let (server, scratch) = (Server::start(&[]).await.unwrap(), Scratch::new());
    let place = TestDeployment::standalone(&server).await;
    place.seed(100).await;
    let state = scratch.at("state");
    fs::create_dir(&state).unwrap();
    lchown(&state, Some(MALLORY), Some(MALLORY)).unwrap();
    let refused = async |words: &[&str]| {
        run(&place, &scratch, &[]).run().fails(2, words);
        assert_eq!(place.keys("permissions:*").await, 100, "nothing is deleted that cannot be recorded");
    };
    refused(&["belongs to user 65534, and this process runs as user 0", "--state-dir"]).await;
    lchown(&state, Some(0), Some(0)).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    refused(&["mode 777", "chmod go-w"]).await;
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let file = scratch.at("state/keysweep.db");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    refused(&["is no plain file"]).await;
    fs::remove_file(&file).unwrap();
    symlink(scratch.at("elsewhere"), &file).unwrap();
    refused(&["is no plain file"]).await;
    fs::remove_file(&file).unwrap();
    run(&place, &scratch, &[]).run().exits(0);
}

/// Whether a process catches a signal, by what the system says of it.
fn catches(pid: u32, signal: &str) -> bool {
    let number = if signal == "INT" { 2 } else { 15 };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << (number - 1)) != 0
}

/// A process that is blocked in a system call, here because stderr is not read, ends at the second signal all the
/// same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_hangs_ends_at_the_second_signal() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(100).await;
    for signal in ["INT", "TERM"] {
        let (_unread, mut full) = std::io::pipe().unwrap();
        let stderr = full.try_clone().unwrap();
        // It is full when this thread gets no further, and stays there until the test ends.
        std::thread::spawn(move || while full.write_all(&[b' '; 4096]).is_ok() {});
        std::thread::sleep(Duration::from_millis(300));
        let args = ["run", "--yes", "--redis", place.url(), "--state-dir", "none", "--log-format", "text"];
        let mut child = keysweep(&args).spawn(Stdio::null(), stderr.into());
        let pid = child.id();
        let send = || {
            let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
            assert!(sent.unwrap().success());
        };
        // On a busy machine it takes a while until it catches signals; then it soon has something to say.
        let started = Instant::now();
        while !catches(pid, signal) {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            assert!(started.elapsed() < Duration::from_secs(60), "it catches no signal");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_secs(2));
        send();
        std::thread::sleep(Duration::from_secs(1));
        send();
        let begun = Instant::now();
        let ended = loop {
            match child.try_wait().unwrap() {
                Some(ended) => break ended,
                None if begun.elapsed() > Duration::from_secs(30) => {
                    child.kill().unwrap();
                    panic!("two SIG{signal} did not end it");
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert_eq!(ended.code(), Some(if signal == "INT" { 130 } else { 143 }));
    }
}
