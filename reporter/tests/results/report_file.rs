//! Reports in a directory: both pages are written completely, and the newest hundred are kept.

use std::fs;
use std::path::{Path, PathBuf};

use keysweep_model::ids::RunId;
use reporter::report_file::write;

fn empty_directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // It exists if this test ran before.
    let _ = fs::remove_dir_all(&directory);
    directory
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it exists");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn both_pages_are_written_where_the_path_says() {
    let directory = empty_directory("reports-both");
    let result = crate::kit::example();
    let path = write(&directory, &result, "PermissionCacheCleanup").expect("it is written");
    let folder = directory.join("permission-cache-cleanup");
    assert_eq!(path, folder.join(format!("{}.html", result.run_id)));
    assert_eq!(names(&folder), [format!("{}.html", result.run_id), format!("{}.md", result.run_id)]);
    let page = fs::read_to_string(path).expect("it is there");
    assert!(page.ends_with("</html>\n") || page.ends_with("</html>"), "it is whole");
    write(&directory, &result, "Again").expect("the same run may be written again");
    assert_eq!(names(&folder).len(), 2);
}

#[test]
fn the_newest_hundred_and_other_files_are_kept() {
    let directory = empty_directory("reports-pruned");
    let folder = directory.join("permission-cache-cleanup");
    fs::create_dir_all(&folder).expect("a directory");
    fs::write(folder.join("notes.md"), "mine").expect("a file");
    let old: Vec<RunId> = (0..103).map(|_| RunId::new()).collect();
    for run in &old {
        fs::write(folder.join(format!("{run}.html")), "old").expect("a file");
        fs::write(folder.join(format!("{run}.md")), "old").expect("a file");
    }
    fs::write(folder.join(format!("{}.html.4711.tmp", old[0])), "torn").expect("a file");
    let mut result = crate::kit::example();
    result.run_id = RunId::new();
    write(&directory, &result, "Cleanup").expect("it is written");
    let names = names(&folder);
    assert_eq!(names.len(), 201, "{names:?}");
    assert!(names.contains(&"notes.md".to_owned()));
    for gone in &old[..4] {
        assert!(!names.iter().any(|name| name.starts_with(&gone.to_string())), "{gone}");
    }
    assert!(names.contains(&format!("{}.md", old[4])));
}

#[test]
fn an_error_names_the_path() {
    let directory = empty_directory("reports-barred");
    fs::create_dir_all(directory.parent().expect("a parent")).expect("a directory");
    fs::write(&directory, "a file where the directory should be").expect("a file");
    let error =
        write(&directory, &crate::kit::example(), "Cleanup").expect_err("it cannot be written").to_string();
    assert!(error.contains("the report was not written") && error.contains("reports-barred"), "{error}");
    fs::remove_file(directory).expect("it goes");
}
