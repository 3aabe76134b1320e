//! Which replica an attempt goes to: the candidates with their load, the choice and its reason, the place there.
#![doc = include_str!("README.md")]

mod by_node;
mod checks;
pub mod choose;
pub mod load;
mod placement;
mod replicas;
mod reroute;
mod route;
mod seat;

pub use placement::{Place, Placement};

pub(crate) use checks::Checks;
pub(crate) use replicas::{Candidate, ReplicaTable};
pub(crate) use route::{Ask, DataAt, Here, Route, Router, Tried};
pub(crate) use seat::Seat;
