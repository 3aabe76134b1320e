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
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;
use towpath_channels::Settlement;
use towpath_event::http::{Mode, mode, read_binary, read_structured};
use towpath_event::{Event, PassThrough, TraceContext};

use crate::accept::{Arrival, accept};
use crate::state::{Live, State};
pub(crate) use address::{AddressError, resolve};
pub(crate) use listener::Listener;
use pace::Pace;
use probe::Asks;
use rejection::Rejection;

/// What is left of the hop budget of an event that another gateway sends on.
const HOPS: HeaderName = HeaderName::from_static("knative-towpath-hops");

/// Answers one request, counted and timed.
async fn serve(
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

    let admitted = body::admit(state, &key.namespace, &body)?;
    let payload = body::receive(state, admitted, body).await?;
    pace.body_unread(false);
    state.metrics.received(payload.len());

    let event = match attributes {
        Some(attributes) => Event::new(attributes, payload),
        None => {
            let event = read_structured(&payload.to_bytes())?;
            Event::new(event.attributes, event.payload.with_lease_of(&payload))
        }
    };
    let headers = PassThrough::from_headers(&head.headers);
    let trace = TraceContext::from_headers(&head.headers).child();
    let (settlement, settled) = Settlement::new();
    accept(
        state,
        live,
        &key,
        Arrival {
            event,
            headers,
            trace,
            hops,
            origin: None,
        },
        settlement,
    )
    .await?;

    let bound = state.settings.memory.settle_timeout;
    match tokio::time::timeout(bound, settled).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(Rejection::Failed(failure)),
        Err(_) => Err(Rejection::SettleTimeout(bound)),
    }
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
    // Name, value, colon, space and line end.
    let size = headers
        .iter()
        .map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64)
        .sum();
    if size > limit {
        Err(Rejection::HeadTooLarge { size, limit })
    } else {
        Ok(())
    }
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
