//! What predicates are about: the facts of a key, by what it costs to know them.

use std::fmt;

/// A fact of a key. The order is that of the cost of knowing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fact {
    /// Its name, which every listing has.
    Name,
    /// Its TTL, which is read of every key.
    Ttl,
    /// Whether its user is active, by the users who were when the run was planned.
    User,
    /// Its type (`TYPE`).
    Type,
    /// How long it was not accessed (`OBJECT IDLETIME`).
    Idle,
    /// How often it was accessed, as the server's logarithmic counter (`OBJECT FREQ`).
    Freq,
    /// Its memory (`MEMORY USAGE`).
    Bytes,
    /// The number of its elements (`LLEN`, `HLEN` and the like, after `TYPE`).
    Length,
}

/// Whether the deletion step checks a fact again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// In the same atomic step as the deletion.
    Again,
    /// It cannot change, so that it need not be checked.
    Fixed,
    /// By the worker that deletes, and by what was read when the run was planned.
    AsPlanned,
}

impl Fact {
    /// All facts, the cheapest first.
    pub const ALL: [Self; 8] =
        [Self::Name, Self::Ttl, Self::User, Self::Type, Self::Idle, Self::Freq, Self::Bytes, Self::Length];

    /// Its name in predicates.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "key",
            Self::Ttl => "ttl",
            Self::User => "user",
            Self::Type => "type",
            Self::Idle => "idle",
            Self::Freq => "freq",
            Self::Bytes => "bytes",
            Self::Length => "length",
        }
    }

    /// Whether the deletion step checks it again. Servers have no regular expressions; but a key under another name is
    /// another key. Nor do they know users.
    #[must_use]
    pub const fn recheck(self) -> Recheck {
        match self {
            Self::Name => Recheck::Fixed,
            Self::User => Recheck::AsPlanned,
            _ => Recheck::Again,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of facts. `Display` lists them, the cheapest first: `ttl, idle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FactSet(u8);

impl FactSet {
    /// No facts.
    pub const EMPTY: Self = Self(0);

    /// Only `fact`.
    #[must_use]
    pub const fn only(fact: Fact) -> Self {
        Self(1 << fact as u8)
    }

    /// The facts of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `fact` is one of them.
    #[must_use]
    pub const fn contains(self, fact: Fact) -> bool {
        self.0 & Self::only(fact).0 != 0
    }

    /// Whether one of them is about accesses to the key, which keysweep must not change by accessing it.
    #[must_use]
    pub const fn is_about_accesses(self) -> bool {
        self.contains(Fact::Idle) || self.contains(Fact::Freq)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The facts, the cheapest first.
    pub fn iter(self) -> impl Iterator<Item = Fact> {
        Fact::ALL.into_iter().filter(move |fact| self.contains(*fact))
    }

    /// The one that costs most.
    #[must_use]
    pub fn dearest(self) -> Option<Fact> {
        self.iter().last()
    }
}

impl FromIterator<Fact> for FactSet {
    fn from_iter<I: IntoIterator<Item = Fact>>(facts: I) -> Self {
        facts.into_iter().fold(Self::EMPTY, |all, fact| all.and(Self::only(fact)))
    }
}

impl fmt::Display for FactSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Fact::word).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_list_facts_by_cost() {
        assert!(Fact::ALL.is_sorted());
        let set = FactSet::from_iter([Fact::Length, Fact::Ttl, Fact::Idle, Fact::Ttl]);
        assert_eq!((set.to_string().as_str(), set.dearest()), ("ttl, idle, length", Some(Fact::Length)));
        assert!(set.contains(Fact::Ttl) && !set.contains(Fact::Name));
        assert_eq!(set.without(FactSet::from_iter([Fact::Idle, Fact::Name])).to_string(), "ttl, length");
        assert_eq!(set, FactSet::only(Fact::Idle).and(FactSet::from_iter([Fact::Length, Fact::Ttl])));
        assert_eq!((FactSet::EMPTY.dearest(), FactSet::EMPTY.to_string().as_str()), (None, ""));
    }
}
