//! The admin port: health, metrics, and what is in force, for people and tools. On loopback in files mode.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use towpath_config::topology::{Destination, Subscription};

use crate::routing::Candidate;
use crate::state::State;

/// Serves the admin port until `ending`.
pub(crate) async fn serve(socket: TcpListener, state: Arc<State>, ending: CancellationToken) {
    let served =
        axum::serve(socket, router(state)).with_graceful_shutdown(ending.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the admin port ended");
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/topology", get(topology))
        .route("/replicas", get(replicas))
        .with_state(state)
}

async fn readyz(Extract(state): Extract<Arc<State>>) -> Response {
    if state.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        "ok\n".into_response()
    }
}

async fn metrics(Extract(state): Extract<Arc<State>>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        state.metrics.render(),
    )
        .into_response()
}

/// What is in force, and why the last change was refused, if it was.
async fn topology(Extract(state): Extract<Arc<State>>) -> Json<Value> {
    let live = state.live.load_full();
    let channels: Vec<Value> = live
        .topology
        .channels
        .values()
        .map(|channel| {
            json!({
                "kind": channel.object_kind,
                "namespace": channel.key.namespace,
                "name": channel.key.name,
                "url": channel.url,
                "subscriptions": channel.subscriptions.iter().map(|s| subscription(s)).collect::<Vec<_>>(),
            })
        })
        .collect();
    Json(json!({ "channels": channels, "problems": *state.refused.load_full() }))
}

fn subscription(subscription: &Subscription) -> Value {
    let url = |destination: &Option<Destination>| destination.as_ref().map(|d| d.url.to_string());
    let delivery = &subscription.delivery;
    json!({
        "key": subscription.key.0,
        "name": subscription.name,
        "subscriber": url(&subscription.subscriber),
        "reply": url(&subscription.reply),
        "deadLetterSink": url(&subscription.dead_letter),
        "retry": delivery.retry,
        "timeoutSeconds": delivery.timeout.map(|timeout| timeout.as_secs_f64()),
    })
}

/// Every candidate with what its next choice would be made from.
async fn replicas(Extract(state): Extract<Arc<State>>) -> Json<Value> {
    let (table, now) = (state.router.table(), state.router.clock().now());
    let mut services: Vec<_> = table.iter().collect();
    services.sort_unstable_by_key(|(port, _)| *port);
    let services: Vec<Value> = services
        .into_iter()
        .map(|(port, candidates)| {
            let ready: Vec<Value> = candidates.ready.iter().map(|c| replica(c, now)).collect();
            json!({ "namespace": port.namespace, "service": port.service, "port": port.port, "ready": ready })
        })
        .collect();
    Json(json!({ "services": services }))
}

fn replica(candidate: &Candidate, now: u64) -> Value {
    let (replica, load) = (&candidate.replica, &candidate.slot.load);
    let facts = load.facts(now);
    let state = match () {
        () if facts.down => "down",
        () if facts.ejected => "ejected",
        () if facts.busy => "busy",
        () => "up",
    };
    json!({
        "address": replica.address.to_string(),
        "pod": replica.pod,
        "podName": replica.pod_name,
        "node": replica.node,
        "zone": replica.zone,
        "state": state,
        "inFlight": facts.in_flight,
        "waiting": facts.queued,
        "slots": facts.slots,
        "serviceMilliseconds": facts.service_nanos.map(milliseconds),
        "latencyMilliseconds": milliseconds(load.latency_nanos(now)),
        "failuresInARow": facts.failures,
    })
}

fn milliseconds(nanos: f64) -> f64 {
    (nanos / 1e3).round() / 1e3
}
