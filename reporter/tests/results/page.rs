//! Reports of all kinds of results: their content, their text for missing figures, and the escaping of external text.

use keysweep_model::memory::ByteEstimate;
use keysweep_model::result::{CleanupResult, Status};
use reporter::printer::{html, markdown, terminal};

use crate::kit::{HOSTILE, empty, example, hostile, huge, troubled};

fn all() -> Vec<(&'static str, CleanupResult)> {
    let dry = CleanupResult { dry_run: true, action: "report".to_owned(), ..example() };
    vec![
        ("example", example()),
        ("empty", empty()),
        ("dry run", dry),
        ("partial", troubled(Status::Partial)),
        ("failed", troubled(Status::Failed)),
        ("cancelled", troubled(Status::Cancelled)),
        ("huge", huge(1_000)),
        ("hostile", hostile()),
    ]
}

/// The text between tags.
fn words(page: &str) -> String {
    let (_, body) = page.split_once("<body>").expect("a body");
    let mut out = String::new();
    for part in body.split('<') {
        out.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        out.push(' ');
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check_says(result: &CleanupResult, texts: &[&str]) {
    let (html, markdown) =
        (words(&html::page(result, "PermissionCacheCleanup")), markdown::page(result, "Perm"));
    for text in texts {
        assert!(html.contains(text), "`{text}` is not in\n{html}");
        let plain = markdown.replace("**", "").replace('\\', "");
        assert!(plain.contains(text), "`{text}` is not in\n{plain}");
    }
}

#[test]
fn the_example_is_rendered() {
    check_says(
        &example(),
        &[
            "Completed",
            "Everything was read, and 21,747 keys were deleted.",
            "High cache error rate: 120412 errors vs 8402113 hits",
            "Low cache hit rate (68.4%)",
            "68.4%",
            "limit percent",
            "permissions:session:",
            "permission-cache-0003.cache.internal:6379",
            "7 min 32 s",
            "since 22 Nov 2026, 18:00 UTC",
            "All 16,384 hash slots were read.",
            "degraded",
            "48,210",
            "61.2% of the 2,000 keys with a user in the plan",
            "7,014",
            "1.0 GiB",
            "no traffic",
        ],
    );
}

#[test]
fn missing_figures_are_stated() {
    check_says(
        &empty(),
        &[
            "no key without TTL was found",
            "No matching key has a TTL.",
            "not measured",
            "The hit rate was not measured.",
            "No alert is firing.",
            "No issues were found.",
            "There are no recommendations.",
            "No prefixes were counted.",
            "No node was read.",
            "The health of the servers was not checked.",
            "Not searched: aggressive cleanup is off",
            "The whole database was read.",
        ],
    );
    let page = words(&html::page(&empty(), "Cleanup"));
    assert!(!page.contains("0.0%") && !page.contains("unhealthy"), "{page}");
}

#[test]
fn problems_are_at_the_top() {
    check_says(
        &troubled(Status::Partial),
        &[
            "Partial",
            "Not everything was read, and not every candidate was processed",
            "13,264 of 16,384 hash slots were read.",
            "in the part that was read",
            "0-77, 200-277",
            "node unreachable",
            "permissions:warming",
            "2 of 2",
        ],
    );
    check_says(&troubled(Status::Failed), &["Failed", "The run failed (see the issues)"]);
    check_says(&troubled(Status::Cancelled), &["Cancelled", "The run was cancelled"]);
    let dry = CleanupResult { dry_run: true, action: "report".to_owned(), ..example() };
    check_says(&dry, &["dry run", "nothing was changed"]);
}

#[test]
fn memory_has_bounds() {
    let mut result = example();
    let freed = |low, high| ByteEstimate { estimate: 3 << 20, low, high, samples: 100 };
    result.freed_bytes = Some(freed(2 << 20, None));
    let by_memory = &mut result.metrics.prefixes.by_memory;
    (by_memory.rows[0].low, by_memory.rows[0].high) = (by_memory.rows[0].weight - (100 << 20), None);
    by_memory.rows[1].high = Some(by_memory.rows[1].weight + (100 << 20));
    (by_memory.low, by_memory.high) = (1 << 30, None);
    check_says(
        &result,
        &[
            "3.0 MiB",
            "of memory, at least 2.0 MiB",
            "1.0 GiB, at least 952.0 MiB",
            "670.0 MiB, between 670.0 MiB and 770.0 MiB",
            "of 1.9 GiB, at least 1.0 GiB in all",
            "was measured; the rest is estimated from them",
        ],
    );
    result.freed_bytes = Some(freed(3 << 20, Some(3 << 20)));
    result.dry_run = true;
    check_says(&result, &["Would be freed", "By memory that would be freed"]);
    let page = terminal::page(&result, "Cleanup");
    assert!(page.contains("  Would be freed        3.0 MiB  of memory\n"), "{page}");
}

#[test]
fn no_page_contains_nan() {
    for (name, result) in all() {
        for page in [html::page(&result, "Cleanup"), markdown::page(&result, "Cleanup")] {
            let mut tokens = page.split(|letter: char| !letter.is_alphanumeric());
            let wrong = tokens.find(|token| ["NaN", "inf", "infinity", "null", "None"].contains(token));
            assert_eq!(wrong, None, "in the report of {name}");
        }
    }
}

#[test]
fn a_page_is_self_contained() {
    for (name, result) in all() {
        let page = html::page(&result, "Cleanup");
        for outside in ["<script", "<link rel=\"style", "src=", "@import", "url(", "https://", " onload"] {
            assert!(!page.contains(outside), "`{outside}` in the report of {name}");
        }
        // An XML namespace, not an address to load.
        assert_eq!(page.matches("http://").count(), page.matches("http://www.w3.org/2000/svg").count());
    }
}

/// The part of a line of Markdown outside of code spans.
fn outside_of_code(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(['\\', '`']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('\\') {
            let end = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let fence: String = rest.chars().take_while(|letter| *letter == '`').collect();
        rest = &rest[fence.len()..];
        let (_, after) = rest.split_once(&fence).expect("a code span ends on its line");
        rest = after;
    }
    out + rest
}

#[test]
fn external_text_is_escaped() {
    let page = html::page(&hostile(), HOSTILE);
    assert!(!page.contains("<script") && !page.contains("alert(\""), "it is escaped everywhere");
    assert!(page.matches("&#60;script&#62;").count() + page.matches("&lt;script&gt;").count() > 20);
    // All tags are closed, so no text ended one early.
    for tag in ["section", "table", "svg", "code", "li", "dl", "title", "p", "span", "details"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        let opened = page.match_indices(&open);
        let opened =
            opened.filter(|(at, _)| !page[at + open.len()..].starts_with(char::is_alphanumeric)).count();
        assert_eq!(opened, page.matches(&close).count(), "<{tag}>");
    }
    let page = markdown::page(&hostile(), HOSTILE);
    for line in page.lines() {
        let outside = outside_of_code(line);
        assert!(
            !outside.contains("<script") && !outside.contains("[x](") && !outside.contains("&lt;*"),
            "{line}"
        );
    }
}

#[test]
fn tables_of_markdown_are_well_formed() {
    for (name, result) in all() {
        let page = markdown::page(&result, "Cleanup");
        let (mut head, mut tables) = (None, 0);
        for line in page.lines() {
            if !line.starts_with('|') {
                head = None;
                continue;
            }
            assert!(line.ends_with(" |"), "{line}");
            let cells = line.replace("\\\\", "").replace("\\|", "").matches('|').count();
            if head.is_none() {
                tables += 1;
            }
            assert_eq!(*head.get_or_insert(cells), cells, "in the report of {name}: {line}");
        }
        assert!(tables >= 2, "{name}: {page}");
    }
}

#[test]
fn a_thousand_nodes_are_collapsed() {
    let page = html::page(&huge(1_000), "Cleanup");
    assert!(page.contains("<summary>The other 990 nodes</summary>"));
    assert!(page.contains("1,000 nodes, those with the most keys without TTL first"));
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    let page = markdown::page(&huge(1_000), "Cleanup");
    assert!(page.contains("… and 950 more nodes."), "{page}");
}
