//! Channels: what accepts control messages and hands each to every subscription.
#![doc = include_str!("../README.md")]

mod channel;
mod memory;
mod settlement;
#[cfg(feature = "suite")]
pub mod suite;

pub use channel::{Channel, Delivery, Position, PublishError, Settle};
pub use memory::Memory;
pub use settlement::{Failure, Settled, Settlement};
