//! An event in structured mode: bounded, and made where it holds up no other event.

use std::sync::Arc;

use towpath_event::http::write_structured;
use towpath_event::{Event, Payload, Read};
use towpath_payloads::Draw;

use super::outcome::Failure;
use crate::state::State;

/// The whole of `event` as one body. Its data is read into memory for this.
///
/// # Errors
/// The attempt failed: the event is too large for this mode (for good), there is no room for it now, or its data
/// cannot be read.
pub(crate) async fn encode(
    state: &State,
    namespace: &Arc<str>,
    event: &Event,
) -> Result<Payload, Failure> {
    let (size, limit) = (
        event.payload.len(),
        state.settings.limits.max_structured_bytes,
    );
    if size > limit {
        return Err(too_large(size, limit));
    }
    let event = in_memory(state, namespace, event).await?;
    let encoded = if size > state.settings.limits.inline_max {
        let encoding = state.admission.heavy(move || write_structured(&event));
        encoding.await.flatten()
    } else {
        write_structured(&event)
    };
    let encoded =
        encoded.ok_or_else(|| Failure::ours(500, "the event could not be encoded", true))?;
    if encoded.len() > limit {
        return Err(too_large(encoded.len(), limit));
    }
    Ok(encoded)
}

fn too_large(size: u64, limit: u64) -> Failure {
    let text = format!(
        "the event has at least {size} bytes in structured mode, more than the limit of {limit} (setting \
         limits.maxStructuredBytes); remove `format: json` from the delivery spec, or raise the limit"
    );
    Failure::ours(413, &text, false)
}

async fn in_memory(state: &State, namespace: &Arc<str>, event: &Event) -> Result<Event, Failure> {
    if event.payload.stored().is_none() {
        return Ok(event.clone());
    }
    // Base64, where it is needed, takes a third more.
    let room = event.payload.len() / 3 * 7;
    let lease = state.admission.budget.take(namespace, Draw::Reply, room);
    let lease = lease.map_err(|full| Failure::ours(503, &full.to_string(), true))?;
    let (mut reader, mut chunks) = (event.payload.read(), Vec::new());
    while let Some(chunk) = std::future::poll_fn(|cx| reader.poll_chunk(cx)).await {
        chunks.push(chunk.map_err(|error| Failure::unreadable(&error))?);
    }
    let data = Payload::from_chunks(chunks).with_lease(lease);
    Ok(Event::new(event.attributes.clone(), data))
}
