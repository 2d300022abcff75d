//! The output of a run before it changes anything: the action, the number of keys and their place; nothing where there
//! is nothing to do; and the existing namespaces where no key matches.

use std::fs;
use std::path::Path;

use keysweep_servers::{ClusterServers, Server};

use crate::cli::deployment::TestDeployment;
use crate::cli::{Ended, keysweep, on_terminal};

/// Starts a run on a terminal, and answers no.
async fn asked(url: &str, more: &[&str]) -> Ended {
    let args: Vec<&str> =
        ["run", "--state-dir", "none", "--redis", url].iter().chain(more).copied().collect();
    let mut running = on_terminal(&args).start();
    running.wait_for("? [y/N]").types("n\r");
    let ended = running.end();
    ended.exits(4);
    ended
}

#[track_caller]
fn shows(ended: &Ended, texts: &[&str]) {
    // A question may be longer than a line.
    let shown = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in texts {
        assert!(shown.contains(text), "`{text}` does not show\n{ended}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_confirmation_prompt_names_action_key_count_and_place() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(300).await;
    let (url, address) = (place.url(), place.url().trim_start_matches("redis://"));
    shows(&asked(url, &[]).await, &["Delete 30 keys (", &format!("KiB) on {address}? [y/N]")]);
    let expire = asked(url, &["--action", "expire", "--expire-ttl", "15m"]).await;
    shows(&expire, &[&format!("Give 30 keys a TTL of 15m on {address}? [y/N]")]);
    place.all("SELECT 5").await;
    place.all("SET permissions:1:x y").await;
    place.all("SELECT 0").await;
    shows(
        &asked(url, &["--db", "5", "--max-delete-percent", "100"]).await,
        &["Delete 1 key (", &format!(" B) in database 5 on {address}? [y/N]")],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_confirmation_prompt_of_a_cluster_names_its_nodes() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let place = TestDeployment::cluster(&cluster).await;
    place.seed(300).await;
    shows(
        &asked(place.url(), &[]).await,
        &["Delete 30 keys (", "KiB) on 3 nodes of the cluster at 127.0.0.1:", "? [y/N]"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_nothing_to_do_prompts_for_nothing() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    for n in 0..20 {
        place.all(&format!("SET permissions:{n}:x y EX 900")).await;
    }
    let run = |more: &[&str]| {
        let args = ["run", "--state-dir", "none", "--grace", "0s", "--redis", place.url()];
        keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).run()
    };
    let ended = run(&[]);
    ended.exits(0).log_contains(&["There is nothing to do", "`--yes` runs it all the same"]);
    assert!(ended.stdout.contains("Plan of job") && !ended.stderr.contains("[y/N]"), "{ended}");
    let plan = run(&["--json"]).exits(0).json();
    assert_eq!(
        (&plan["nothingToDo"], &plan["matchingKeys"], &plan["commonestNamespaces"]),
        (&true.into(), &20.into(), &serde_json::Value::Null)
    );
    assert_eq!(run(&["--json", "--yes"]).exits(0).result("completed")["skippedKeys"], 20);
    // A protected stale key needs no action.
    place.all("SET permissions:system:x y").await;
    run(&["--protect", "permissions:system:*"]).exits(0).log_contains(&["There is nothing to do"]);
    run(&[]).exits(4).log_contains(&["there is no terminal to confirm on"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_matching_keys_lists_existing_namespaces() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let args = ["--redis", place.url(), "--state-dir", "none"];
    let run = |more: &[&str]| keysweep(&more.iter().chain(&args).copied().collect::<Vec<_>>()).run();
    run(&["plan"]).exits(0);
    let empty = run(&["run"]);
    assert!(
        empty.exits(0).stdout.contains("No key matches `permissions:*`: database 0 is empty."),
        "{empty}"
    );
    for n in 0..60 {
        place.all(&format!("SET user:{n}:profile x")).await;
    }
    for n in 0..39 {
        place.all(&format!("SET session/{n} x")).await;
    }
    place.all("SET lonely x").await;
    let plan = run(&["plan"]);
    let shown = &plan.exits(0).stdout;
    for text in [
        "No key matches `permissions:*`. There are 100 keys. Their namespaces:",
        "  user:{id}:profile   60 %\n",
        "  session/{id}        39 %\n",
        "  lonely               1 %\n",
        "`--pattern 'user:*:profile'` would select the first of them.",
    ] {
        assert!(shown.contains(text), "`{text}`\n{plan}");
    }
    assert!(!shown.contains("would be deleted"), "{plan}");
    let json = run(&["plan", "--json"]).exits(0).json();
    let first = &json["commonestNamespaces"][0];
    assert_eq!(
        (&first["template"], &first["pattern"]),
        (&"user:{id}:profile".into(), &"user:*:profile".into())
    );
    assert_eq!((&first["percent"], &json["matchingKeys"]), (&60.0.into(), &0.into()));
    let ended = run(&["run"]);
    ended.exits(0).log_contains(&["There is nothing to do"]);
    // If a run continues all the same, its log has the same line.
    let ended = run(&["run", "--yes", "--json"]);
    ended.exits(0).log_contains(&[
        "No key matches `permissions:*`. There are 100 keys.",
        "user:{id}:profile (60 %), session/{id} (39 %)",
    ]);
    assert_eq!(ended.json()["scannedKeys"], 0);

    // The same with rules, to which `--pattern` does not belong.
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-match.toml");
    fs::write(&file, "[[job]]\nname = \"j\"\n[[job.rule]]\nmatch = [\"cart:*\"]\nttl = \"1h\"\n").unwrap();
    let ruled = |more: &[&str]| run(&[more, &["--config", file.to_str().unwrap()]].concat());
    let plan = ruled(&["plan"]);
    let shown = plan.exits(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "No key matches `cart:*`. There are 100 keys. Their namespaces:",
        "A rule with `match = [\"user:*:profile\"]` would select the first of them.",
        "`keysweep inspect --write-policy FILE` writes a rule for each namespace.",
    ] {
        assert!(shown.contains(text), "`{text}`\n{plan}");
    }
    assert_eq!(
        ruled(&["plan", "--json"]).exits(0).json()["commonestNamespaces"],
        json["commonestNamespaces"]
    );
    ruled(&["run"]).exits(0).log_contains(&["There is nothing to do"]);
}
