//! The built-in steps: ordinary HTTP servers that reply with the event they got.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::time::Instant;

/// The steps, and what arrived at them.
pub(super) struct Steps {
    addresses: Vec<(&'static str, SocketAddr)>,
    arrivals: Mutex<HashMap<String, Vec<Arrival>>>,
}

/// One event at one step.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) step: &'static str,
    /// The whole event was there.
    pub(super) complete: Instant,
    /// The reply began.
    pub(super) replied: Instant,
    pub(super) status: StatusCode,
}

impl Steps {
    /// Starts a server for each name; the last one answers without a reply.
    pub(super) async fn start(names: &[&'static str]) -> std::io::Result<Arc<Self>> {
        let mut sockets = Vec::new();
        for name in names {
            sockets.push((*name, tokio::net::TcpListener::bind("127.0.0.1:0").await?));
        }
        let addresses = sockets
            .iter()
            .map(|(name, socket)| Ok((*name, socket.local_addr()?)))
            .collect::<std::io::Result<_>>()?;
        let steps = Arc::new(Self {
            addresses,
            arrivals: Mutex::default(),
        });
        let last = names.last().copied();
        for (name, socket) in sockets {
            let (this, replies) = (Arc::clone(&steps), Some(name) != last);
            let handler = move |headers: HeaderMap, body: Bytes| async move {
                this.arrived(name, replies, &headers, body)
            };
            let routes = Router::new()
                .fallback(post(handler))
                .layer(DefaultBodyLimit::disable());
            let socket = axum::serve::ListenerExt::tap_io(socket, |stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a step's connection is gone");
                }
            });
            tokio::spawn(async move { axum::serve(socket, routes).await });
        }
        Ok(steps)
    }

    fn arrived(
        &self,
        step: &'static str,
        replies: bool,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        let complete = Instant::now();
        let id = headers
            .get("ce-id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let response = if replies {
            let mut reply = HeaderMap::new();
            for (name, value) in headers {
                if name.as_str().starts_with("ce-") || name == "content-type" {
                    reply.insert(name, value.clone());
                }
            }
            reply.insert("ce-source", HeaderValue::from_static("/towpath/demo/step"));
            (StatusCode::OK, reply, body).into_response()
        } else {
            StatusCode::ACCEPTED.into_response()
        };
        let arrival = Arrival {
            step,
            complete,
            replied: Instant::now(),
            status: response.status(),
        };
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the demo's own events are looked up; a user's may be many.
        if arrivals.len() > 1024 {
            arrivals.clear();
        }
        arrivals.entry(id).or_default().push(arrival);
        response
    }

    /// What the steps saw of event `id`, in order.
    pub(super) fn arrivals(&self, id: &str) -> Vec<Arrival> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.get(id).cloned().unwrap_or_default()
    }

    /// Manifests that say where the steps listen.
    pub(super) fn endpoint_slices(&self) -> String {
        let mut text = String::new();
        for (name, address) in &self.addresses {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-demo\n  namespace: demo\n  \
                 labels:\n    kubernetes.io/service-name: {name}\naddressType: IPv4\nports:\n- name: http\n  port: {}\n\
                 endpoints:\n- addresses: [\"{}\"]\n",
                address.port(),
                address.ip()
            );
        }
        text
    }
}
