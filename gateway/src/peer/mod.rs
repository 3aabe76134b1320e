//! Gateways among themselves: attempts made for and by others, payloads, and the load of replicas.
#![doc = include_str!("README.md")]

mod auth;
mod client;
mod feed;
mod held;
mod lent;
mod server;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub(crate) use client::{Links, LinksConfig, PeerError};
pub(crate) use feed::{Feeds, Replicas, Sent, follow};
pub(crate) use lent::Lent;
pub(crate) use server::{Server, serve};
pub(crate) use wire::{
    AnswerResult, Data, Failed, LegKind, NoAnswerKind, PeerAnswer, PeerAttempt, PeerReply,
};

/// Makes the attempts that other gateways ask for.
///
/// The answer must be [`PeerAnswer::NotMine`] unless the topology has the channel with that subscription, that has a
/// destination for the leg, and the replica is one of its candidates on this node: a request can name no address that the
/// manifests do not.
pub(crate) trait Attempts: Send + Sync {
    /// Makes an attempt for the gateway on the node `from`, and answers within the attempt's timeout, counted from when all
    /// of its data is here. It is dropped when that gateway gives up. `sent` counts the attempt in the load feed while it
    /// lives.
    fn attempt<'a>(
        &'a self,
        from: &'a Arc<str>,
        attempt: PeerAttempt,
        sent: Sent,
    ) -> BoxFuture<'a, PeerAnswer>;
}

/// The header of an attempt that says in which namespace's share of the budget its body is.
const NAMESPACE: &str = "towpath-namespace";
/// The header of a payload that was complete when the answer began: how long it took says how fast the network is.
const WHOLE: &str = "towpath-whole";
