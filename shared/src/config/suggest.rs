//! The known key that an unknown one was probably meant to be.

/// The candidate with the smallest edit distance to `key`, if it is close enough to be a slip. Case,
/// `_` and `-` are ignored, so `scan_batch_size` finds `scanBatchSize`.
pub(super) fn nearest<'a>(key: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let key = plain(key);
    // A long unknown key resembles nothing, and the table below has its length as one side.
    if key.len() > 64 {
        return None;
    }
    let slips_max = key.len().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&key, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= slips_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn plain(key: &str) -> Vec<char> {
    key.chars().filter(|c| !"_-".contains(*c)).flat_map(char::to_lowercase).collect()
}

/// Levenshtein distance, one row of the table at a time.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            previous = replaced.min(previous + 1).min(diagonal + 1);
            *cell = previous;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, expected: Option<&str>) {
        let known = ["scanBatchSize", "deleteBatchSize", "grace", "db", "patterns"];
        assert_eq!(nearest(key, known), expected, "{key:?}");
    }

    #[test]
    fn finds_slips_and_nothing_else() {
        check("scan_batch_size", Some("scanBatchSize"));
        check("scanBatchsize", Some("scanBatchSize"));
        check("deleteBatch", Some("deleteBatchSize"));
        check("pattern", Some("patterns"));
        check("garce", Some("grace"));
        check("graces", Some("grace"));
        check("colour", None);
        check("", None);
        check(&"x".repeat(10_000), None);
    }

    #[test]
    fn distance_counts_edits() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
        assert_eq!(distance(&chars("abc"), &chars("")), 3);
    }
}
