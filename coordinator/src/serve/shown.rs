//! What parts of the service show of their work while it lasts, by key: runs that this process drives, attempts that wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Work in progress, by key.
pub(crate) struct Shown<K, V>(Mutex<BTreeMap<K, V>>);

/// One piece of work. Dropping it ends it.
pub(super) struct ShownWork<K: Ord, V> {
    all: Arc<Shown<K, V>>,
    key: K,
}

impl<K, V> Default for Shown<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Clone, V: Clone> Shown<K, V> {
    /// Shows `value` as long as the returned value lives.
    pub(super) fn enter(self: &Arc<Self>, key: K, value: V) -> ShownWork<K, V> {
        self.all().insert(key.clone(), value);
        ShownWork { all: Arc::clone(self), key }
    }

    /// What is shown of `key`.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.all().get(key).cloned()
    }
}

impl<K, V> Shown<K, V> {
    fn all(&self) -> MutexGuard<'_, BTreeMap<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone, V> ShownWork<K, V> {
    /// Shows another value instead.
    pub(super) fn change(&self, value: V) {
        self.all.all().insert(self.key.clone(), value);
    }
}

impl<K: Ord, V> Drop for ShownWork<K, V> {
    fn drop(&mut self) {
        self.all.all().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shown_while_it_lasts() {
        let shown: Arc<Shown<&str, u8>> = Arc::default();
        let one = shown.enter("one", 1);
        let two = shown.enter("two", 2);
        assert_eq!((shown.get(&"one"), shown.get(&"two"), shown.get(&"three")), (Some(1), Some(2), None));
        one.change(3);
        assert_eq!(shown.get(&"one"), Some(3));
        drop(one);
        assert_eq!((shown.get(&"one"), shown.get(&"two")), (None, Some(2)));
        drop(two);
    }
}
