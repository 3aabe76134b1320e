//! The data plane: takes events, delivers them to every subscription, takes the replies.
#![doc = include_str!("../README.md")]

mod accept;
mod admin;
mod admission;
mod broker;
mod client;
mod delivery;
mod explain;
mod gateway;
mod ingress;
mod intake;
mod memory_limit;
mod payload_api;
mod peer;
mod peering;
pub mod routing;
mod send;
mod state;
mod stores;
mod streams;
mod telemetry;
mod topology_source;
mod workers;

pub use client::{Answer, Client, Mode, NoAnswer};
pub use explain::{Explained, ExplainedSubscription, NoSuchAddress, explain};
pub use gateway::{ApiError, Gateway, Source, StartError, StoreOpenError, Unfinished};
pub use topology_source::{FolderError, read_folder};
