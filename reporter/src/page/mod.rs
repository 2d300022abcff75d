//! The report of a run as a self-contained page: no network access, no scripts. Pure functions of the result;
//! `report_file.rs` stores the pages. The content is in `view.rs` and the files of its sections and shared by both
//! formats; `page.html`, `page.css` and `markdown.rs` only define the presentation.

mod chart;
mod findings;
mod headline;
mod hits;
mod keys;
mod markdown;
mod servers;
mod table;
mod view;

use askama::Template;
use keysweep_model::result::CleanupResult;

use view::PageView;

/// The style sheet of the page.
const STYLE: &str = include_str!("page.css");

/// The HTML page. Askama escapes all values except those marked as safe: styles, charts and rendered templates.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    style: &'static str,
    view: PageView<'a>,
}

/// The report of `result` as an HTML document, with the job's display name as heading.
///
/// The result may be that of `keysweep run --json`:
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let result = serde_json::from_slice(&std::fs::read("result.json")?)?;
/// std::fs::write("report.html", reporter::page::html(&result, "Nightly cleanup"))?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn html(result: &CleanupResult, display_name: &str) -> String {
    let page = Page { style: STYLE, view: PageView::of(result, display_name) };
    // Rendering into memory cannot fail.
    page.render().unwrap_or_else(|e| e.to_string())
}

/// The same report as Markdown with GitHub-style tables.
#[must_use]
pub fn markdown(result: &CleanupResult, display_name: &str) -> String {
    markdown::page(&PageView::of(result, display_name))
}
