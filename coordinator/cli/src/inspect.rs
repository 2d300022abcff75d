//! `keysweep inspect`: reads all keys, of servers or of RDB files, and prints the namespaces that they are in. It changes
//! nothing, and keeps nothing.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use coordinator::embedded::RunError;
use coordinator::exit;
use coordinator::inspect::databases;
use coordinator::options::Options;
use keysweep_files as files;
use keysweep_model::result::Coverage;
use keysweep_model::time::now_ms;
use reporter::KeyNamespaces;
use reporter::printer::{html, terminal};
use scanner::{Classifier, FileCounts};

use super::args::{InspectArgs, MemoryMode};
use super::error::CommandError;
use super::inspect_page::policy_file::policy_file;
use super::inspect_page::view::{Inspected, InspectedDatabase};
use super::inspect_page::{self, csv, json};
use super::look::{Look, look};
use super::rdb_files::{self, RdbReading};
use super::rdb_page;
use super::run::{OutputMode, print};
use super::signals::Signals;

/// The deployment to look at.
pub struct InspectTarget {
    /// The connection and the pace.
    pub options: Options,
    /// Whether the database was named; if not, all databases with keys are read.
    pub one_database: bool,
    /// Flags that connect to it, quoted for a shell, without secrets.
    pub connection: String,
}

/// `keysweep inspect`.
///
/// # Errors
/// When there is no result, or the page cannot be written.
pub async fn inspect(
    target: InspectTarget,
    args: &InspectArgs,
    show: OutputMode,
) -> Result<u8, CommandError> {
    if let Some(path) = args.write_policy.as_ref().filter(|path| path.exists()) {
        return Err(CommandError::Usage(format!("`{}` exists: it is not overwritten", path.display())));
    }
    let (found, code) = match args.rdb.as_slice() {
        [] => of_servers(target, args, show).await?,
        paths => of_files(target, paths, args)?,
    };
    print_found(&found, args, show)?;
    Ok(code)
}

/// What is in the files at `paths`, and the exit code.
fn of_files(
    target: InspectTarget,
    paths: &[PathBuf],
    args: &InspectArgs,
) -> Result<(Inspected, u8), CommandError> {
    let InspectTarget { options, one_database, connection } = target;
    if args.memory == MemoryMode::Full {
        let message = "`--rdb` reads files, which do not say how much memory keys take: leave out `--memory`";
        return Err(CommandError::Usage(message.to_owned()));
    }
    let rules = options.clone().inspecting(false)?.rules;
    let database = one_database.then_some(options.access.db);
    let RdbReading { files, mut databases, repeated_max } =
        rdb_files::read(paths, database, &Classifier::new(&rules, None), now_ms())?;
    if databases.is_empty() {
        databases.insert(options.access.db, FileCounts::default());
    }
    let mut coverage = Some(rdb_page::coverage(&files));
    let database = |(db, counts): (u32, FileCounts)| InspectedDatabase {
        db,
        namespaces: KeyNamespaces::of_file(counts.namespaces.namespaces(args.depth), repeated_max),
        // It is that of all of them.
        coverage: coverage.take().unwrap_or(Coverage { complete: true, ..Coverage::default() }),
    };
    let databases: Vec<InspectedDatabase> = databases.into_iter().map(database).collect();
    let found = Inspected { databases, unread: Vec::new(), connection, files };
    let code = if found.is_complete() { exit::DONE } else { exit::PARTIAL };
    Ok((found, code))
}

/// What is in the databases of servers, and the exit code.
async fn of_servers(
    target: InspectTarget,
    args: &InspectArgs,
    show: OutputMode,
) -> Result<(Inspected, u8), CommandError> {
    let InspectTarget { options, one_database, connection } = target;
    let options = options.inspecting(args.memory == MemoryMode::Full)?;
    let mut signals = Signals::catch()?;
    let numbers = match one_database {
        true => vec![options.access.db],
        false => signals.or_stop(databases(&options)).await?.map_err(RunError::from)?,
    };
    let look = async |db| Box::pin(one(options.clone().of_database(db), args.depth, show)).await;
    let Reading { databases, unread, code } =
        read_all(numbers, look, async || signals.arrived().await).await?;
    Ok((Inspected { databases, unread, connection, files: Vec::new() }, code))
}

fn print_found(found: &Inspected, args: &InspectArgs, show: OutputMode) -> Result<(), CommandError> {
    let selection = args.selection();
    let blocks = inspect_page::blocks(found, selection);
    if let Some(path) = &args.html {
        let page =
            html::document("Namespaces", &found.connection, &inspect_page::with_chart(found, blocks.clone()));
        files::replace(path, page.as_bytes()).map_err(io::Error::from)?;
        tracing::info!("page: {}", path.display());
    }
    if let Some(path) = &args.write_policy {
        write_policy(path, found)?;
    }
    if args.csv {
        print(&csv::csv(found, selection).map_err(io::Error::other)?)?;
    } else {
        show.print(&json::json(found, selection), || terminal::blocks(&blocks))?;
    }
    Ok(())
}

fn write_policy(path: &Path, found: &Inspected) -> Result<(), CommandError> {
    let Some(text) = policy_file(found) else {
        tracing::warn!("no rule was written: no namespace was found that a rule can name");
        return Ok(());
    };
    files::create(path, text.as_bytes()).map_err(io::Error::from)?;
    tracing::info!("rules: {}", path.display());
    Ok(())
}

/// What was read of the databases.
#[derive(Debug, Default)]
struct Reading {
    databases: Vec<InspectedDatabase>,
    /// Those that a signal left unread.
    unread: Vec<u32>,
    /// The worst exit code, or that of the signal that left some unread.
    code: u8,
}

/// Reads databases in order. After a signal, of which `arrived` returns the exit code, no further one is read. What was
/// read before it is kept.
async fn read_all(
    numbers: Vec<u32>,
    mut read: impl AsyncFnMut(u32) -> Result<(InspectedDatabase, u8), CommandError>,
    mut arrived: impl AsyncFnMut() -> Option<u8>,
) -> Result<Reading, CommandError> {
    let (mut all, mut left) = (Reading::default(), numbers.into_iter());
    while let Some(db) = left.next() {
        let stopped = match read(db).await {
            Ok((database, code)) => {
                all.databases.push(database);
                all.code = all.code.max(code);
                arrived().await
            }
            Err(CommandError::Stopped(code, _)) if !all.databases.is_empty() => {
                all.unread.push(db);
                Some(code)
            }
            Err(e) => return Err(e),
        };
        if let Some(code) = stopped {
            all.unread.extend(left);
            all.code = if all.unread.is_empty() { all.code } else { code };
            break;
        }
    }
    Ok(all)
}

/// Reads one database; returns what is in it, and the exit code.
async fn one(
    options: Options,
    depth: Option<NonZeroUsize>,
    show: OutputMode,
) -> Result<(InspectedDatabase, u8), CommandError> {
    let Look { result, namespaces, examples: _, code } = look(&options, depth, show).await?;
    Ok((InspectedDatabase { db: options.access.db, namespaces, coverage: result.coverage }, code))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use keysweep_inspect::Miner;

    use super::*;

    fn database(db: u32) -> InspectedDatabase {
        let namespaces = KeyNamespaces::of_file(Miner::default().namespaces(None), 0);
        InspectedDatabase { db, namespaces, coverage: Coverage { complete: true, ..Coverage::default() } }
    }

    /// Which of the databases 0, 3 and 5 are read and left unread, and the exit code, if a signal arrives while `at` is
    /// read, either before (`begun` is false) or after its run began.
    async fn check(at: u32, begun: bool, expected: Option<(&[u32], &[u32], u8)>) {
        let last = Cell::new(0);
        let read = async |db| {
            last.set(db);
            match db == at && !begun {
                true => Err(CommandError::Stopped(exit::TERMINATED, "SIGTERM")),
                false => Ok((database(db), if db == 0 { exit::PARTIAL } else { exit::DONE })),
            }
        };
        let arrived = async || (last.get() == at).then_some(exit::TERMINATED);
        let all = read_all(vec![0, 3, 5], read, arrived).await;
        let numbers = |of: &Reading| of.databases.iter().map(|one| one.db).collect::<Vec<_>>();
        let all = all.ok().map(|all| (numbers(&all), all.unread, all.code));
        assert_eq!(all, expected.map(|(read, unread, code)| (read.to_vec(), unread.to_vec(), code)), "{at}");
    }

    #[tokio::test]
    async fn a_signal_leaves_the_databases_that_follow_unread() {
        check(9, true, Some((&[0, 3, 5], &[], exit::PARTIAL))).await;
        check(0, true, Some((&[0], &[3, 5], exit::TERMINATED))).await;
        check(3, true, Some((&[0, 3], &[5], exit::TERMINATED))).await;
        check(3, false, Some((&[0], &[3, 5], exit::TERMINATED))).await;
        // The last one was read completely.
        check(5, true, Some((&[0, 3, 5], &[], exit::PARTIAL))).await;
        // Nothing was read.
        check(0, false, None).await;
    }
}
