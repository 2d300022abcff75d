//! Prints a view as an HTML document that loads nothing and runs no scripts. Pure.

mod chart;

use askama::Template;
use keysweep_model::result::CleanupResult;

use crate::view::{Block, Chart, Kind, Ranked, Table, Tone, View};
use chart::Size;

/// The style sheet of the page.
const STYLE: &str = include_str!("html/page.css");

/// The page. Askama escapes all values except those marked as safe: the style sheet and the charts.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    style: &'static str,
    title: String,
    view: View<'a>,
}

/// The report of `result` as an HTML document, with the job's display name as heading.
///
/// The result may be that of `keysweep run --json`:
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let result = serde_json::from_slice(&std::fs::read("result.json")?)?;
/// std::fs::write("report.html", reporter::printer::html::page(&result, "Nightly cleanup"))?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn page(result: &CleanupResult, display_name: &str) -> String {
    let view = View::of(result, display_name);
    let title = format!("{}: {}, {}", view.name, view.status.word, view.finished);
    let page = Page { style: STYLE, title, view };
    // Rendering into memory cannot fail.
    page.render().unwrap_or_else(|e| e.to_string())
}

/// A page of blocks.
#[derive(Template)]
#[template(path = "document.html")]
struct Document<'a> {
    style: &'static str,
    title: &'a str,
    about: &'a str,
    blocks: &'a [Block<'a>],
}

/// `blocks` as an HTML document with a heading, and what it is about below.
#[must_use]
pub fn document(title: &str, about: &str, blocks: &[Block<'_>]) -> String {
    // Rendering into memory cannot fail.
    Document { style: STYLE, title, about, blocks }.render().unwrap_or_else(|e| e.to_string())
}

impl Tone {
    /// The CSS class of its colour.
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warn",
            Self::Bad => "bad",
            Self::Neutral => "calm",
        }
    }
}

impl Chart<'_> {
    /// The chart as SVG, once per size if its text needs different space.
    fn svgs(&self) -> Vec<String> {
        let id = |name: &str, size: Size| format!("{name}-{}", size.as_str());
        let sizes = Size::ALL.into_iter();
        match self {
            Self::Outcomes(parts) => vec![chart::stack("accounts", "Outcomes of the candidates", parts)],
            Self::Ttl(buckets) => {
                sizes.filter_map(|size| chart::histogram(&id("ttl", size), buckets, size)).collect()
            }
            Self::Sizes(title, parts) => {
                sizes.filter_map(|size| chart::treemap(&id("sizes", size), title, parts, size)).collect()
            }
            Self::HitRate(history) => {
                sizes.filter_map(|size| chart::hit_rates(&id("hits", size), history, size)).collect()
            }
            Self::TtlCurve(advice) => {
                sizes.filter_map(|size| chart::ttl_curve(&id("ttls", size), advice, size)).collect()
            }
        }
    }

    fn caption(&self) -> &'static str {
        match self {
            Self::Outcomes(_) => "",
            Self::Sizes(title, _) => title,
            Self::TtlCurve(_) => {
                "The hit rate that is expected with each TTL. The band is its 95 % interval."
            }
            Self::Ttl(_) => "Keys by their remaining TTL when the run read it.",
            Self::HitRate(_) => {
                "Above: hits in percent of lookups. Below: lookups per sample. A gap means no traffic or no samples. \
                 Times are UTC."
            }
        }
    }
}

impl Table {
    /// The CSS class; a table of outcomes has its own form on phones.
    fn class(&self) -> &'static str {
        if self.columns.iter().any(|(_, kind)| *kind == Kind::Outcome) { "outcomes" } else { "plain" }
    }
}

impl Ranked<'_> {
    /// The share as a bar.
    fn bar(&self) -> String {
        chart::bar(self.part_of.0, self.part_of.1)
    }
}
