//! Checks of the documents: links and anchors resolve, cited files and tests exist, and the book lists every page.
//! Links to other hosts are not followed.
#![cfg(test)]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use tree::{files, root};

/// Folders with pages, besides the root itself.
const FOLDERS: [&str; 2] = ["docs", "deploy"];

/// All pages: path and text.
fn pages() -> BTreeMap<PathBuf, String> {
    let root = root();
    let in_root = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        in_root.filter(|path| path.is_file() && path.extension().is_some_and(|e| e == "md")).collect();
    for folder in FOLDERS {
        paths.extend(files(&root.join(folder), "md"));
    }
    assert!(paths.len() > 15, "{} pages: this test looks in the wrong place", paths.len());
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// The lines of a page that are not inside fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The anchor that GitHub and mdBook give to a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// All anchors of a page. Further headings with the same text get `-1`, `-2` and so on.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).filter(|line| line.trim_start_matches('#').starts_with(' '));
    let headings = headings.filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let anchor = anchor(&text_of(line.trim_start_matches('#')));
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

/// A heading with its links replaced by their texts.
fn text_of(heading: &str) -> String {
    let mut text = heading.to_owned();
    while let Some((start, end)) = text.find("](").and_then(|start| Some((start, text[start..].find(')')?))) {
        text.replace_range(start..=start + end, "");
    }
    text.replace('[', "")
}

/// A line without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The targets of inline links in a page.
fn links(text: &str) -> Vec<String> {
    // Links may span two lines, so they are searched in the whole prose.
    let prose: Vec<&str> = prose(text).collect();
    let prose = without_code(&prose.join("\n"));
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.map(str::to_owned).collect()
}

/// `path` without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn links_and_anchors_resolve() {
    let pages = pages();
    let anchors: BTreeMap<&PathBuf, BTreeSet<String>> =
        pages.iter().map(|(path, text)| (path, anchors(text))).collect();
    let (mut seen, mut broken) = (0, Vec::new());
    for (page, text) in &pages {
        for link in
            links(text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        {
            seen += 1;
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if path.is_empty() { page.clone() } else { normal(&page.parent().unwrap().join(path)) };
            let anchored =
                || fragment.is_empty() || anchors.get(&target).is_some_and(|known| known.contains(fragment));
            if !target.exists() || !anchored() {
                broken.push(format!("{}: `{link}`", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(seen > 30, "{seen} links: this test looks in the wrong place");
}

/// The change log cites files by their former names and is excluded.
#[test]
fn cited_source_files_exist() {
    let root = root();
    for (page, text) in pages() {
        if page.ends_with("CHANGELOG.md") {
            continue;
        }
        for path in text.split('`').filter(|word| word.ends_with(".rs") && word.contains('/')) {
            // Recipes contain placeholders, and design pages cite a crate's files relative to the crate.
            let exact = !path.contains(['{', '*', '<', ' ']);
            assert!(
                !exact || root.join(path).exists(),
                "{} names `{path}`, which does not exist",
                page.display()
            );
        }
    }
}

/// What a row of the threat model cites: files and folders, and names of tests, of which the last may end in `*`.
fn cited(cell: &str) -> (Vec<PathBuf>, Vec<&str>) {
    let root = root();
    let words = cell.split('`').skip(1).step_by(2);
    let (paths, tests): (Vec<&str>, Vec<&str>) =
        words.filter(|word| !word.starts_with("cargo ")).partition(|word| word.contains(['/', '.']));
    (paths.into_iter().map(|path| root.join(path)).collect(), tests)
}

/// All sources, with the lines of a literal joined.
fn sources() -> String {
    let folders = ["coordinator", "reaper", "reporter", "scanner", "shared"];
    let paths = folders.iter().flat_map(|folder| files(&root().join(folder), "rs"));
    let text: String = paths.map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut parts = text.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |joined, part| joined + part.trim_start())
}

#[test]
fn messages_in_troubleshooting_exist() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let sections = page.split("\n## ").filter(|section| section.starts_with("Exit code"));
    let rows = sections.flat_map(str::lines).filter(|line| line.starts_with("| `"));
    let (sources, mut seen) = (sources(), 0);
    for row in rows {
        let cell = row.split(" | ").next().unwrap();
        for message in cell.split('`').skip(1).step_by(2) {
            seen += 1;
            assert!(sources.contains(message), "no source has the message `{message}`: {row}");
        }
    }
    assert!(seen > 40, "{seen} messages: this test looks in the wrong place");
}

#[test]
fn the_threat_model_cites_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let (_, rows) = page.split_once("## Guarantees at each boundary").unwrap();
    let rows = rows.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| att"));
    let mut seen = 0;
    for row in rows {
        let cell = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let (paths, tests) = cited(cell);
        assert!(!paths.is_empty(), "a row cites no test: {row}");
        let mut sources = Vec::new();
        for path in paths {
            assert!(path.exists(), "the threat model cites `{}`, which does not exist", path.display());
            if path.is_file() { sources.push(path) } else { sources.extend(files(&path, "rs")) }
        }
        let text: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        for test in tests {
            seen += 1;
            let start = test.trim_end_matches('*');
            let found = text.contains(&format!("fn {start}{}", if test == start { "(" } else { "" }));
            assert!(found, "the threat model cites the test `{test}`, which is not in the files of its row");
        }
    }
    assert!(seen > 40, "{seen} tests are cited: this test looks in the wrong place");
}

#[test]
fn the_configuration_page_is_that_of_the_settings_table() {
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let current =
        keysweep_config::update_reference(&page).expect("the page has the line where its tables begin");
    assert!(page == current, "docs/configuration.md is out of date: run `cargo xtask docs --configuration`");
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let documents = coordinator::schemas::documents().expect("JSON");
    for (name, text) in &documents {
        let written = fs::read_to_string(root().join("docs").join(name)).unwrap_or_default();
        assert!(written == *text, "docs/{name} is out of date: run `cargo xtask docs --schemas`");
    }
    let listed = documents.iter().filter(|(name, _)| name.starts_with("schemas/")).count();
    assert_eq!(files(&root().join("docs/schemas"), "json").len(), listed, "no other files are there");
}

#[test]
fn the_book_lists_every_page() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> = links(&summary).iter().map(|link| normal(&docs.join(link))).collect();
    for page in pages().keys().filter(|page| !page.ends_with("SUMMARY.md")) {
        assert!(listed.contains(page), "`docs/SUMMARY.md` does not list {}", page.display());
    }
}

/// The book contains the pages and the other files of these folders, and no folder as such.
#[test]
fn links_lead_to_what_is_in_the_book() {
    for (page, text) in pages() {
        for link in links(&text).iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let path = link.split('#').next().unwrap();
            let target = normal(&page.parent().unwrap().join(path));
            let is_page = target.extension().is_some_and(|e| e == "md");
            let folder = FOLDERS.iter().any(|folder| target.starts_with(root().join(folder)));
            let found = path.is_empty() || is_page || folder && target.is_file();
            assert!(found, "{}: `{link}` leads out of the book", page.display());
        }
    }
}

#[test]
fn anchors_are_those_of_github() {
    let page = "# A `b_c`, d\n## [Link](x.md) & more\n```\n# no heading\n```\n## A `b_c`, d\n";
    let expected = ["a-b_c-d", "link--more", "a-b_c-d-1"].map(str::to_owned);
    assert_eq!(anchors(page), BTreeSet::from(expected));
}
