//! The public door: from an HTTP request to an accepted event (DESIGN section 4, step 1).

mod address;
mod body;
mod connection;
mod listener;
mod pace;
mod probe;
mod rejection;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::time::Instant;
use towpath_channels::Settlement;
use towpath_event::http::{Mode, mode, read_binary, read_structured};
use towpath_event::{Event, PassThrough, Payload, TraceContext};
use towpath_payloads::Draw;

use crate::accept::{Arrival, accept};
use crate::intake::{Intake, Room, Unfit};
use crate::payload_api::{self, ReadBody};
use crate::state::{Live, State};
pub(crate) use address::{AddressError, resolve};
pub(crate) use body::{BrokeOff, Paused};
pub(crate) use listener::Listener;
use pace::Pace;
use probe::Asks;
use rejection::Rejection;

/// What is left of the hop budget of an event that another gateway sends on.
const HOPS: HeaderName = HeaderName::from_static("knative-towpath-hops");

/// Answers one request, counted and timed.
async fn serve(state: &Arc<State>, pace: &Pace, request: Request<Incoming>) -> Answer {
    if request.uri().path().starts_with(payload_api::PATH) {
        return payloads(state, pace, request).await;
    }
    events(state, pace, request).await.map(Either::Left)
}

/// What an answer to a request is: a few words, or a payload.
pub(crate) type Answer = Response<Either<Full<Bytes>, ReadBody>>;

/// A request to the payload API.
async fn payloads(state: &State, pace: &Pace, request: Request<Incoming>) -> Answer {
    let (method, started) = (request.method().clone(), Instant::now());
    // Only an upload is read, and only one that was taken to its end.
    pace.body_unread(!request.body().is_end_stream());
    let response = payload_api::serve(&state.api, request).await;
    if response.status() == StatusCode::CREATED {
        pace.body_unread(false);
    }
    state.metrics.served(&method, response.status(), started);
    response.map(Either::Right)
}

/// A request to a channel or broker.
async fn events(
    state: &Arc<State>,
    pace: &Pace,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let asks = probe::asks(request.method(), request.headers());
    if asks == Asks::KubeProbe {
        return probe::kube_probe(state.is_draining());
    }
    let live = state.live.load_full();
    if asks == Asks::NetworkProbe {
        let known = address::resolve(&live.topology, host(&request), request.uri().path()).is_ok();
        return probe::network_probe(state.is_draining(), known, request.headers());
    }
    let (method, started) = (request.method().clone(), Instant::now());
    let response = if asks == Asks::Options {
        probe::options()
    } else {
        match take(state, &live, pace, request).await {
            Ok(()) => accepted(),
            Err(rejection) => {
                tracing::debug!(?rejection, "rejected");
                state.metrics.rejected(rejection.reason());
                rejection.response()
            }
        }
    };
    state.metrics.served(&method, response.status(), started);
    response
}

/// Takes one event. Checks come cheapest first, and all that need no body before the body is read.
async fn take(
    state: &Arc<State>,
    live: &Arc<Live>,
    pace: &Pace,
    request: Request<Incoming>,
) -> Result<(), Rejection> {
    // Until the body has been read to its end the connection cannot serve another request.
    pace.body_unread(true);
    if request.method() != Method::POST {
        return Err(Rejection::Method);
    }
    let key = address::resolve(&live.topology, host(&request), request.uri().path())?;
    check_head(request.headers(), state.settings.limits.max_header_bytes)?;
    let (head, body) = request.into_parts();
    let mode = mode(&head.headers);
    let attributes = match mode {
        Mode::Binary => Some(read_binary(&head.headers)?),
        Mode::Structured => None,
        Mode::Batch => return Err(Rejection::Batch),
        // Says what is missing, or which version is not known.
        Mode::NotAnEvent => {
            return Err(read_binary(&head.headers)
                .err()
                .map_or(Rejection::NotAnEvent, Rejection::Invalid));
        }
    };
    let hops = hops(&head.headers, state.settings.limits.hops).ok_or(Rejection::Loop)?;

    let hosted = live.hosted(&key).ok_or(Rejection::Gone)?;
    let intake = Intake {
        admission: &state.admission,
        namespace: &key.namespace,
        draw: Draw::Door,
        structured: attributes.is_none(),
        as_file: hosted.served.shows_references(),
    };
    let room = intake.admit(body.size_hint().exact()).await?;
    let mut source = Paused::new(body, state.settings.timeouts.body_idle);
    let (settlement, settled) = Settlement::new();
    let trace = TraceContext::from_headers(&head.headers).child();
    let headers = PassThrough::from_headers(&head.headers);
    let arrival = |event| Arrival {
        event,
        headers,
        trace,
        hops,
        origin: None,
    };
    let received = |bytes| {
        pace.body_unread(false);
        state.metrics.received(bytes);
    };
    match (room, attributes) {
        (Room::Small { announced, lease }, attributes) => {
            let data = intake.collect(announced, lease, &mut source).await?;
            received(data.len());
            let event = match attributes {
                Some(attributes) => Event::new(attributes, data),
                None => parse(intake, data).await?,
            };
            accept(state, live, &key, arrival(event), settlement).await?;
        }
        (Room::Bulky(mut bulky), Some(attributes)) => {
            let event = Event::new(attributes, bulky.payload());
            let size = event.payload.len();
            let filled = async {
                let filled = bulky.fill(&mut source, 0, intake.limit()).await?;
                filled.finish().await.map_err(Unfit::Store)?;
                received(size);
                Ok::<_, Rejection>(())
            };
            let accepted = async {
                let accepted = accept(state, live, &key, arrival(event), settlement).await;
                accepted.map_err(Rejection::Refused)
            };
            // Its subscribers receive it while it comes; where the channel wants it whole, acceptance waits for that.
            Box::pin(async { tokio::try_join!(accepted, filled) }).await?;
        }
        // A structured event is never admitted as bulky.
        (Room::Bulky(_), None) => return Err(Rejection::NotAnEvent),
    }

    let bound = state.settings.memory.settle_timeout;
    match tokio::time::timeout(bound, settled).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(Rejection::Failed(failure)),
        Err(_) => Err(Rejection::SettleTimeout(bound)),
    }
}

/// The event in a body in structured mode. What takes long is done where it holds up no other event.
async fn parse(intake: Intake<'_>, body: Payload) -> Result<Event, Rejection> {
    let inline_max = intake.admission.limits.inline_max;
    let bytes = body.to_bytes().unwrap_or_default();
    let event = if body.len() > inline_max {
        let parsed = intake
            .admission
            .heavy(move || read_structured(&bytes))
            .await;
        parsed.ok_or(Rejection::Truncated)??
    } else {
        read_structured(&bytes)?
    };
    let data = event.payload.with_lease_of(&body);
    let data = if data.len() > inline_max {
        intake.move_aside(&data).await?
    } else {
        data
    };
    Ok(Event::new(event.attributes, data))
}

/// The host that the request is for: `Host`, or in HTTP/2 `:authority`.
fn host(request: &Request<Incoming>) -> Option<&str> {
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

fn check_head(headers: &HeaderMap, limit: u64) -> Result<(), Rejection> {
    let size = head_bytes(headers);
    if size > limit {
        Err(Rejection::HeadTooLarge { size, limit })
    } else {
        Ok(())
    }
}

/// Bytes of a block of headers: name, value, colon, space and line end of each.
pub(crate) fn head_bytes(headers: &HeaderMap) -> u64 {
    let line =
        |(name, value): (&HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + 4;
    headers.iter().map(|header| line(header) as u64).sum()
}

/// Acceptances that may follow: what another gateway left of the budget, at most our own; `None` when spent.
fn hops(headers: &HeaderMap, most: u8) -> Option<u8> {
    let left = headers
        .get(HOPS)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u8>().ok());
    Some(left.unwrap_or(most).min(most)).filter(|left| *left > 0)
}

fn accepted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Refuses every request of a connection that is one too many.
fn one_too_many(state: &Arc<State>) -> Response<Full<Bytes>> {
    let rejection = Rejection::Connections {
        limit: state.settings.limits.max_connections,
    };
    state.metrics.rejected(rejection.reason());
    let mut response = rejection.response();
    response
        .headers_mut()
        .insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    response
}
