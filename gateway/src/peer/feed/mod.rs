//! The load feed: an owner tells the gateways that have its replicas as candidates how much is in flight there.

mod follow;
mod frame;
mod sent;
mod serve;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use towpath_config::topology::ServicePort;

use crate::routing::load::Load;

pub(crate) use follow::follow;
pub(crate) use sent::Sent;
pub(crate) use serve::Feeds;
pub(super) use serve::{Asked, Service};

/// The replicas that there are now, by node: for both ends of a feed.
pub(crate) trait Replicas: Send + Sync {
    /// The ports of Services that hops of this gateway may go to and that have a replica on `node`. In a stable order.
    fn services_on(&self, node: &str) -> Vec<ServicePort>;

    /// The replicas of `services` on `node`, with their loads; the same load for the same replica as long as it is there.
    fn loads_on(&self, node: &str, services: &[ServicePort]) -> Vec<(SocketAddr, Arc<Load>)>;
}
