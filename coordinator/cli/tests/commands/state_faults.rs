//! A state file that cannot be used: a clear error, and no key is deleted that could not be recorded.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use keysweep_servers::Server;

use crate::cli::deployment::TestDeployment;
use crate::cli::state::State;

/// Far longer than the wait for the lock, on a busy machine.
const LOCKED_MAX: Duration = Duration::from_secs(60);

/// A file system of some size in memory, as the state directory; unmounted at the end.
pub struct SmallDisk<'a>(&'a State);

impl<'a> SmallDisk<'a> {
    pub fn mount(state: &'a State, options: &str) -> Self {
        std::fs::create_dir(&state.0).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "tmpfs", state.dir()]);
        assert!(mount.status().unwrap().success(), "these tests run as root, to mount a small disk");
        Self(state)
    }

    pub fn remount(&self, options: &str) {
        let mount = Command::new("mount").args(["-o", &format!("remount,{options}"), self.0.dir()]).status();
        assert!(mount.unwrap().success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", self.0.dir()]).status();
    }
}

struct Site {
    place: TestDeployment,
    state: State,
    _server: Server,
}

impl Site {
    async fn new() -> Self {
        let server = Server::start(&[]).await.unwrap();
        let place = TestDeployment::standalone(&server).await;
        place.seed(1_000).await;
        Self { place, state: State::new(), _server: server }
    }

    /// The run must be refused with an error that contains `words`, and delete nothing.
    async fn refuses(&self, code: i32, words: &[&str]) {
        let ended = self.state.command(&["run", "--yes", "--json", "--redis", self.place.url()]).run();
        ended.fails(code, words).fails(code, &["nothing was deleted"]);
        assert!(ended.took < LOCKED_MAX, "{ended}");
        assert_eq!(self.place.keys("permissions:*").await, 1_000, "{ended}");
    }

    /// The first run, which makes the file and deletes 100 of the keys; then there are 1,000 again.
    async fn first_run(&self) {
        self.state.command(&["run", "--yes", "--redis", self.place.url()]).run().exits(0);
        self.place.seed(1_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_ours_or_newer_is_left_alone() {
    let site = Site::new().await;
    std::fs::create_dir(&site.state.0).unwrap();
    std::fs::write(site.state.file(), "a text file\n".repeat(1_000)).unwrap();
    site.refuses(2, &["is not a state file of keysweep", "move it away", "--state-dir"]).await;
    std::fs::remove_file(site.state.file()).unwrap();
    site.state.sql("CREATE TABLE other (x)");
    site.refuses(2, &["SQLite file of another program"]).await;
    std::fs::remove_file(site.state.file()).unwrap();
    site.first_run().await;
    site.state.sql("PRAGMA user_version = 7");
    site.refuses(2, &["written by a later version of keysweep (schema 7, this one knows"]).await;
    site.state.command(&["runs", "list", "--json"]).run().fails(2, &["later version"]);
    assert_eq!(site.state.sql("SELECT count(*) FROM deleted_keys"), "100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_noticed_before_anything_is_deleted() {
    let site = Site::new().await;
    site.first_run().await;
    let whole = std::fs::read(site.state.file()).unwrap();
    // Each page but the first is overwritten, so whatever is read or written there is damaged.
    let damaged: Vec<u8> = whole[..4_096].iter().copied().chain(vec![0x5a; whole.len() - 4_096]).collect();
    std::fs::write(site.state.file(), damaged).unwrap();
    site.refuses(2, &["is damaged", "move it away", "recover"]).await;
    site.state.command(&["runs", "list", "--json"]).run().fails(2, &["is damaged"]);
    std::fs::write(site.state.file(), &whole[..whole.len() / 2]).unwrap();
    site.refuses(2, &["is damaged"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_keeps_runs_readable() {
    let site = Site::new().await;
    let disk = SmallDisk::mount(&site.state, "size=4m");
    site.first_run().await;
    disk.remount("ro");
    site.refuses(2, &["--state-dir"]).await;
    let dry =
        site.state.command(&["run", "--dry-run", "--redis", site.place.url(), "--log-format", "text"]).run();
    dry.exits(0).log_contains(&["the history of runs is not kept"]);
    site.state.command(&["runs", "list"]).run().exits(0);
}

/// A disk that becomes full while a run deletes: it stops, its result is printed, and the file names every key that is
/// gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_run_that_cannot_record() {
    let site = Site::new().await;
    let disk = SmallDisk::mount(&site.state, "size=2m");
    site.first_run().await;
    std::fs::write(site.state.0.join("filler"), vec![0; 3 << 20]).unwrap_err();
    site.refuses(1, &["no space is left", "keysweep.db"]).await;
    // Room for the begin of a run, but not for the keys of all its batches.
    disk.remount("size=2900k");
    site.place.seed_stale(20_000).await;
    let before = site.place.names("permissions:*").await;
    let ended = site
        .state
        .command(&["run", "--yes", "--json", "--redis", site.place.url(), "--max-delete-percent", "100"])
        .run();
    let after = site.place.names("permissions:*").await;
    let gone: BTreeSet<_> = before.difference(&after).cloned().collect();
    println!("{} of 20,000 keys are gone", gone.len());
    assert!(gone.len() < 20_000, "the disk was not too small: {ended}");
    ended.exits(3);
    let result = ended.result("cancelled");
    assert!(result["issues"].to_string().contains("cannot be recorded"), "{ended}");
    std::fs::remove_file(site.state.0.join("filler")).unwrap();
    let run = result["runId"].as_str().unwrap();
    let named = |outcomes: &str| {
        site.state.rows(&format!("SELECT key FROM audit WHERE run = '{run}' AND outcome IN ({outcomes})"))
    };
    assert!(named("'deleted'").is_subset(&gone), "{ended}");
    assert!(gone.is_subset(&named("'deleted', 'unconfirmed'")), "{ended}");
    site.state.is_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanently_locked_file_is_reported_with_its_holder() {
    let site = Site::new().await;
    site.first_run().await;
    let mut sqlite3 = Command::new("sqlite3");
    let mut holder =
        sqlite3.arg(site.state.file()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    holder.stdin.as_mut().unwrap().write_all(b"BEGIN IMMEDIATE;\nSELECT 1;\n").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let held = format!("was locked for 5 s, by process {} (`sqlite3`)", holder.id());
    site.refuses(1, &[&held]).await;
    // Reading goes on meanwhile.
    site.state.command(&["runs", "list"]).run().exits(0);
    holder.kill().unwrap();
    holder.wait().unwrap();
    site.state.command(&["run", "--yes", "--redis", site.place.url()]).run().exits(0);
}
