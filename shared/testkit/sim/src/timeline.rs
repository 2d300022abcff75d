//! What the processes of a world say, with the time of the world, on standard output.

use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock;

/// Prints what this process logs from `level` on.
pub fn print(level: Level) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_target(false)
        .with_timer(WorldTime)
        .finish();
    // This fails only if it was set before, in the same way.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct WorldTime;

impl FormatTime for WorldTime {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        write!(to, "{:>9} ms", clock::elapsed_ms())
    }
}
