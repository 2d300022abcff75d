//! Reports in a browser, on phones and desktops, light and dark: no clipped content, sufficient contrast, no console
//! messages. Without Chromium, the test reports that it is skipped. The pages and screenshots stay in Cargo's directory
//! for temporary files, `report-pages`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keysweep_model::result::{CleanupResult, Status};
use reporter::printer::html;
use serde_json::{Value, json};

use crate::kit::{empty, example, hostile, huge, troubled};

/// The checks in the page; they write their findings as JSON into an element.
const CHECKS: &str = include_str!("kit/checks.js");

/// A narrow phone, a common phone, a desktop: the widths of the frames, independent of the window.
const WIDTHS: [u32; 3] = [380, 400, 1280];

/// Longer than Chromium takes for any page here on a busy machine: only a hang reaches it.
const HANG: Duration = Duration::from_secs(120);

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

/// Written past the capture of `cargo test`, which hides the output of passing tests.
fn skipped() {
    let _ = writeln!(io::stderr(), "skipped: Chromium is not installed, so the reports were not checked");
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-pages");
    fs::create_dir_all(&folder).expect("a directory");
    folder
}

/// Chromium's exit status, its output and its log.
struct Ended {
    success: bool,
    stdout: String,
    log: String,
}

impl Ended {
    #[track_caller]
    fn complains_of_nothing(&self) {
        let complaints: Vec<&str> = self.log.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

/// Runs Chromium with `args` on `page`, and kills it if it hangs.
fn run(program: &Path, dark: bool, args: &[String], page: &Path) -> Ended {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    // Concurrent instances must not share a profile.
    let place = folder().join(format!("chromium-{}-{number}", std::process::id()));
    fs::create_dir_all(&place).expect("a directory");
    let file = |name: &str| fs::File::create(place.join(name)).expect("a file");
    let mut child = Command::new(program)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ])
        .args(["--enable-logging=stderr", "--disable-background-networking", "--no-first-run"])
        .arg(format!("--user-data-dir={}", place.join("profile").display()))
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
        .args(args)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn()
        .expect("Chromium starts");
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if begin.elapsed() > HANG {
            child.kill().expect("a child can be killed");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let read = |name| String::from_utf8_lossy(&fs::read(place.join(name)).expect("written")).into_owned();
    let ended = Ended { success: status.success(), stdout: read("stdout"), log: read("stderr") };
    // A profile that Chromium still writes to is removed with Cargo's directory.
    let _ = fs::remove_dir_all(&place);
    ended
}

/// A page with every page in a frame of each width, because a window is never narrower than 500 pixels. Frames with
/// inline content load before the page finishes loading, so their results are available in time.
fn framed(pages: &[(&str, CleanupResult)]) -> String {
    let mut frames = String::new();
    for (name, result) in pages {
        // The page forbids scripts; the test permits its own.
        let page = html::page(result, "PermissionCacheCleanup");
        let page = page.replace("style-src", "script-src 'unsafe-inline'; style-src");
        let page = page.replace("</body>", &format!("<script>{CHECKS}</script></body>"));
        let page = page.replace('&', "&amp;").replace('"', "&quot;");
        for width in WIDTHS {
            frames.push_str(&format!(
                r#"<iframe name="{name} at {width}" srcdoc="{page}" width="{width}" height="900" style="border:0"></iframe>"#
            ));
        }
    }
    format!(
        r#"<!doctype html><html><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
        <script>
        const found = [];
        function report(answer) {{
            found.push(answer);
            document.getElementById("found").textContent = JSON.stringify(found);
        }}
        </script></head><body><pre id="found"></pre>{frames}</body></html>"#
    )
}

fn all() -> [(&'static str, CleanupResult); 6] {
    [
        ("example", example()),
        ("empty", empty()),
        ("partial", troubled(Status::Partial)),
        ("failed", CleanupResult { dry_run: true, ..troubled(Status::Failed) }),
        ("huge", huge(1_000)),
        ("hostile", hostile()),
    ]
}

#[test]
fn pages_are_neither_clipped_nor_hard_to_read() {
    let Some(program) = chromium() else { return skipped() };
    let pages = all();
    let path = folder().join("frames.html");
    fs::write(&path, framed(&pages)).expect("a file");
    for dark in [false, true] {
        let ended = run(&program, dark, &["--dump-dom".to_owned()], &path);
        ended.complains_of_nothing();
        let (dom, log) = (&ended.stdout, &ended.log);
        let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
        let found = found.unwrap_or_else(|| panic!("no answer\n{log}"));
        let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let found: Vec<Value> =
            serde_json::from_str(&found).unwrap_or_else(|e| panic!("{e}: {found}\n{log}"));
        assert_eq!(found.len(), pages.len() * WIDTHS.len(), "every frame answers\n{log}");
        for page in &found {
            assert_eq!(page["dark"], dark, "{}", page["name"]);
        }
        let wrong: Vec<&Value> = found.iter().filter(|page| page["wrong"] != json!([])).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", if dark { "dark" } else { "light" });
    }
}

#[test]
fn an_unchanged_page_logs_nothing() {
    let Some(program) = chromium() else { return skipped() };
    for (name, result) in all() {
        let path = folder().join(format!("{name}.html"));
        fs::write(&path, html::page(&result, "PermissionCacheCleanup")).expect("a file");
        if !["example", "hostile"].contains(&name) {
            continue;
        }
        let picture = folder().join(format!("{name}.png"));
        let args = [format!("--screenshot={}", picture.display()), "--window-size=1280,3000".to_owned()];
        let ended = run(&program, false, &args, &path);
        assert!(ended.success && picture.is_file(), "{}", ended.log);
        ended.complains_of_nothing();
    }
}
