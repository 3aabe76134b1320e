//! Which replica an attempt goes to: so far in turn over the ready endpoints of a Service.

pub mod choose;
pub mod load;
mod placement;
mod replicas;

pub use placement::{Place, Placement};

pub(crate) use replicas::ReplicaTable;

use http::uri::Authority;
use towpath_config::topology::{Destination, Target};
use towpath_event::Origin;

use crate::send::{Endpoint, SendError};

/// Decides where the next attempt for `destination` connects to.
///
/// # Errors
/// [`SendError::NoReplica`] when its Service has EndpointSlices and none of their endpoints is ready.
pub(crate) fn choose(
    replicas: &ReplicaTable,
    destination: &Destination,
) -> Result<Choice, SendError> {
    let authority = destination.uri.authority().ok_or(SendError::NoReplica)?;
    match &destination.target {
        Target::Service(port) => match replicas.get(port) {
            Some(candidates) => {
                let candidate = candidates.in_turn().ok_or(SendError::NoReplica)?;
                let endpoint = Endpoint::of(
                    destination,
                    authority,
                    Some(candidate.replica.address),
                    candidates.h2c,
                );
                Ok(Choice {
                    endpoint,
                    origin: Some(candidate.origin.clone()),
                })
            }
            None => Ok(by_name(destination, authority)),
        },
        Target::Uri | Target::Hosted(_) => Ok(by_name(destination, authority)),
    }
}

/// Where an attempt goes.
pub(crate) struct Choice {
    pub(crate) endpoint: Endpoint,
    /// What a reply from there has as its origin; `None` when only a name is known.
    pub(crate) origin: Option<Origin>,
}

fn by_name(destination: &Destination, authority: &Authority) -> Choice {
    Choice {
        endpoint: Endpoint::of(destination, authority, None, false),
        origin: None,
    }
}
