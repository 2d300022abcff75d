//! Whether several files have the same keys: those of the nodes of a cluster have none in common, but copies of one server
//! of different days do, and files of a primary and its replica. Pure.

use keysweep_model::slot::{SLOTS, slot_of};

use super::rdb_page::RdbFile;
use crate::limits::RDB_SHARED_SLOTS_MAX;

/// Compares the hash slots of files.
pub(super) struct Overlap {
    /// The keys by slot of the file that is being read, and, in all files before it, the largest number that one had;
    /// empty if there is only one file.
    current: Vec<u32>,
    before: Vec<u32>,
    /// The names of the files before, and from which data set they are.
    files: Vec<(String, Option<String>)>,
    repeated_max: u64,
}

impl Overlap {
    /// Of so many files.
    pub(super) fn of(files: usize) -> Self {
        let slots = if files > 1 { usize::from(SLOTS) } else { 0 };
        Self { current: vec![0; slots], before: vec![0; slots], files: Vec::new(), repeated_max: 0 }
    }

    /// The file that is being read has this key.
    #[inline]
    pub(super) fn add(&mut self, key: &[u8]) {
        if let Some(keys) = self.current.get_mut(usize::from(slot_of(key))) {
            *keys = keys.saturating_add(1);
        }
    }

    /// The file was read; the next one begins.
    ///
    /// # Errors
    /// If it has keys that files before it have, too: says which, and the way out.
    pub(super) fn end(&mut self, file: &RdbFile) -> Result<(), String> {
        let data_set = file.origin.data_set.clone();
        let same = self.files.iter().find(|(_, other)| data_set.is_some() && *other == data_set);
        if let Some((other, _)) = same {
            return Err(twice(other, &file.name, "are of the same server, or of its replicas"));
        }
        let mut shared = 0;
        for (keys, before) in self.current.iter_mut().zip(&mut self.before) {
            let both = (*keys).min(*before);
            shared += usize::from(both > 0);
            self.repeated_max += u64::from(both);
            *before = (*before).max(*keys);
            *keys = 0;
        }
        if shared > RDB_SHARED_SLOTS_MAX {
            let others: Vec<&str> = self.files.iter().map(|(name, _)| name.as_str()).collect();
            return Err(twice(&others.join("`, `"), &file.name, "are not those of the nodes of one cluster"));
        }
        self.files.push((file.name.clone(), data_set));
        Ok(())
    }

    /// Keys that may be counted twice, because their slots moved between the moments that files show.
    pub(super) fn repeated_max(&self) -> u64 {
        self.repeated_max
    }
}

fn twice(one: &str, other: &str, why: &str) -> String {
    format!(
        "`{one}` and `{other}` {why}: their keys would count twice; name the files of one moment and one data set"
    )
}

#[cfg(test)]
mod tests {
    use keysweep_rdb::Origin;

    use super::*;

    fn file(name: &str, data_set: Option<&str>) -> RdbFile {
        let origin = Origin { data_set: data_set.map(str::to_owned), ..Origin::default() };
        RdbFile { name: name.to_owned(), origin, keys: 0, problems: Vec::new() }
    }

    /// Reads files with these keys; how many may be counted twice, if they go together.
    fn check(files: &[std::ops::Range<u32>], expected: Option<u64>) {
        let mut overlap = Overlap::of(files.len());
        let ended = files.iter().try_for_each(|keys| {
            keys.clone().for_each(|n| overlap.add(format!("key:{n}").as_bytes()));
            overlap.end(&file("dump.rdb", None))
        });
        assert_eq!(ended.is_ok().then(|| overlap.repeated_max()), expected, "{files:?}: {ended:?}");
    }

    #[test]
    fn files_of_nodes_have_few_slots_in_common() {
        check(&[0..50_000, 0..0], Some(0));
        check(&[0..50, 60..60, 0..50], Some(50));
        check(&[0..300, 0..300], None);
        check(&[0..9_000, 9_000..18_000], None);
    }

    #[test]
    fn files_of_one_data_set_do_not_go_together() {
        let mut overlap = Overlap::of(3);
        assert_eq!(overlap.end(&file("a.rdb", Some("ab"))), Ok(()));
        assert_eq!(overlap.end(&file("b.rdb", Some("cd"))), Ok(()));
        let error = overlap.end(&file("c.rdb", Some("ab"))).unwrap_err();
        assert_eq!(
            error,
            "`a.rdb` and `c.rdb` are of the same server, or of its replicas: their keys would count twice; name the files of one moment and one data set"
        );
    }
}
