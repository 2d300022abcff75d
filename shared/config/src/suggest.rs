//! Suggests a known key for an unknown one.

use strsim::levenshtein;

/// The candidate with the smallest edit distance to `key`, if it is small enough. Case, `_` and `-` are ignored, so
/// `deleteBatchSize` finds `delete_batch_size`.
pub(super) fn nearest<'a>(key: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let key = plain(key);
    // A long unknown key is similar to none, and the distance takes time proportional to its length.
    if key.len() > 64 {
        return None;
    }
    let slips_max = key.len().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (levenshtein(&key, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= slips_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn plain(key: &str) -> String {
    key.chars().filter(|c| !"_-".contains(*c)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, expected: Option<&str>) {
        let known = ["scan_batch_size", "delete_batch_size", "grace", "db", "patterns"];
        assert_eq!(nearest(key, known), expected, "{key:?}");
    }

    #[test]
    fn finds_slips_and_nothing_else() {
        check("scan_batch_size", Some("scan_batch_size"));
        check("scanBatchsize", Some("scan_batch_size"));
        check("deleteBatch", Some("delete_batch_size"));
        check("pattern", Some("patterns"));
        check("garce", Some("grace"));
        check("graces", Some("grace"));
        check("colour", None);
        check("", None);
        check(&"x".repeat(10_000), None);
    }
}
