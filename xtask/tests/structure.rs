//! Architecture rules that the compiler does not check: what a crate must not reach through others, purpose comments,
//! and limits for file and function length.
#![cfg(test)]

mod tree;
mod workspace;

use std::collections::BTreeSet;
use std::fs;

use keysweep_model::invariants::Invariant;
use tree::{files, root};
use workspace::crates;

const STAGES: [&str; 3] = ["scanner", "reaper", "reporter"];

/// The maximum length of a file in lines, tests included.
const LINES_MAX: usize = 400;

/// The maximum length of a function in lines, except for [`LONG_FUNCTIONS`].
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that may be longer, with their maximum lengths: they list all fields of a type. Do not add functions or
/// raise limits.
const LONG_FUNCTIONS: [(&str, &str, usize); 2] = [
    (
        "coordinator/cli/tests/commands/secrets.rs",
        "no_command_shows_a_secret_and_nothing_that_is_kept_holds_one",
        80,
    ),
    ("reporter/tests/results/kit/parts.rs", "metrics", 79),
];

/// What reads a clock or makes something random besides the seams of the simulation (`docs/design/simulation.md`): tokio's
/// clock, `keysweep_model::time`, `keysweep_model::ids` and `fastrand`.
const OTHER_CLOCKS_AND_RANDOMNESS: [&str; 9] = [
    "Timestamp::now(",
    "SystemTime::now(",
    "Zoned::now(",
    "std::time::Instant",
    "thread::sleep",
    "Uuid::now_v7(",
    "Uuid::new_v4(",
    "SystemRandom",
    "getrandom",
];

/// Where they are used all the same, and why that changes no run.
const OUTSIDE_OF_SIMULATIONS: [(&str, &str); 11] = [
    ("coordinator/cli/", "what a command shows of its own process"),
    ("coordinator/src/serve/", "answers and logins of the HTTP service"),
    ("shared/files/src/folder.rs", "names of unfinished files"),
    ("shared/http/src/token.rs", "secrets, which must be unpredictable"),
    ("shared/model/src/ids.rs", "the seam of ids"),
    ("shared/model/src/time.rs", "the seam of the clock"),
    ("shared/nats/src/", "the client of a real broker"),
    ("shared/redis/src/health.rs", "how long a request took, for people"),
    ("shared/signing/src/lib.rs", "secrets, which must be unpredictable"),
    ("shared/state/src/open.rs", "the lock of a real file"),
    ("shared/telemetry/src/spans.rs", "times of traces, which no run reads"),
];

/// All source files with their text, by path below the root.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let folders: BTreeSet<String> =
        crates().iter().filter_map(|folder| Some(folder.split('/').next()?.to_owned())).collect();
    let files = folders.iter().flat_map(|folder| files(&root.join(folder), "rs"));
    let named = files.map(|path| {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap())
    });
    named.filter(|(name, _)| name != "xtask/tests/structure.rs").collect()
}

/// Lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

/// The crates of the workspace that the crate in `folder` depends on, tests aside.
fn dependencies(folder: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let members = crates();
    let names = manifest.get("dependencies").and_then(|table| table.as_table()).into_iter().flatten();
    let folder_of = |name: &String| match name.strip_prefix("keysweep-") {
        Some(part) => format!("shared/{part}"),
        None => name.clone(),
    };
    names.map(|(name, _)| folder_of(name)).filter(|folder| members.contains(folder)).collect()
}

/// Everything that the crate in `folder` depends on, directly or not.
fn all_dependencies(folder: &str) -> BTreeSet<String> {
    let (mut all, mut open) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        open.extend(dependencies(&next).into_iter().filter(|other| all.insert(other.clone())));
    }
    all
}

/// Manifests are the walls between crates. Cargo checks what a crate may use; this checks the two rules about what
/// must not come in through another crate.
#[test]
fn stages_know_no_broker_no_settings_and_no_other_stage() {
    for stage in STAGES.into_iter().chain(["shared/runtime"]) {
        let all = all_dependencies(stage);
        assert!(all.contains("shared/model"), "`{stage}`: this test looks in the wrong place");
        let foreign = all.iter().filter(|other| {
            ["shared/nats", "shared/state", "shared/config", "shared/servers"].contains(&other.as_str())
                || !other.starts_with("shared/")
        });
        let foreign: Vec<_> = foreign.collect();
        assert!(foreign.is_empty(), "`{stage}` must not depend on {foreign:?}");
    }
    let model = all_dependencies("shared/model");
    assert!(model.is_empty(), "`shared/model` must not depend on {model:?}");
}

/// Connections are counted by server, so that the number a run uses is known; these connections are not counted.
#[test]
fn only_tests_and_test_servers_use_uncounted_connections() {
    let places = ["shared/servers/", "shared/testkit/", "xtask/src/", "shared/redis/src/connect_options.rs"];
    for (file, text) in sources() {
        let allowed = places.iter().any(|place| file.starts_with(place)) || file.contains("/tests/");
        let apart =
            code(&text).any(|line| line.contains("connect_apart(") || line.contains("connect_node_apart("));
        assert!(allowed || !apart, "`{file}` must not open uncounted connections");
    }
}

#[test]
fn every_file_states_its_purpose_and_is_short() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "`{file}` does not begin with its purpose");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "`{file}` has {lines} lines; split it by idea");
    }
}

/// The functions of a file formatted by rustfmt, each with its number of lines.
fn functions(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = (0..lines.len()).filter_map({
        let lines = lines.clone();
        move |at| {
            let (before, rest) = lines[at].split_once("fn ")?;
            let indent = &before[..before.len() - before.trim_start().len()];
            let words = before.split_whitespace().all(|word| {
                ["pub", "async", "const", "unsafe"].contains(&word)
                    || word.starts_with("pub(")
                    || word == "super)"
            });
            let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
            (words && !name.is_empty()).then_some((at, indent, name))
        }
    });
    starts.map(move |(at, indent, name)| {
        // A declaration in a trait has no body.
        let is_end = |line: &&str| {
            line.strip_prefix(indent)
                .is_some_and(|rest| rest == "}" || rest.starts_with(") ->") && rest.ends_with(';'))
        };
        let one_line = lines[at].ends_with(['}', ';']);
        let more = if one_line { 0 } else { lines[at..].iter().position(is_end).unwrap_or(0) };
        (name, more + 1)
    })
}

#[test]
fn functions_are_short() {
    let (mut seen, mut long) = (0, Vec::new());
    for (file, text) in sources() {
        for (name, lines) in functions(&text) {
            seen += 1;
            let known =
                LONG_FUNCTIONS.iter().find(|(path, function, _)| (*path, *function) == (&*file, name));
            let most = known.map_or(FUNCTION_LINES_MAX, |(.., lines)| *lines);
            assert!(lines <= most, "`{name}` in `{file}` has {lines} lines; {most} are allowed, split it");
            long.extend(
                known.filter(|_| lines > FUNCTION_LINES_MAX).map(|(path, function, _)| (*path, *function)),
            );
        }
    }
    assert!(seen > 1_000, "{seen} functions: this test looks in the wrong place");
    for (path, function, _) in LONG_FUNCTIONS {
        assert!(
            long.contains(&(path, function)),
            "`{function}` in `{path}` is short now: remove it from the list"
        );
    }
}

/// A test binary is a folder with a `main.rs`: tests in a file that it does not list would silently not run.
#[test]
fn every_file_in_a_test_folder_is_a_module() {
    let sources = sources();
    let mains = sources.iter().filter_map(|(file, text)| Some((file.strip_suffix("main.rs")?, text)));
    let mut seen = 0;
    for (folder, main) in mains.filter(|(folder, _)| folder.contains("/tests/")) {
        let files = sources.iter().filter_map(|(file, _)| file.strip_prefix(folder));
        for name in files.filter(|name| !name.contains('/')) {
            let module = name.trim_end_matches(".rs");
            let is_part = name == "main.rs" || code(main).any(|line| line == format!("mod {module};"));
            assert!(is_part, "`{folder}main.rs` does not contain `mod {module};`");
            seen += 1;
        }
    }
    assert!(seen > 0, "there are no such folders: this test looks in the wrong place");
}

#[test]
fn the_architecture_page_lists_every_folder_and_invariant() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for folder in crates() {
        assert!(page.contains(&format!("`{folder}/`")), "ARCHITECTURE.md does not name `{folder}/`");
    }
    for &invariant in Invariant::ALL {
        let line = format!("**Invariant {}, {invariant:?}:**", invariant as u8);
        assert!(page.contains(&line), "ARCHITECTURE.md does not say `{line}`");
    }
}

/// A route is in the list of operations, which the description of the API is made from, or the description names it; the
/// files of the page are for browsers only.
#[test]
fn every_http_route_is_described() {
    let document = fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let of_page = |path: &str| path == "/" || path.ends_with(".js") || path.ends_with(".css");
    let mut seen = 0;
    for (file, text) in sources() {
        if !file.starts_with("coordinator/") || file.contains("/tests/") {
            continue;
        }
        for route in text.split(".route(").skip(1) {
            let route = route.trim_start();
            let Some(path) = route.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                let listed = ["operation.path()", "file.path"].iter().any(|list| route.starts_with(list));
                assert!(listed, "`{file}` has a route that is in no list");
                continue;
            };
            let is_described = document["paths"].get(path).is_some();
            assert!(is_described || of_page(path), "`{file}`: `{path}` is not in `docs/openapi.json`");
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} routes: this test looks in the wrong place");
}

/// All that happens in a simulated world follows from its seed.
#[test]
fn clocks_and_randomness_come_through_the_seams() {
    let is_product = |file: &str| {
        let is_tested = file.contains("/tests/")
            || file.contains("/examples/")
            || file.ends_with("tests.rs")
            || file.ends_with("fuzz.rs");
        let parts = ["xtask/", "examples/", "shared/testkit/", "shared/servers/"];
        !is_tested && !parts.iter().any(|part| file.starts_with(part))
    };
    let mut used = BTreeSet::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| is_product(file)) {
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let found = OTHER_CLOCKS_AND_RANDOMNESS
            .into_iter()
            .find(|other| code(product).any(|line| line.contains(other)));
        let Some(found) = found else { continue };
        let allowed = OUTSIDE_OF_SIMULATIONS.into_iter().find(|(place, _)| file.starts_with(place));
        let (place, _) =
            allowed.unwrap_or_else(|| panic!("`{file}` uses `{found}`: see `docs/design/simulation.md`"));
        used.insert(place);
    }
    for (place, _) in OUTSIDE_OF_SIMULATIONS {
        assert!(used.contains(place), "`{place}` needs no exception any more");
    }
}

/// An unknown `KEYSWEEP_` variable is an error of every command, so the variables of the tests must be listed.
#[test]
fn every_environment_variable_is_known() {
    let settings = keysweep_config::SETTINGS.iter().map(|spec| spec.env);
    let known: Vec<&str> = settings.chain(keysweep_config::DEVELOPERS_VARIABLES).collect();
    let mut seen = 0;
    for (file, text) in sources() {
        for reader in ["var(\"", "var_os(\"", "number(\"", ".env(\"", "variable: \""] {
            let reads = text.split(reader).skip(1).filter_map(|rest| rest.split('"').next());
            for name in reads.filter(|name| name.starts_with("KEYSWEEP_") && !file.ends_with("/variables.rs"))
            {
                assert!(
                    known.contains(&name),
                    "`{file}` reads `{name}`, which `shared/config/src` does not know"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "no variable is read: this test looks in the wrong place");
}
