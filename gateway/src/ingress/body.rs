//! Receives the body of an event within its limits, chunk by chunk as it comes.

use std::pin::pin;
use std::sync::Arc;

use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use towpath_event::Payload;
use towpath_payloads::{Draw, Full, Lease};

use super::rejection::Rejection;
use crate::state::State;

/// What an event takes besides its body, in bytes: its head stays in the buffer that it was read into.
const HEAD_BYTES: u64 = 8 * 1024;

/// Room for a body that is still to come.
pub(crate) struct Admitted {
    announced: Option<u64>,
    lease: Lease,
}

/// Makes room for `body` before any of it is read.
pub(crate) fn admit(
    state: &State,
    namespace: &Arc<str>,
    body: &Incoming,
) -> Result<Admitted, Rejection> {
    let announced = body.size_hint().exact();
    let limit = state.settings.limits.max_event_bytes;
    if let Some(size) = announced.filter(|size| *size > limit) {
        return Err(too_large(size, limit));
    }
    let bytes = HEAD_BYTES + announced.unwrap_or_default();
    let lease = state
        .budget
        .take(namespace, Draw::Door, bytes)
        .map_err(|full| no_room(full, bytes))?;
    Ok(Admitted { announced, lease })
}

/// Receives `body` to its end.
pub(crate) async fn receive(
    state: &State,
    admitted: Admitted,
    mut body: Incoming,
) -> Result<Payload, Rejection> {
    let Admitted {
        announced,
        mut lease,
    } = admitted;
    let limit = state.settings.limits.max_event_bytes;
    let idle = state.settings.timeouts.body_idle;
    // One timer for the whole body, moved only when it fires: arming one costs a system call.
    let mut last = Instant::now();
    let mut timer = pin!(tokio::time::sleep(idle));
    let (mut chunks, mut size) = (Vec::new(), 0u64);
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = timer.as_mut() => {
                if last.elapsed() >= idle {
                    return Err(Rejection::Stalled(idle));
                }
                timer.as_mut().reset(last + idle);
                continue;
            }
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(Rejection::Truncated),
            None => return Ok(Payload::from_chunks(chunks).with_lease(lease)),
        };
        last = Instant::now();
        // Trailers are no part of an event.
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        let more = chunk.len() as u64;
        size += more;
        if size > limit {
            return Err(too_large(size, limit));
        }
        if announced.is_none() {
            lease
                .grow(more)
                .map_err(|full| no_room(full, HEAD_BYTES + size))?;
        }
        if !chunk.is_empty() {
            chunks.push(chunk);
        }
    }
}

/// An event that can never fit is too large, not too early: a retry would fail for ever.
fn no_room(full: Full, whole: u64) -> Rejection {
    if whole > full.limit {
        Rejection::TooLarge {
            size: whole,
            limit: full.limit,
            setting: full.setting,
        }
    } else {
        Rejection::Full(full)
    }
}

fn too_large(size: u64, limit: u64) -> Rejection {
    Rejection::TooLarge {
        size,
        limit,
        setting: "limits.maxEventBytes",
    }
}
