//! What this process knows of the payloads in a store elsewhere: what it wrote, less what is gone, and its handles.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use towpath_event::PayloadId;

use crate::Usage;

/// The account of one store. It is set right by each whole listing, since others delete too.
#[derive(Debug, Default)]
pub(crate) struct Account {
    entries: Mutex<HashMap<PayloadId, Entry>>,
    /// How many handles there are to each payload.
    handles: Mutex<HashMap<PayloadId, usize>>,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    began: SystemTime,
}

/// What was known when a listing began, less what it has shown.
#[derive(Debug)]
pub(crate) struct Unseen(HashSet<PayloadId>);

impl Account {
    /// This payload takes so many bytes, from now on unless it is known already.
    pub(crate) fn takes(&self, id: PayloadId, bytes: u64) {
        let mut entries = self.entries();
        let began = SystemTime::now();
        entries.entry(id).or_insert(Entry { bytes, began }).bytes = bytes;
    }

    /// This payload is not there any more.
    pub(crate) fn gone(&self, id: PayloadId) {
        self.entries().remove(&id);
    }

    /// A listing begins.
    pub(crate) fn unseen(&self) -> Unseen {
        Unseen(self.entries().keys().copied().collect())
    }

    /// A listing has come to its end: what it did not show, though it was known before, was deleted by others.
    pub(crate) fn listed(&self, unseen: &Unseen) {
        self.entries().retain(|id, _| !unseen.0.contains(id));
    }

    /// There is one more handle to this payload.
    pub(crate) fn taken(&self, id: PayloadId) {
        *lock(&self.handles).entry(id).or_default() += 1;
    }

    /// There is one less.
    pub(crate) fn let_go(&self, id: PayloadId) {
        let mut handles = lock(&self.handles);
        match handles.get_mut(&id) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(handles.remove(&id)),
        }
    }

    /// Whether there is a handle to this payload.
    pub(crate) fn in_use(&self, id: PayloadId) -> bool {
        lock(&self.handles).contains_key(&id)
    }

    pub(crate) fn usage(&self) -> Usage {
        let entries = self.entries();
        Usage {
            objects: entries.len() as u64,
            bytes: entries.values().map(|entry| entry.bytes).sum(),
            oldest: entries.values().map(|entry| entry.began).min(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<PayloadId, Entry>> {
        lock(&self.entries)
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unseen {
    /// The listing shows this one.
    pub(crate) fn seen(&mut self, id: PayloadId) {
        self.0.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_sets_the_account_right() {
        let account = Account::default();
        let [first, second, third] = [1, 2, 3].map(|n| PayloadId::from_bytes([n; 16]));
        account.takes(first, 10);
        account.takes(second, 20);
        let mut unseen = account.unseen();
        unseen.seen(first);
        account.takes(third, 5);
        account.takes(third, 7);
        account.listed(&unseen);
        let usage = account.usage();
        assert_eq!((usage.objects, usage.bytes), (2, 17));
        account.gone(first);
        account.gone(third);
        assert_eq!(account.usage(), Usage::default());
    }

    #[test]
    fn in_use_is_what_somebody_has() {
        let account = Account::default();
        let id = PayloadId::from_bytes([1; 16]);
        account.taken(id);
        account.taken(id);
        account.let_go(id);
        assert!(account.in_use(id));
        account.let_go(id);
        assert!(!account.in_use(id));
        account.let_go(id);
        assert!(!account.in_use(id));
    }
}
