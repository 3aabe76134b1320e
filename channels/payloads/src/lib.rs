//! Where payloads wait, and how much of them may be here at once.
#![doc = include_str!("../README.md")]

mod budget;
mod growth;
mod intake;
mod memory;
mod store;
mod stores;

pub use budget::{Budget, Draw, Full, Lease, Settings as BudgetSettings};
pub use memory::MemoryStore;
pub use store::{Life, Listed, New, PayloadStore, StoreError, Tier, Usage, Writer};
pub use stores::{Begin, Stores};

use towpath_event::PayloadId;

/// A new id: random, so that nobody can guess one, and none is made twice.
fn new_id() -> PayloadId {
    PayloadId::from_bytes(uuid::Uuid::new_v4().into_bytes())
}
