//! Variables that begin with `KEYSWEEP_`: a mistyped one is an error of every command that reads settings, and those
//! that Kubernetes sets are left alone.

use keysweep_servers::Server;

use crate::cli::deployment::TestDeployment;
use crate::cli::keysweep;

/// The variables that Kubernetes sets in a container for the Services `keysweep` and `keysweep-nats`.
const SERVICES: [(&str, &str); 10] = [
    ("KEYSWEEP_SERVICE_HOST", "10.96.7.1"),
    ("KEYSWEEP_SERVICE_PORT", "9464"),
    ("KEYSWEEP_SERVICE_PORT_METRICS", "9464"),
    ("KEYSWEEP_PORT", "tcp://10.96.7.1:9464"),
    ("KEYSWEEP_PORT_9464_TCP", "tcp://10.96.7.1:9464"),
    ("KEYSWEEP_PORT_9464_TCP_PROTO", "tcp"),
    ("KEYSWEEP_PORT_9464_TCP_PORT", "9464"),
    ("KEYSWEEP_PORT_9464_TCP_ADDR", "10.96.7.1"),
    ("KEYSWEEP_NATS_SERVICE_HOST", "10.96.7.2"),
    ("KEYSWEEP_NATS_PORT", "tcp://10.96.7.2:4222"),
];

#[test]
fn a_mistyped_variable_is_an_error_of_every_command_that_reads_settings() {
    let commands: [&[&str]; 16] = [
        &["run", "--yes"],
        &["plan"],
        &["restore", "/nowhere"],
        &["config", "show"],
        &["stats"],
        &["serve"],
        &["worker"],
        &["scanner"],
        &["reaper"],
        &["reporter"],
        &["runs", "list"],
        &["runs", "show", "01900000-0000-7000-8000-000000000000"],
        &["runs", "cancel", "01900000-0000-7000-8000-000000000000"],
        &["events"],
        &["nats", "setup"],
        &["drive", "01900000-0000-7000-8000-000000000000", "1"],
    ];
    for command in commands {
        // Nothing listens there: a command that continued would report that.
        let args: Vec<&str> = command.iter().chain(&["--json"]).copied().collect();
        let ended = keysweep(&args).env("KEYSWEEP_DRYRUN", "1").env("REDIS_URL", "redis://127.0.0.1:1").run();
        ended.fails(2, &["unknown variable `KEYSWEEP_DRYRUN`; did you mean `KEYSWEEP_DRY_RUN`?"]);
    }
}

#[test]
fn commands_without_settings_ignore_wrong_variables() {
    for command in [&["completions", "bash"][..], &["man"], &["--help"], &["--version"]] {
        keysweep(command).env("KEYSWEEP_DRYRUN", "1").run().exits(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_variable_changes_nothing_and_what_kubernetes_sets_is_left_alone() {
    let server = Server::start(&[]).await.expect("a server");
    let place = TestDeployment::standalone(&server).await;
    place.seed(100).await;
    let run = |name: &str| {
        let args = ["run", "--yes", "--json", "--grace", "0s", "--redis", place.url(), "--state-dir", "none"];
        let command =
            SERVICES.iter().fold(keysweep(&args), |command, (name, value)| command.env(name, value));
        command.env(name, "1").run()
    };
    run("KEYSWEEP_DRYRUN").fails(2, &["KEYSWEEP_DRY_RUN"]);
    assert_eq!(run("KEYSWEEP_DRY_RUN").exits(0).result("completed")["staleTTLKeys"], 10);
    // All of them were still there.
    assert_eq!(run("KEYSWEEP_FULL_SCAN").exits(0).result("completed")["cleanedKeys"], 10);
}
