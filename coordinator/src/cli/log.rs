//! Log lines on stderr: plain sentences for people, JSON for programs. They step aside for a progress bar.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::args::{LogFormat, OutputArgs};

/// The bar that lines have to be written above, while there is one.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Lets log lines be written above `bar`, or straight to stderr again.
pub(super) fn write_above(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Starts logging as the flags say. Called once.
pub fn init(output: &OutputArgs) {
    let level = match (output.quiet, output.verbose) {
        (true, _) => "error",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    // Libraries speak up only at the highest verbosity.
    // The client of NATS calls an error what we tell in our own words, or try again.
    let others = if output.verbose > 1 { "debug" } else { "error,async_nats=off" };
    let ours = ["coordinator", "scanner", "reaper", "reporter", "shared", "keysweep"];
    let ours: String = ours.iter().map(|name| format!(",{name}={level}")).collect();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{others}{ours}")))
        // Escape sequences in a log that is kept are a nuisance, and on a terminal they say nothing more.
        .with_ansi(false)
        .with_writer(Stderr);
    match output.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.event_format(Plain).init(),
    }
}

/// `[Name] sentence`, `warning: phrase: error=…`: no times, no module paths.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match *event.metadata().level() {
            Level::ERROR => writer.write_str("error: ")?,
            Level::WARN => writer.write_str("warning: ")?,
            Level::INFO => {}
            level => write!(writer, "{}: ", level.as_str().to_ascii_lowercase())?,
        }
        ctx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

struct Stderr;

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A reader that has gone (`2>&1 | head`) loses lines; it must not bring the run down.
        let _ = match bar {
            Some(bar) => bar.suspend(|| io::stderr().write_all(line)),
            None => io::stderr().write_all(line),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
