//! The example programs in `examples/node/` and `examples/python/`: copied to a folder of the tests, next to the schemas that
//! they are typed from, installed and checked as their users do it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Keysweep, program};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What a developer may have built beside the sources.
const BUILT: [&str; 6] = ["node_modules", "dist", "generated", ".venv", ".mypy_cache", "__pycache__"];

/// The programs of a language.
pub struct Examples {
    folder: PathBuf,
    /// The words before the name of a program, and the extension after it.
    start: (&'static [&'static str], &'static str),
}

impl Examples {
    /// Installs, generates the types and compiles: `examples/node/`.
    pub fn node() -> Self {
        let folder = copied("node");
        installed(&folder, "package-lock.json", |folder| {
            step(folder, "the npm registry", &["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        });
        step(&folder, "nothing else", &["npm", "run", "build"]);
        Self { folder, start: (&["node"], "dist/NAME.js") }
    }

    /// Installs, generates the types and checks them: `examples/python/`.
    pub fn python() -> Self {
        let folder = copied("python");
        installed(&folder, "requirements-dev.txt", |folder| {
            step(
                folder,
                "the module venv (Debian: `apt-get install python3-venv`)",
                &["python3", "-m", "venv", "--clear", ".venv"],
            );
            // The programs need no more than the first.
            for file in ["requirements.txt", "requirements-dev.txt"] {
                let install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", file];
                step(folder, "PyPI", &[&[".venv/bin/python"][..], &install].concat());
            }
        });
        let path = "PATH=.venv/bin:$PATH";
        step(
            &folder,
            "nothing else",
            &["sh", "-c", &format!("{path} ./types.sh && {path} mypy --strict *.py")],
        );
        Self { folder, start: (&[".venv/bin/python"], "NAME.py") }
    }

    /// A program with its arguments.
    pub fn command(&self, name: &str, args: &[&str]) -> Keysweep {
        let file = self.start.1.replace("NAME", name);
        let words: Vec<&str> =
            self.start.0.iter().copied().chain([file.as_str()]).chain(args.iter().copied()).collect();
        program(&self.folder, &words)
    }
}

/// Copies the programs of a language to a folder of the tests; what was installed there stays.
fn copied(language: &str) -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples").join(language);
    for part in [format!("examples/{language}"), "docs/schemas".to_owned()] {
        copy_folder(&Path::new(ROOT).join(&part), &copy.join(&part));
    }
    fs::copy(Path::new(ROOT).join("docs/openapi.json"), copy.join("docs/openapi.json")).unwrap();
    copy.join("examples").join(language)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        match path.is_dir() {
            true if BUILT.iter().any(|built| *built == name) => {}
            true => copy_folder(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

/// Installs what `lock` lists, unless an earlier test has.
fn installed(folder: &Path, lock: &str, install: impl Fn(&Path)) {
    let (wanted, mark) = (fs::read(folder.join(lock)).unwrap(), folder.join("installed"));
    if fs::read(&mark).ok() != Some(wanted.clone()) {
        install(folder);
        fs::write(mark, wanted).unwrap();
    }
}

/// Runs one step of the installation; `needs` is what it needs besides its program.
fn step(folder: &Path, needs: &str, words: &[&str]) {
    let line = words.join(" ");
    let output = Command::new(words[0]).args(&words[1..]).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("`{}` cannot be started: {e}; install it", words[0]));
    let [said, errors] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(
        output.status.success(),
        "the examples were NOT tested: `{line}` failed; it needs {needs}\n{said}\n{errors}"
    );
}
