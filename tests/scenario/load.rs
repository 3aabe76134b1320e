//! Load for scenarios: producers that post numbered events and know which were acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;
use towpath_harness::manifest::channel_path;
use towpath_harness::{Event, Sender};

/// What a load did.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Ids that were answered with 202.
    pub(crate) acknowledged: Vec<u64>,
    /// Ids that were answered otherwise, with the status.
    pub(crate) refused: Vec<(u64, u16)>,
    /// Ids whose answer never came.
    pub(crate) broken: Vec<u64>,
}

/// A running load; each producer has one connection and waits for each answer.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    producers: JoinSet<Sent>,
}

impl Load {
    /// Starts `producers` that post to `channel` until `total` events are sent, or they are stopped.
    pub(crate) fn start(address: SocketAddr, channel: &str, producers: usize, total: u64) -> Self {
        Load::of(address, &channel_path(channel), producers, total, |id| {
            Event::numbered(id)
        })
    }

    /// The same with a path to post to, and with events of one's own; the id of an event must be its number.
    pub(crate) fn of(
        address: SocketAddr,
        path: &str,
        producers: usize,
        total: u64,
        event: fn(u64) -> Event,
    ) -> Self {
        let mut load = Load {
            stop: Arc::default(),
            next: Arc::default(),
            producers: JoinSet::new(),
        };
        for _ in 0..producers {
            let (stop, next, path) = (
                Arc::clone(&load.stop),
                Arc::clone(&load.next),
                path.to_owned(),
            );
            load.producers.spawn(async move {
                let mut sender = Sender::new(address);
                let mut sent = Sent::default();
                while !stop.load(Ordering::Relaxed) {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    if id >= total {
                        break;
                    }
                    match sender.post(&path, &event(id).binary()).await {
                        Ok(response) if response.code() == 202 => sent.acknowledged.push(id),
                        Ok(response) => sent.refused.push((id, response.code())),
                        Err(_) => sent.broken.push(id),
                    }
                }
                sent
            });
        }
        load
    }

    /// How many events have been begun.
    pub(crate) fn begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Stops the producers after their current event, and gives what they did.
    pub(crate) async fn stop(self) -> anyhow::Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.end().await
    }

    /// Waits for the producers, and gives what they did.
    pub(crate) async fn end(mut self) -> anyhow::Result<Sent> {
        let mut all = Sent::default();
        while let Some(sent) = self.producers.join_next().await {
            let sent = sent?;
            all.acknowledged.extend(sent.acknowledged);
            all.refused.extend(sent.refused);
            all.broken.extend(sent.broken);
        }
        Ok(all)
    }
}
