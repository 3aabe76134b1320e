//! Where payloads wait, and how much of them may be here at once.
#![doc = include_str!("../README.md")]

mod budget;
mod checked;
mod grace;
mod growth;
mod intake;
mod memory;
mod metered;
mod metrics;
mod nats;
mod node;
mod object;
mod peer;
mod remote;
mod store;
mod stores;
#[cfg(feature = "suite")]
pub mod suite;
mod sweep;

pub use budget::{Budget, Draw, Full, Lease, Settings as BudgetSettings};
pub use grace::Grace;
pub use memory::MemoryStore;
pub use metrics::PayloadMetrics;
pub use nats::{NatsSettings, NatsStore};
pub use node::{AdoptError, NodeStore};
pub use object::{S3Credentials, S3Settings, S3Store};
pub use peer::{PeerTransport, Peers};
pub use remote::OpenError;
pub use store::{Life, Listed, New, PayloadStore, StoreError, Tier, Usage, Writer};
pub use stores::{Begin, Stores};
pub use sweep::{Swept, sweep};

use towpath_event::PayloadId;

/// A new id: random, so that nobody can guess one, and none is made twice.
fn new_id() -> PayloadId {
    let mut bytes = [0; 16];
    // From a generator of each thread, without a system call for each id.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => PayloadId::from_bytes(
            uuid::Builder::from_random_bytes(bytes)
                .into_uuid()
                .into_bytes(),
        ),
        Err(_) => PayloadId::from_bytes(uuid::Uuid::new_v4().into_bytes()),
    }
}
