//! Requests that are no events: probes of kubelet and Knative, and OPTIONS (CONTRACT C2.1, C2.12, C2.13).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;

/// What an address takes (C2.2).
pub(crate) const ALLOW: HeaderValue = HeaderValue::from_static("POST, OPTIONS");

const PROBE: HeaderName = HeaderName::from_static("k-network-probe");
const HASH: HeaderName = HeaderName::from_static("k-network-hash");

/// What a request is, going by what stands in its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Kubelet: is the process ready?
    KubeProbe,
    /// Knative: is this address known here?
    NetworkProbe,
    /// CloudEvents webhook: may I send?
    Options,
    /// Anything else.
    Other,
}

/// Tells probes from events. A probe is never routed as an event, whatever its path.
pub(crate) fn asks(method: &Method, headers: &HeaderMap) -> Asks {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    if agent.is_some_and(|agent| agent.starts_with(b"kube-probe/")) {
        Asks::KubeProbe
    } else if headers.get(PROBE).is_some_and(|value| value == "probe") {
        Asks::NetworkProbe
    } else if method == Method::OPTIONS {
        Asks::Options
    } else {
        Asks::Other
    }
}

/// Answers kubelet: 200, or 503 while draining (C2.12).
pub(crate) fn kube_probe(draining: bool) -> Response<Full<Bytes>> {
    plain(if draining {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    })
}

/// Answers Knative's prober: 200 with its hash, 400 when that is missing or empty, 503 while draining, 404 when the
/// address is not known here (C2.13).
pub(crate) fn network_probe(
    draining: bool,
    known: bool,
    headers: &HeaderMap,
) -> Response<Full<Bytes>> {
    if draining {
        return plain(StatusCode::SERVICE_UNAVAILABLE);
    }
    let hash = match headers.get(HASH) {
        Some(hash) if !hash.is_empty() => hash.clone(),
        _ => return plain(StatusCode::BAD_REQUEST),
    };
    if !known {
        return plain(StatusCode::NOT_FOUND);
    }
    let mut response = plain(StatusCode::OK);
    response.headers_mut().insert(HASH, hash);
    response
}

/// Answers OPTIONS as the reference does (C2.1, I2).
pub(crate) fn options() -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, ALLOW);
    headers.insert("webhook-allowed-origin", HeaderValue::from_static("*"));
    headers.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
