//! Which payloads rest in the stores that this process has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use towpath_event::{ClaimCheck, PayloadId, Place, ReadError};

use super::directory::{Found, Home};
use super::handed::Handed;
use super::payload::NodePayload;
use crate::{Budget, Full, Lease, Listed, StoreError, Usage};

/// The namespace of payloads that an earlier process left: nobody's.
const NOBODY: &str = "";

#[derive(Debug, Default)]
pub(super) struct Table(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rows: HashMap<PayloadId, Row>,
    /// Our own first; the others are adopted.
    homes: Vec<Arc<Home>>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) home: Arc<Home>,
    pub(super) share: Arc<Share>,
    pub(super) since: SystemTime,
    pub(super) complete: bool,
    pub(super) alive: Weak<NodePayload>,
    pub(super) handed: Option<Arc<Handed>>,
}

/// The share of the quota that a payload has, as long as its file is there or open.
#[derive(Debug)]
pub(super) struct Share {
    lease: Mutex<Lease>,
    bytes: AtomicU64,
}

/// A payload that was looked up.
pub(super) enum Sought {
    Alive(Arc<NodePayload>),
    Resting {
        home: Arc<Home>,
        share: Arc<Share>,
        handed: Option<Arc<Handed>>,
    },
}

impl Share {
    pub(super) fn new(lease: Lease, bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            lease: Mutex::new(lease),
            bytes: AtomicU64::new(bytes),
        })
    }

    /// Takes `more` bytes.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn grow(&self, more: u64) -> Result<(), Full> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        lease.grow(more)?;
        self.bytes.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }

    /// As much again.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn again(&self) -> Result<Arc<Self>, Full> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.bytes();
        Ok(Self::new(lease.again()?, bytes))
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Table {
    /// Adds a store and what was found in it, which counts against the quota whether it fits or not.
    pub(super) fn add_home(&self, home: &Arc<Home>, found: Vec<Found>, budget: &Budget) {
        let mut state = self.state();
        state.homes.push(Arc::clone(home));
        for payload in found {
            let lease = budget.count(&Arc::from(NOBODY), payload.bytes);
            let row = Row {
                home: Arc::clone(home),
                share: Share::new(lease, payload.bytes),
                since: payload.written,
                complete: payload.complete,
                alive: Weak::new(),
                handed: None,
            };
            state.rows.insert(payload.id, row);
        }
    }

    pub(super) fn insert(&self, id: PayloadId, row: Row) {
        self.state().rows.insert(id, row);
    }

    /// A payload is all there now.
    pub(super) fn complete(&self, id: PayloadId) {
        if let Some(row) = self.state().rows.get_mut(&id) {
            row.complete = true;
        }
    }

    /// The payload that was found at rest is alive as `found`, or is already, as what this returns.
    pub(super) fn revive(&self, id: PayloadId, found: Arc<NodePayload>) -> Arc<NodePayload> {
        let mut state = self.state();
        match state.rows.get_mut(&id) {
            Some(row) => match row.alive.upgrade() {
                Some(alive) => alive,
                None => {
                    row.alive = Arc::downgrade(&found);
                    found
                }
            },
            None => found,
        }
    }

    /// Looks a complete payload up, or one that is alive.
    ///
    /// # Errors
    /// [`ReadError::Missing`], [`ReadError::Damaged`] if its size is another.
    pub(super) fn seek(&self, claim: &ClaimCheck) -> Result<Sought, StoreError> {
        let state = self.state();
        let row = state.rows.get(&claim.id);
        let row = row.filter(|row| matches!(&claim.place, Place::Node(id) if *id == row.home.id));
        let alive = row.and_then(|row| row.alive.upgrade());
        let Some(row) = row.filter(|row| row.complete || alive.is_some()) else {
            return Err(ReadError::Missing(claim.to_string().into()).into());
        };
        let size = match &alive {
            Some(alive) => towpath_event::SetAside::size(&**alive),
            None => row.share.bytes(),
        };
        if size != claim.size {
            let text = format!("{claim} has {size} bytes");
            return Err(ReadError::Damaged(text.into()).into());
        }
        Ok(match alive {
            Some(alive) => Sought::Alive(alive),
            None => Sought::Resting {
                home: Arc::clone(&row.home),
                share: Arc::clone(&row.share),
                handed: row.handed.clone(),
            },
        })
    }

    /// Where a payload is.
    pub(super) fn home_of(&self, id: PayloadId) -> Option<(Arc<Home>, Option<Arc<Handed>>)> {
        let state = self.state();
        let row = state.rows.get(&id)?;
        Some((Arc::clone(&row.home), row.handed.clone()))
    }

    /// A payload is gone. Gives the store that is to be removed with it: an adopted one that is empty now.
    pub(super) fn remove(&self, id: PayloadId) -> Option<Arc<Home>> {
        let mut state = self.state();
        let row = state.rows.remove(&id)?;
        let home = Arc::clone(&row.home);
        let empty = state.forget_if_empty(&home);
        drop(state);
        // Gives its share back, if nobody has it open.
        drop(row);
        empty
    }

    /// Adopted stores in which nothing rests; they are ours no more.
    pub(super) fn take_empty(&self) -> Vec<Arc<Home>> {
        let mut state = self.state();
        let homes = state.homes.clone();
        let mut empty = Vec::new();
        for home in homes {
            empty.extend(state.forget_if_empty(&home));
        }
        empty
    }

    pub(super) fn homes(&self) -> Vec<Arc<Home>> {
        self.state().homes.clone()
    }

    pub(super) fn has_home(&self, id: &str) -> bool {
        self.state().homes.iter().any(|home| *home.id == *id)
    }

    pub(super) fn in_use(&self, id: PayloadId) -> bool {
        let state = self.state();
        state
            .rows
            .get(&id)
            .is_some_and(|row| row.alive.strong_count() > 0)
    }

    pub(super) fn list(&self) -> Vec<Listed> {
        let state = self.state();
        let listed = state.rows.iter().map(|(id, row)| Listed {
            id: *id,
            bytes: row.share.bytes(),
            written: row.since,
        });
        listed.collect()
    }

    pub(super) fn usage(&self) -> Usage {
        let state = self.state();
        Usage {
            objects: state.rows.len() as u64,
            bytes: state.rows.values().map(|row| row.share.bytes()).sum(),
            oldest: state.rows.values().map(|row| row.since).min(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes `home` out if nothing rests in it, unless it is our own.
    fn forget_if_empty(&mut self, home: &Arc<Home>) -> Option<Arc<Home>> {
        let mut adopted = self.homes.iter().skip(1);
        let at = adopted.position(|other| Arc::ptr_eq(other, home))?;
        let used = |row: &Row| Arc::ptr_eq(&row.home, home);
        (!self.rows.values().any(used)).then(|| self.homes.remove(at + 1))
    }
}
