//! What a gateway tells about itself: metrics, and the labels that keep them bounded.

mod dispatch;
mod event_types;
mod hops;
mod metrics;

pub(crate) use dispatch::{Dispatch, Series, ToSubscriber};
pub(crate) use metrics::{Metrics, Rejected, destination};
