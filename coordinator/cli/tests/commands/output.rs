//! The output of a run: log lines, one JSON document, nothing at all, JSON lines; and readers that
//! close the pipe early.

use keysweep_servers::Server;
use serde_json::Value;

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, Keysweep, keysweep};

fn run(place: &TestDeployment, more: &[&str]) -> Keysweep {
    let args = ["run", "--yes", "--redis", place.url()];
    keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).env("KEYSWEEP_GRACE", "0s")
}

fn lines(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_lines() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(100).await;
    // By default they are omitted, because the page has the same content.
    let ended = run(&place, &["--dry-run"]).run();
    let report = ended.exits(0).stderr.strip_prefix("Report: ").expect("no more than where the report is");
    assert_eq!(report.lines().count(), 1, "{ended}");
    let text = ["--log-format", "text"];
    let ended = run(&place, &text).run();
    let lines = lines(ended.exits(0));
    let expected = [
        "[PermissionCacheCleanup] Starting cleanup process...",
        "[PermissionCacheCleanup] Scan batch size: 100",
        "[PermissionCacheCleanup] Aggressive cleanup: false",
        "[PermissionCacheCleanup] Total permission keys found: 100",
        "[PermissionCacheCleanup] Deleting 10 keys...",
    ];
    assert_eq!(lines[..5], expected, "{ended}");
    let closing =
        "[PermissionCacheCleanup] Cleanup complete: { scanned: 100, cleaned: 10, hitRate: 'none', avgTTL: '3";
    assert!(lines[5].starts_with(closing) && lines[5].ends_with("s' }"), "{ended}");
    assert_eq!(lines[6], "[PermissionCacheCleanupWorker] Issues detected:", "{ended}");
    let bug = "Found 10 keys without TTL - this indicates a caching bug";
    assert_eq!((lines[7], lines.len()), (format!("  1. {bug}").as_str(), 9), "{ended}");
    let report = lines[8].strip_prefix("[PermissionCacheCleanup] Report: ").expect("where the report is");
    let page = std::fs::read_to_string(report).unwrap_or_else(|e| panic!("{e}: {report}"));
    assert!(page.contains(bug) && report.starts_with(crate::cli::STATE), "{report}");
    assert!(ended.stdout.contains(bug) && ended.stdout.contains("balanced"), "{ended}");
    // Traffic of other clients shows as a hit rate: three of four lookups find their key.
    place.seed(1_000).await;
    let running = run(&place, &["--grace", "2s", "--scan-batch-size", "50", text[0], text[1]]);
    let mut running = running.start();
    running.wait_for("Deleting 100 keys...");
    for key in ["permissions:1:documents", "permissions:2:documents", "permissions:3:documents", "nothing"] {
        place.all(&format!("GET {key}")).await;
    }
    let ended = running.end();
    ended.exits(0).log_contains(&["Scan batch size: 50", "cleaned: 100, hitRate: '75.0%', avgTTL: '3"]);
    // The alert is that of the issue, which is published once.
    let page = &ended.stdout;
    assert!(page.contains("`stale-keys` is firing: see the issue about it (since"), "{ended}");
    assert_eq!(page.matches("keys without TTL").count(), 1, "{ended}");
    // A dry run announces no deletion; nothing stale is no issue.
    let ended = run(&place, &["--dry-run", text[0], text[1]]).run();
    ended.exits(0).log_contains(&["Total permission keys found: 900", "cleaned: 0"]);
    assert!(!ended.stderr.contains("Deleting") && !ended.stderr.contains("Issues"), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_print() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let quiet = run(&place, &["-q", "--dry-run"]).run();
    assert!(quiet.exits(0).stderr.is_empty() && quiet.stdout.contains("dry run"), "{quiet}");
    let json = run(&place, &["--json", "-v", "--dry-run"]).run();
    assert_eq!(json.exits(0).result("completed")["staleTTLKeys"], stale, "{json}");
    let both = run(&place, &["--json", "-q", "--dry-run"]).run();
    assert!(both.exits(0).stderr.is_empty() && both.json()["dryRun"] == true, "{both}");
    let plan = keysweep(&["plan", "--json", "-v", "--redis", place.url()]).run();
    let plan = (plan.exits(0).json(), plan);
    assert_eq!((&plan.0["candidates"], &plan.0["exact"]), (&stale.into(), &true.into()), "{}", plan.1);
    for more in [&["--dry-run"][..], &["--dry-run", "-vv"], &["--max-delete-percent", "1"]] {
        let args: Vec<&str> = ["--log-format", "json"].iter().chain(more).copied().collect();
        let logged = run(&place, &args).run();
        assert!(!logged.stderr.is_empty(), "{logged}");
        for line in logged.stderr.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{logged}"));
            assert!(line["level"].is_string() && line["fields"]["message"].is_string(), "{line}");
        }
        let logged: Vec<Value> =
            logged.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let closing = logged.iter().map(|line| &line["fields"]).find(|fields| fields["cleaned"].is_number());
        if more[0] == "--dry-run" {
            let fields = closing.expect("the numbers of the run");
            assert_eq!(
                (&fields["scanned"], &fields["stale"], &fields["cleaned"]),
                (&300.into(), &stale.into(), &0.into())
            );
            assert_eq!(fields["job"], "permission-cache-cleanup");
            assert!(fields["run"].as_str().is_some_and(|run| run.len() == 36), "{fields}");
        }
    }
    assert_eq!(place.keys("permissions:*").await, 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_written_where_it_is_wanted() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(100).await;
    let directory = format!("{}/reports-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let written = run(&place, &["--dry-run", "--json", "--report-dir", &directory]).run();
    let id = written.exits(0).json()["runId"].as_str().expect("an id").to_owned();
    let page = |kind| format!("{directory}/permission-cache-cleanup/{id}.{kind}");
    written.log_contains(&[&format!("Report: {}", page("html"))]);
    for kind in ["html", "md"] {
        let text = std::fs::read_to_string(page(kind)).expect("it is there");
        assert!(text.contains(&id) && text.contains("dry run"), "{text}");
    }
    let none = run(&place, &["--dry-run", "--report-dir", &directory])
        .env("KEYSWEEP_GENERATE_REPORT", "false")
        .run();
    assert!(!none.exits(0).stderr.contains("Report:"), "{none}");
    assert_eq!(
        std::fs::read_dir(format!("{directory}/permission-cache-cleanup")).expect("a folder").count(),
        2
    );
    // A directory that cannot be made is a warning, and changes nothing about the run.
    let barred = run(&place, &["--dry-run", "--report-dir", &page("html")]).run();
    barred.exits(0).log_contains(&["the report was not written", &page("html")]);
    std::fs::remove_dir_all(directory).expect("it goes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_output_does_not_stop_the_work() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    for more in [&[][..], &["--json", "-vv"], &["--log-format", "json"]] {
        let stale = place.seed(300).await;
        assert_eq!(run(&place, more).run_unread().code(), Some(0), "{more:?}");
        assert_eq!(place.keys("permissions:*").await as u64, 300 - stale, "{more:?}");
    }
    assert_eq!(keysweep(&["plan", "--redis", place.url()]).run_unread().code(), Some(0));
    assert_eq!(run(&place, &["--no-such-flag"]).run_unread().code(), Some(2));
    assert_eq!(place.keys("keysweep:*").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(200).await;
    place.all("COPY permissions:0:documents permissions:0:documents DB 3").await;
    for n in 1..5 {
        let key = format!("permissions:{n}:documents");
        place.all(&format!("COPY {key} {key} DB 3")).await;
    }
    let ended = run(&place, &["--json", "--db", "3"]).run();
    let result = ended.exits(0).result("completed");
    assert_eq!((&result["scannedKeys"], &result["cleanedKeys"]), (&5.into(), &1.into()), "{ended}");
    assert_eq!(place.keys("permissions:*").await, 200);
    run(&place, &["--json", "--db", "99"]).run().fails(2, &["`--db 99`", "no such database"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_no_task_announces_no_numbers() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(1_000).await;
    let slow =
        ["--dry-run", "--full-scan", "--rate-limit", "20", "--max-runtime", "3s", "--log-format", "text"];
    let ended = run(&place, &slow).run();
    assert!(
        ended.stderr.contains("Starting cleanup process...") && !ended.stderr.contains("keys found"),
        "{ended}"
    );
    assert!(ended.stdout.contains("no part was read"), "{ended}");
    assert!(!ended.stdout.contains("never slowed down"), "{ended}");
}
