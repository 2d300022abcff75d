//! What a look at all keys found, and the part of it that is shown. Pure.

use std::cmp::Reverse;

use clap::ValueEnum;
use keysweep_inspect::limits::LARGEST_MAX;
use keysweep_inspect::{LargeKey, Namespace};
use keysweep_model::memory::ByteEstimate;
use keysweep_model::result::Coverage;
use reporter::KeyNamespaces;

use crate::rdb_page::RdbFile;

/// The databases of a deployment.
#[derive(Debug)]
pub struct Inspected {
    /// Each database with keys, or the one that was asked for.
    pub databases: Vec<InspectedDatabase>,
    /// Databases that were not read, because a signal arrived first.
    pub unread: Vec<u32>,
    /// Flags that connect to the deployment, quoted for a shell, without secrets.
    pub connection: String,
    /// The RDB files that were read; empty if servers were.
    pub files: Vec<RdbFile>,
}

/// One database.
#[derive(Debug)]
pub struct InspectedDatabase {
    /// Its number; 0 of a cluster.
    pub db: u32,
    /// Its keys by namespace.
    pub namespaces: KeyNamespaces,
    /// How much of it was read.
    pub coverage: Coverage,
}

/// Which namespaces are shown, and in which order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    /// How many; `None`: as many as the form of output has room for.
    pub top: Option<usize>,
    /// The order.
    pub sort: SortKey,
    /// Whether only namespaces with keys without TTL are shown.
    pub only_no_ttl: bool,
}

/// The order of namespaces, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    /// Keys
    #[default]
    Keys,
    /// Keys without TTL
    NoTtl,
    /// Memory
    Memory,
    /// Median idle time
    Idle,
}

/// A namespace of a database.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The database.
    pub db: u32,
    /// The namespace.
    pub namespace: &'a Namespace,
}

/// Sums over all namespaces and the keys that are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All keys.
    pub keys: u64,
    /// Those without TTL.
    pub no_ttl: u64,
    /// Keys of no namespace that is listed.
    pub other_keys: u64,
    /// Those without TTL.
    pub other_no_ttl: u64,
}

impl Inspected {
    /// The namespaces that are selected, in their order, however many.
    #[must_use]
    pub fn rows<'a>(&'a self, selection: Selection) -> Vec<Row<'a>> {
        let of = |one: &'a InspectedDatabase| {
            one.namespaces.found.rows.iter().map(|namespace| Row { db: one.db, namespace })
        };
        let mut rows: Vec<Row<'a>> = self.databases.iter().flat_map(of).collect();
        rows.retain(|row| !selection.only_no_ttl || row.namespace.no_ttl > 0);
        // Equal ones keep the order by keys and pattern.
        rows.sort_by_key(|row| Reverse(row.namespace.keys));
        rows.sort_by_key(|row| Reverse(selection.sort.weight(row.namespace)));
        rows
    }

    /// The first of them, as many as are selected.
    #[must_use]
    pub fn top_rows(&self, selection: Selection) -> Vec<Row<'_>> {
        let mut rows = self.rows(selection);
        rows.truncate(selection.top.unwrap_or(rows.len()));
        rows
    }

    /// The largest of the keys that were measured, each with its database; at most [`LARGEST_MAX`].
    #[must_use]
    pub fn largest(&self) -> Vec<(u32, &LargeKey)> {
        let lists = self.databases.iter().map(|one| (one.db, &one.namespaces.found.largest));
        let mut all: Vec<_> = lists.flat_map(|(db, keys)| keys.iter().map(move |key| (db, key))).collect();
        all.sort_by_key(|(_, key)| Reverse(key.bytes));
        all.truncate(LARGEST_MAX);
        all
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for found in self.databases.iter().map(|one| &one.namespaces.found) {
            totals.other_keys += found.other_keys;
            totals.other_no_ttl += found.other_no_ttl;
            totals.keys += found.rows.iter().map(|row| row.keys).sum::<u64>() + found.other_keys;
            totals.no_ttl += found.rows.iter().map(|row| row.no_ttl).sum::<u64>() + found.other_no_ttl;
        }
        totals
    }

    /// The memory of all keys; `None` if no key was measured.
    #[must_use]
    pub fn memory(&self) -> Option<ByteEstimate> {
        let all = self.rows(Selection::default());
        let measured = all.iter().filter_map(|row| row.namespace.memory);
        let sum = measured.clone().reduce(ByteEstimate::plus)?;
        // Keys of no namespace are not measured.
        let whole = measured.count() == all.len() && self.totals().other_keys == 0;
        let sum = ByteEstimate { high: sum.high.filter(|_| whole), ..sum };
        Some(sum.at_most(self.used_memory()))
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty() && self.databases.iter().all(|one| one.coverage.complete)
    }

    /// What was not read; `None` if nothing is missing.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let parts = self.databases.iter().filter_map(|one| one.coverage.missing.clone());
        let missing: Vec<String> = parts.chain(self.unread_text()).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    /// The databases that were not read, such as `databases 3 and 5`; `None` if all were.
    #[must_use]
    pub fn unread_text(&self) -> Option<String> {
        let numbers: Vec<String> = self.unread.iter().map(u32::to_string).collect();
        let (last, others) = numbers.split_last()?;
        Some(match others {
            [] => format!("database {last}"),
            _ => format!("databases {} and {last}", others.join(", ")),
        })
    }

    /// The memory that the servers used, in bytes; `None` if one of them did not report it.
    #[must_use]
    pub fn used_memory(&self) -> Option<u64> {
        // All databases share it.
        let used: Option<Vec<u64>> = self.databases.iter().map(|one| one.namespaces.used_memory).collect();
        used?.into_iter().max()
    }

    /// Whether the numbers of databases matter.
    #[must_use]
    pub fn has_several(&self) -> bool {
        self.databases.len() > 1 || self.databases.iter().any(|one| one.db != 0)
    }
}

impl SortKey {
    fn weight(self, of: &Namespace) -> u64 {
        match self {
            Self::Keys => of.keys,
            Self::NoTtl => of.no_ttl,
            Self::Memory => of.memory.map_or(0, |memory| memory.estimate),
            Self::Idle => of.idle_median_s.unwrap_or_default(),
        }
    }
}
