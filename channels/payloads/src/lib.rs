//! Where payloads wait, and how much of them may be here at once: so far the byte budget.
#![doc = include_str!("../README.md")]

mod budget;

pub use budget::{Budget, Draw, Full, Lease};
