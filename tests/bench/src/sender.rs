//! The sender: so many workflows at once, each a closed loop of one event after the other.

use crate::client::Client;
use crate::clock::now_nanos;
use crate::control::{ID, SENT};
use crate::frames::Frames;
use crate::histogram::Times;
use crate::payload::Payload;
use crate::systems::Entry;
use anyhow::{Context, Result, bail};
use http::{Request, StatusCode, header};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest wait for one event to pass all steps. Over it the run is void, rather than without end.
const LONGEST_EVENT: Duration = Duration::from_secs(60);

/// What was sent, and answered, in one stretch of load.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Events that passed all steps.
    pub(crate) events: u64,
    /// From the first event's start to the last one's answer.
    pub(crate) elapsed: Duration,
    /// Times of whole events, from the start of the POST to its answer.
    pub(crate) whole: Times,
}

/// Sends events through one client, whose connections stay open from one stretch of load to the next.
#[derive(Debug)]
pub(crate) struct Sender {
    client: Arc<Client>,
    path: Arc<str>,
    payload: Payload,
    next: Arc<AtomicU64>,
}

impl Sender {
    /// A sender of events with bodies of `size` bytes.
    pub(crate) fn new(entry: &Entry, size: usize) -> Self {
        Self {
            client: Arc::new(Client::new(entry.address)),
            path: Arc::from(entry.path.as_str()),
            payload: Payload::new(size),
            next: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Keeps `workflows` events in flight for `duration`, then waits for the last of them. Each workflow
    /// sends at least one event.
    ///
    /// # Errors
    /// The first event that was not answered with 202 within a minute.
    pub(crate) async fn load(&self, workflows: u32, duration: Duration) -> Result<Sent> {
        let start = Instant::now();
        let deadline = start + duration;
        let mut tasks = JoinSet::new();
        for _ in 0..workflows {
            let (client, path) = (Arc::clone(&self.client), Arc::clone(&self.path));
            let (payload, next) = (self.payload.clone(), Arc::clone(&self.next));
            tasks.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let began = now_nanos();
                    tokio::time::timeout(LONGEST_EVENT, one(&client, &path, &payload, number))
                        .await
                        .with_context(|| format!("event {number} took over a minute"))??;
                    times.push(now_nanos().saturating_sub(began));
                    if Instant::now() >= deadline {
                        return Ok::<_, anyhow::Error>(times);
                    }
                }
            });
        }
        let mut whole = Times::new()?;
        while let Some(times) = tasks.join_next().await {
            for nanos in times?? {
                whole.record(nanos);
            }
        }
        Ok(Sent {
            events: whole.count(),
            elapsed: start.elapsed(),
            whole,
        })
    }
}

async fn one(client: &Client, path: &str, payload: &Payload, number: u64) -> Result<()> {
    let request = Request::post(path)
        .header("ce-specversion", "1.0")
        .header(ID, number)
        .header("ce-source", "/bench/sender")
        .header("ce-type", "dev.towpath.bench")
        .header(SENT, now_nanos())
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .body(payload.body(number))?;
    let (status, answer): (StatusCode, Frames) = client
        .exchange(request)
        .await
        .with_context(|| format!("event {number}"))?;
    if status != StatusCode::ACCEPTED {
        let text = String::from_utf8_lossy(&answer.joined()).into_owned();
        bail!("event {number} was answered {status}: {text}");
    }
    Ok(())
}
