//! A reply: the event in a subscriber's answer.

use std::sync::Arc;

use http::HeaderMap;
use towpath_event::http::{Mode, read_binary, read_structured};
use towpath_event::{Event, Message, Origin, PassThrough, Payload};
use towpath_payloads::Draw;

use super::outcome::Failure;
use crate::send::Answer;
use crate::state::State;

/// What came back from a subscriber.
pub(crate) struct Reply {
    /// The event, or why its destination can never take it: that fails the reply, not the subscriber (C5.6).
    pub(crate) event: Result<Event, Failure>,
    /// The pass-through headers of the answer (C4.4).
    pub(crate) headers: PassThrough,
    /// The replica that gave it.
    pub(crate) origin: Option<Origin>,
}

impl Reply {
    /// The event itself, for an entry that has only a reply.
    pub(crate) fn of_itself(message: &Message) -> Self {
        Self {
            event: Ok(message.event.clone()),
            headers: message.headers.clone(),
            origin: message.origin.clone(),
        }
    }
}

/// Reads the body of an answer that is an event in `mode`. A reply obeys the limits of an event from outside.
///
/// # Errors
/// The attempt failed: the answer broke off, or there is no room for it now.
pub(crate) async fn read(
    state: &State,
    namespace: &Arc<str>,
    mut answer: Answer,
    mode: Mode,
    origin: Option<Origin>,
) -> Result<Reply, Failure> {
    let headers = PassThrough::from_headers(&answer.headers);
    let limit = state.settings.limits.max_event_bytes;
    let announced = answer.announced_len();
    if announced.is_some_and(|len| len > limit) {
        return Ok(Reply {
            event: Err(too_large(limit)),
            headers,
            origin,
        });
    }
    let full =
        |full: towpath_payloads::Full| Failure::ours(503, &format!("reply refused: {full}"), true);
    let mut lease = state
        .budget
        .take(namespace, Draw::Reply, announced.unwrap_or_default())
        .map_err(full)?;
    let (mut chunks, mut len) = (Vec::new(), 0u64);
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| Failure::no_answer(&error))?
    {
        len += chunk.len() as u64;
        if len > limit {
            return Ok(Reply {
                event: Err(too_large(limit)),
                headers,
                origin,
            });
        }
        if announced.is_none() {
            lease.grow(chunk.len() as u64).map_err(full)?;
        }
        chunks.push(chunk);
    }
    let payload = Payload::from_chunks(chunks).with_lease(lease);
    let event = decode(mode, &answer.headers, payload);
    answer.finish();
    Ok(Reply {
        event,
        headers,
        origin,
    })
}

fn decode(mode: Mode, headers: &HeaderMap, payload: Payload) -> Result<Event, Failure> {
    let event = match mode {
        Mode::Structured => {
            let event = read_structured(&payload.to_bytes());
            event.map(|event| Event::new(event.attributes, event.payload.with_lease_of(&payload)))
        }
        Mode::Binary | Mode::Batch | Mode::NotAnEvent => {
            read_binary(headers).map(|attributes| Event::new(attributes, payload))
        }
    };
    event.map_err(|invalid| {
        Failure::ours(
            500,
            &format!("the reply is not a valid event: {invalid}"),
            false,
        )
    })
}

fn too_large(limit: u64) -> Failure {
    let text =
        format!("the reply is larger than {limit} bytes, the limit (setting limits.maxEventBytes)");
    Failure::ours(413, &text, false)
}
