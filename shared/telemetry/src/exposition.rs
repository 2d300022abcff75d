//! The text formats in which metrics are exposed, and which one a client gets. The library writes OpenMetrics only; the older
//! format of Prometheus differs from it in the comments.

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text";

impl Exposition {
    /// The format for a client with this `Accept` header: OpenMetrics if it is asked for, in a version that exists.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let asked = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(OPEN_METRICS));
            let fits = |parameter: &str| match parameter.split_once('=') {
                Some(("q", weight)) => weight.parse::<f64>().is_ok_and(|weight| weight > 0.0),
                Some(("version", version)) => version.trim_matches('"') == "1.0.0",
                _ => true,
            };
            is_it && parts.all(fits)
        };
        match accept.is_some_and(|accept| accept.split(',').any(asked)) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The text format of Prometheus of a text of OpenMetrics: its comments name counters as their samples do, and there is no
/// mark at the end.
pub(super) fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // The comments of a metric before its type is known.
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' '))
        {
            let end = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                text.push_str(&format!("# HELP {name}{end} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{end} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expected: Exposition) {
        assert_eq!(Exposition::accepted(Some(accept)), expected, "{accept}");
    }

    #[test]
    fn a_client_gets_the_format_that_it_asks_for() {
        assert_eq!(Exposition::accepted(None), Exposition::Prometheus);
        check("*/*", Exposition::Prometheus);
        check("text/plain;version=0.0.4", Exposition::Prometheus);
        check("application/openmetrics-text", Exposition::OpenMetrics);
        // What Prometheus 2 and 3 send.
        check(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4",
            Exposition::OpenMetrics,
        );
        check("Application/OpenMetrics-Text; version=\"1.0.0\"; charset=utf-8", Exposition::OpenMetrics);
        check("text/plain, application/openmetrics-text; q=0", Exposition::Prometheus);
        check("application/openmetrics-text; q=x", Exposition::Prometheus);
        check("application/openmetrics-text; version=0.0.1", Exposition::Prometheus);
        check("application/openmetrics-textual", Exposition::Prometheus);
        check(";;,,=;q", Exposition::Prometheus);
    }

    #[test]
    fn comments_name_counters_as_their_samples_do() {
        let open_metrics = "# HELP a_b Twice.\n# TYPE a_b counter\na_b_total{x=\"# y\"} 2\n# HELP c Now.\n# TYPE c gauge\n\
                            # UNIT c seconds\nc 1\n# EOF\n";
        let expected = "# HELP a_b_total Twice.\n# TYPE a_b_total counter\na_b_total{x=\"# y\"} 2\n# HELP c Now.\n\
                        # TYPE c gauge\nc 1\n";
        assert_eq!(prometheus(open_metrics), expected);
        assert_eq!(prometheus("# EOF\n"), "");
    }
}
