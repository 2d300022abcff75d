//! The report of a run as a page that needs nothing beside itself: no network, no script. Pure functions of the
//! result; where pages are kept is told in `report_file.rs`. What is said stands in `view.rs` and the files of its
//! sections, once for both kinds of page; `page.html`, `page.css` and `markdown.rs` only say how it looks.

mod chart;
mod findings;
mod format;
mod headline;
mod hits;
mod keys;
mod markdown;
mod servers;
mod table;
mod view;

use askama::Template;
use shared::result::CleanupResult;

pub(crate) use headline::is_only_reported;
use view::PageView;

/// How the page looks.
const STYLE: &str = include_str!("page.css");

/// The page. Askama escapes whatever is not marked as safe: styles, charts and parts that it has filled itself.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    style: &'static str,
    view: PageView<'a>,
}

/// The report of `result` as an HTML document, headed by the job's display name.
#[must_use]
pub fn html(result: &CleanupResult, display_name: &str) -> String {
    let page = Page { style: STYLE, view: PageView::of(result, display_name) };
    // Text is written into memory, which cannot fail.
    page.render().unwrap_or_else(|e| e.to_string())
}

/// The same report as Markdown, with tables as GitHub and others read them.
#[must_use]
pub fn markdown(result: &CleanupResult, display_name: &str) -> String {
    markdown::page(&PageView::of(result, display_name))
}
