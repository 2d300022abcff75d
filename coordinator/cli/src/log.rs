//! Log lines on stderr: plain sentences for people, JSON for programs. While a progress bar is shown, lines are
//! written above it.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use coordinator::run_log;
use indicatif::ProgressBar;
use keysweep_model::printable::{self, one_line};
use keysweep_model::time::{now_ms, rfc3339};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::args::{LogFormat, OutputArgs};

/// The progress bar that lines must be written above, if one is shown.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Writes log lines above `bar`, or straight to stderr.
pub(super) fn write_above(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Initializes logging from the flags, for a command that `is_service` or not. Called once.
pub fn init(output: &OutputArgs, is_service: bool) {
    let level = match (output.quiet, output.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // Libraries log only at the highest verbosity. async-nats logs errors that we report in our own messages or retry.
    let (others, nats) = match output.verbose {
        0 | 1 => (LevelFilter::ERROR, LevelFilter::OFF),
        _ => (LevelFilter::DEBUG, LevelFilter::DEBUG),
    };
    let ours = ["coordinator", "scanner", "reaper", "reporter", "keysweep"].map(|name| (name, level));
    let has_lines = is_service || output.log_format.is_some();
    let left_out = if has_lines { run_log::INSTEAD } else { run_log::LINES };
    let filter = Targets::new().with_default(others).with_target("async_nats", nats).with_targets(ours);
    let filter = filter.with_target(left_out, LevelFilter::OFF);
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        // Escape sequences are noise in a stored log, and carry no information on a terminal.
        .with_ansi(false)
        .with_writer(Stderr { json: matches!(output.log_format, Some(LogFormat::Json)) });
    match output.log_format {
        Some(LogFormat::Json) => builder.json().finish().with(filter).init(),
        Some(LogFormat::Text) | None => {
            builder.event_format(TextFormat { timed: is_service }).finish().with(filter).init();
        }
    }
}

/// `[Name] sentence`, `warning: phrase: error=…`: no module paths. Lines of a service also have time and level.
struct TextFormat {
    timed: bool,
}

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.timed {
            write!(writer, "{} ", rfc3339(now_ms()))?;
        }
        match *event.metadata().level() {
            Level::ERROR => writer.write_str("error: ")?,
            Level::WARN => writer.write_str("warning: ")?,
            Level::INFO if !self.timed => {}
            level => write!(writer, "{}: ", level.as_str().to_ascii_lowercase())?,
        }
        // The sentence already includes the fields.
        let fields = event.metadata().target() != run_log::LINES;
        event.record(&mut MessageVisitor { writer: &mut writer, fields });
        writeln!(writer)
    }
}

/// Writes the message of an event, and its other fields on request. Control characters are escaped, so that text from
/// outside cannot move the cursor and a field stays on its line.
struct MessageVisitor<'a, 'w> {
    writer: &'a mut Writer<'w>,
    fields: bool,
}

impl Visit for MessageVisitor<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // If a log line cannot be written, the error cannot be reported either.
        let _ = match field.name() {
            "message" => write!(self.writer, "{}", printable::page(&format!("{value:?}"))),
            name if self.fields => write!(self.writer, " {name}={}", one_line(&format!("{value:?}"))),
            _ => Ok(()),
        };
    }
}

#[derive(Clone, Copy)]
struct Stderr {
    /// Whether a line is a JSON document.
    json: bool,
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let escaped = self.json.then(|| printable::json(&String::from_utf8_lossy(line)));
        let shown = escaped.as_deref().map_or(line, str::as_bytes);
        let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A closed stderr (`2>&1 | head`) loses lines; it must not end the run.
        let _ = match bar {
            Some(bar) => bar.suspend(|| io::stderr().write_all(shown)),
            None => io::stderr().write_all(shown),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
