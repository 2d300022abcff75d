//! `keysweep config check`: reports every mistake in a job file, independent of flags and environment.

use std::path::Path;

use coordinator::options::{Options, OptionsError};
use coordinator::schedule::JobSchedule;
use keysweep_config as config;
use keysweep_config::CheckedFile;

/// The jobs of the file, or its mistakes; and the files and contexts that cannot be read here. The latter are not
/// mistakes of the job file: they may exist where keysweep runs.
pub fn check(file: &Path, text: &str) -> (Result<Vec<String>, Vec<String>>, Vec<String>) {
    let texts = |problems: Vec<_>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (names, mut problems) = match config::check_file(file, text) {
        Ok(names) => (names, Vec::new()),
        Err(problems) => (Vec::new(), texts(problems)),
    };
    let CheckedFile { jobs, problems: more, unread } = config::check_jobs(file, text);
    let (mut more, mut unread) = (texts(more), texts(unread));
    more.extend(
        jobs.iter().filter_map(|job| JobSchedule::of(&job.settings).err()).map(|bad| bad.to_string()),
    );
    for job in jobs.iter().filter(|job| job.is_whole).map(|job| &job.settings) {
        let Err(problem) = Options::from_settings(job) else { continue };
        let of = format!("{}: job `{}`: {problem}", file.display(), job.job.value);
        // Certificates and keys are files, too.
        let list = if matches!(problem, OptionsError::Tls(_)) { &mut unread } else { &mut more };
        list.push(of);
    }
    for problem in more {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    (if problems.is_empty() { Ok(names) } else { Err(problems) }, unread)
}
