//! A uniform sample of a node's key names, whether they match or not. It shows a user whose pattern matches nothing
//! which namespaces exist. Pure except for the random numbers.

use keysweep_inspect::{Lifetime, Miner, Namespace};
use keysweep_model::glob::Pattern;
use keysweep_model::limits::PREFIX_BYTES_MAX;
use keysweep_model::printable::{Printable, beginning};

use crate::limits::NAMES_KEPT;

/// How many bytes of an example are shown.
const EXAMPLE_BYTES: usize = 40;

/// A reservoir sample of names: each listed name is in it with the same probability.
#[derive(Clone, Debug, Default)]
pub struct NameSample {
    listed: u64,
    kept: Vec<NameStart>,
}

/// The part of a name that may be shown.
#[derive(Clone, Debug)]
struct NameStart {
    beginning: Box<[u8]>,
    /// Length of the whole name in bytes.
    length: usize,
}

impl NameStart {
    fn of(name: &[u8]) -> Self {
        // One byte more than is shown reveals that the name continues.
        Self { beginning: beginning(name, PREFIX_BYTES_MAX + 4).into(), length: name.len() }
    }

    /// The name, unless it was cut.
    fn whole(&self) -> Option<&[u8]> {
        (self.beginning.len() == self.length).then_some(&*self.beginning)
    }

    fn shortened(&self) -> String {
        if self.length <= EXAMPLE_BYTES {
            return Printable(&self.beginning).to_string();
        }
        format!("{}… ({} bytes)", Printable(beginning(&self.beginning, EXAMPLE_BYTES)), self.length)
    }
}

/// Names of one namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct CommonNamespace {
    /// What they have in common, for people: `user:{id}:profile`.
    pub template: String,
    /// The pattern that selects them.
    pub pattern: Pattern,
    /// Their estimated share of all keys, in percent.
    pub percent: f64,
    /// One of the names, shortened.
    pub example: String,
}

impl NameSample {
    /// Adds a listed name.
    pub fn observe(&mut self, name: &[u8]) {
        self.listed += 1;
        if self.kept.len() < NAMES_KEPT {
            self.kept.push(NameStart::of(name));
            return;
        }
        // The n-th name is kept with probability `NAMES_KEPT / n` and replaces a random one.
        let place = fastrand::u64(..self.listed);
        if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.kept.get_mut(place)) {
            *kept = NameStart::of(name);
        }
    }

    /// How many names are in the sample.
    #[must_use]
    pub fn sampled(&self) -> u64 {
        self.kept.len() as u64
    }
}

/// The most common namespaces over several nodes, each node weighted by its number of keys; at most `max`, the most common
/// first. Names that were cut are in none.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a share, shown in whole percents")]
pub fn commonest<'a>(
    nodes: impl IntoIterator<Item = (&'a NameSample, u64)>,
    max: usize,
) -> Vec<CommonNamespace> {
    let nodes: Vec<(&NameSample, u64)> = nodes.into_iter().collect();
    let mut miner = Miner::default();
    let names = nodes.iter().flat_map(|(names, _)| &names.kept);
    for name in names.filter_map(NameStart::whole) {
        miner.add(name, Lifetime::Unlimited);
    }
    let namespaces = miner.namespaces(None);
    let (mut found, mut all) = (vec![(0.0, None); namespaces.rows.len()], 0.0);
    for (names, keys) in nodes {
        let each = keys as f64 / names.kept.len().max(1) as f64;
        for name in &names.kept {
            all += each;
            if let Some(place) = name.whole().and_then(|name| namespaces.place_of(name)) {
                let (keys, example) = &mut found[place];
                *keys += each;
                example.get_or_insert(name);
            }
        }
    }
    let alike = |(row, (keys, example)): (&Namespace, (f64, Option<&NameStart>))| CommonNamespace {
        template: row.template.clone(),
        pattern: row.pattern.clone(),
        percent: keys * 100.0 / all,
        example: example.map(NameStart::shortened).unwrap_or_default(),
    };
    let mut found: Vec<CommonNamespace> = namespaces.rows.iter().zip(found).map(alike).collect();
    found.sort_by(|a, b| b.percent.total_cmp(&a.percent));
    found.truncate(max);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: impl IntoIterator<Item = String>) -> NameSample {
        let mut names = NameSample::default();
        all.into_iter().for_each(|name| names.observe(name.as_bytes()));
        names
    }

    #[test]
    fn long_names_are_stored_only_as_far_as_shown() {
        let mut names = NameSample::default();
        (0..8_000).for_each(|_| names.observe(&[b'x'; 100_000]));
        let held: usize = names.kept.iter().map(|name| name.beginning.len()).sum();
        assert!(held < NAMES_KEPT * 200, "{held} bytes are stored");
        names.observe(b"a");
        assert!(commonest([(&names, 100)], 9).iter().all(|alike| alike.template == "a"));
        assert_eq!(NameStart::of(&[b'x'; 90]).shortened(), format!("{}… (90 bytes)", "x".repeat(40)));
    }

    #[test]
    fn most_common_namespaces_come_first() {
        let user = (0..60).map(|n| format!("user:{n}:profile"));
        let names =
            names(user.chain((0..30).map(|n| format!("сессия/{n}"))).chain((0..10).map(|n| n.to_string())));
        let found = commonest([(&names, 100)], 9);
        let shown: Vec<_> = found.iter().map(|a| (a.pattern.to_string(), a.percent.round())).collect();
        let expected = [("user:*:profile", 60.0), ("сессия/*", 30.0), ("*", 10.0)];
        assert_eq!(shown, expected.map(|(pattern, percent)| (pattern.to_owned(), percent)));
        assert_eq!((found[1].example.as_str(), commonest([(&names, 100)], 2).len()), ("сессия/0", 2));
        assert_eq!(commonest([], 9), []);
        assert_eq!(commonest([(&NameSample::default(), 0)], 9), []);
    }

    #[test]
    fn nodes_are_weighted_by_their_keys() {
        let (few, many) =
            (names((0..10).map(|n| format!("a:{n}"))), names((0..10).map(|n| format!("b:{n}"))));
        let found = commonest([(&few, 10), (&many, 90)], 9);
        assert_eq!((found[0].template.as_str(), found[0].percent.round()), ("b:{id}", 90.0));
    }

    #[test]
    fn sample_is_uniform_and_bounded() {
        fastrand::seed(7);
        let all = 20 * NAMES_KEPT;
        // The rare names come last, as in a table that is read slot by slot.
        let names = names((0..all).map(|n| format!("{}:{n}", if n < all * 3 / 4 { "a" } else { "b" })));
        assert_eq!(names.sampled(), NAMES_KEPT as u64);
        let found = commonest([(&names, 1)], 9);
        assert!((70.0..80.0).contains(&found[0].percent), "{found:?}");
    }
}
