//! Charts as self-contained SVG: no scripts, no fonts, colours from the page's style sheet. Each chart describes its
//! content in `title` and `desc`. Pure: values that cannot be drawn (missing, infinite) are omitted.

mod bars;
mod histogram;
mod line;
mod treemap;
mod ttl_curve;

use std::fmt::Write;

pub(super) use bars::{bar, stack};
pub(super) use histogram::histogram;
pub(super) use line::hit_rates;
pub(super) use treemap::treemap;
pub(super) use ttl_curve::ttl_curve;

/// The target size of a chart. A page contains both; its style sheet shows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Desktops and paper.
    Wide,
    /// Phones.
    Narrow,
}

impl Size {
    /// All sizes.
    pub(super) const ALL: [Self; 2] = [Self::Wide, Self::Narrow];

    fn width(self) -> f64 {
        match self {
            Self::Wide => 860.0,
            Self::Narrow => 330.0,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }
}

/// A drawing under construction. Writing to a string cannot fail, so the results of `write!` are ignored.
struct Drawing {
    body: String,
    width: f64,
    height: f64,
}

impl Drawing {
    fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), tip: &str) {
        let ((x, y), (width, height)) = (at, size);
        let place = format!(r#"x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}""#);
        let _ = if tip.is_empty() {
            write!(self.body, r#"<rect class="{class}" {place}/>"#)
        } else {
            write!(self.body, r#"<rect class="{class}" {place}><title>{}</title></rect>"#, escape(tip))
        };
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = write!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    /// `anchor` is `start`, `middle` or `end`.
    fn text(&mut self, class: &str, anchor: &str, at: (f64, f64), text: &str) {
        let (x, y) = at;
        let _ = write!(
            self.body,
            r#"<text class="{class}" text-anchor="{anchor}" x="{x:.1}" y="{y:.1}">{}</text>"#,
            escape(text)
        );
    }

    fn path(&mut self, class: &str, path: &str) {
        let _ = write!(self.body, r#"<path class="{class}" d="{path}"/>"#);
    }

    fn dot(&mut self, (x, y): (f64, f64), radius: f64) {
        let _ = write!(self.body, r#"<circle class="dot" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"/>"#);
    }

    /// Returns the complete SVG. `id` is unique on the page.
    fn finish(self, id: &str, class: &str, title: &str, desc: &str) -> String {
        let Self { body, width, height } = self;
        format!(
            concat!(
                r#"<svg class="chart {}" viewBox="0 0 {} {}" role="img" aria-labelledby="{id}-t {id}-d">"#,
                r#"<title id="{id}-t">{}</title><desc id="{id}-d">{}</desc>{}</svg>"#
            ),
            class,
            width,
            height,
            escape(title),
            escape(desc),
            body,
            id = id
        )
    }
}

/// Escapes `text` for SVG and HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

/// The approximate width of `text` in a chart, in the chart's units.
#[expect(clippy::cast_precision_loss, reason = "a few letters")]
fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 7.7
}

/// Checks shared by the tests of all charts.
#[cfg(test)]
mod sound {
    /// The values of attribute `name` in `svg`.
    pub(super) fn numbers(svg: &str, name: &str) -> Vec<f64> {
        let start = format!(" {name}=\"");
        svg.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
    }

    /// No value is NaN, and no shape is outside of the chart.
    #[track_caller]
    pub(super) fn check(svg: &str) {
        for wrong in ["NaN", "inf", "-0.0"] {
            assert!(!svg.contains(wrong), "{wrong} in {svg}");
        }
        assert!(svg.contains(r#"role="img""#) && svg.contains("<title") && svg.contains("<desc"), "{svg}");
        let view = svg.split("viewBox=\"0 0 ").nth(1).unwrap().split('"').next().unwrap();
        let (width, height) = view.split_once(' ').unwrap();
        let (width, height): (f64, f64) = (width.parse().unwrap(), height.parse().unwrap());
        for rect in svg.split("<rect").skip(1) {
            let of = |name| numbers(rect.split('>').next().unwrap(), name)[0];
            let (x, y, w, h) = (of("x"), of("y"), of("width"), of("height"));
            assert!(x >= 0.0 && y >= 0.0 && w >= 0.0 && h >= 0.0, "{rect}");
            assert!(x + w <= width + 0.11 && y + h <= height + 0.11, "{rect} in {width} x {height}");
        }
        for (name, limit) in [("cx", width), ("cy", height), ("x1", width), ("y2", height)] {
            assert!(numbers(svg, name).iter().all(|at| (0.0..=limit).contains(at)), "{name} in {svg}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape(r#"<a href="x">&'"#), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.text("t", "start", (1.0, 1.0), "<script>");
        drawing.rect("r", (0.0, 0.0), (1.0, 1.0), "</title>");
        let svg = drawing.finish("a", "", "<b>", "\"");
        assert!(!svg.contains("<script>") && !svg.contains("<b>"), "{svg}");
        assert_eq!(svg.matches("</title>").count(), 2);
        sound::check(&svg);
    }
}
