//! A step process: it serves every other step of the workflow, checks each body, and times each hop.

use crate::client::Client;
use crate::clock::now_nanos;
use crate::control::{ID, RESET_PATH, RESULTS_PATH, Reset, Results, SENT, STEPS, Started};
use crate::frames::Frames;
use crate::histogram::Times;
use crate::options::StepOptions;
use crate::payload::Payload;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;

/// Errors that are kept in words; of the rest only the count.
const ERRORS_KEPT: usize = 10;

/// Serves steps on a port of its own, says which on standard output, and ends when its parent ends.
///
/// # Errors
/// The port cannot be opened.
pub(crate) async fn run(options: &StepOptions) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let started = Started {
        listening: listener.local_addr()?,
    };
    println!("{}", serde_json::to_string(&started)?);
    let parent_gone = tokio::task::spawn_blocking(|| {
        // the parent never writes: this returns when its end of the pipe is closed
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
    });
    tokio::select! {
        served = serve(listener, options.forward) => served,
        _ = parent_gone => Ok(()),
    }
}

/// Serves steps until the future is dropped.
///
/// # Errors
/// The listener fails.
pub(crate) async fn serve(listener: TcpListener, forward: bool) -> Result<()> {
    let process = Arc::new(Process {
        forward,
        round: Mutex::new(Round::new(1024, None)?),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let process = Arc::clone(&process);
        let service = service_fn(move |request| {
            let process = Arc::clone(&process);
            async move { Ok::<_, Infallible>(process.answer(request).await) }
        });
        // a broken connection is seen by its other end, which voids the run
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

struct Process {
    forward: bool,
    round: Mutex<Round>,
}

/// What is expected and measured between two resets.
struct Round {
    payload: Payload,
    neighbour: Option<Arc<Client>>,
    hops: Times,
    results: Results,
}

impl Round {
    fn new(size: usize, neighbour: Option<SocketAddr>) -> Result<Self> {
        Ok(Self {
            payload: Payload::new(size),
            neighbour: neighbour.map(|address| Arc::new(Client::new(address))),
            hops: Times::new()?,
            results: Results::default(),
        })
    }
}

impl Process {
    async fn answer(&self, request: Request<Incoming>) -> Response<Frames> {
        let (head, body) = request.into_parts();
        let outcome = match head.uri.path() {
            RESET_PATH => self.reset(body).await,
            RESULTS_PATH => self.results(),
            path => match step_of(path) {
                Some(step) => self.step(step, &head.headers, body).await,
                None => Err(anyhow::anyhow!("no such path: {path}")),
            },
        };
        outcome.unwrap_or_else(|error| {
            let text = format!("{error:#}");
            let mut round = self.round();
            round.results.error_count += 1;
            if round.results.errors.len() < ERRORS_KEPT {
                round.results.errors.push(text.clone());
            }
            let mut response = Response::new(Frames::of([Bytes::from(text)]));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }

    async fn step(
        &self,
        step: usize,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Frames>> {
        let body = Frames::read(body)
            .await
            .with_context(|| format!("body at step {step}"))?;
        let arrived = now_nanos();
        let number = number_in(headers, ID)?;
        let sent = number_in(headers, SENT)?;
        let (payload, neighbour) = {
            let mut round = self.round();
            if step > 0 {
                let took = arrived
                    .checked_sub(sent)
                    .context("hop ends before it begins")?;
                round.hops.record(took);
            }
            if let Some(count) = round.results.received.get_mut(step) {
                *count += 1;
            }
            (round.payload.clone(), round.neighbour.clone())
        };
        payload
            .check(number, &body)
            .map_err(|error| anyhow::anyhow!("step {step}: {error}"))?;
        if step + 1 == STEPS {
            return accepted();
        }
        let mut onward = onward_headers(headers);
        if !self.forward {
            onward.insert(SENT, HeaderValue::from(now_nanos()));
            let mut response = Response::new(body);
            *response.headers_mut() = onward;
            return Ok(response);
        }
        let neighbour = neighbour.context("a forwarding step got no neighbour")?;
        let mut request = Request::post(format!("/step/{}", step + 1)).body(body)?;
        onward.insert(SENT, HeaderValue::from(now_nanos()));
        *request.headers_mut() = onward;
        let (status, answer) = neighbour.exchange(request).await?;
        if status != StatusCode::ACCEPTED {
            let text = String::from_utf8_lossy(&answer.joined()).into_owned();
            bail!("step {} answered {status}: {text}", step + 1);
        }
        accepted()
    }

    async fn reset(&self, body: Incoming) -> Result<Response<Frames>> {
        let reset: Reset = serde_json::from_slice(&Frames::read(body).await?.joined())?;
        let mut fresh = Round::new(reset.size, reset.neighbour)?;
        let mut round = self.round();
        // warm connections stay when only the figures are forgotten
        if fresh.neighbour.is_some() && round.neighbour.is_some() {
            fresh.neighbour = round.neighbour.take();
        }
        *round = fresh;
        Ok(Response::new(Frames::of([Bytes::from_static(b"null")])))
    }

    fn results(&self) -> Result<Response<Frames>> {
        let round = self.round();
        let results = Results {
            hops: round.hops.cells(),
            ..round.results.clone()
        };
        Ok(Response::new(Frames::of([Bytes::from(
            serde_json::to_vec(&results)?,
        )])))
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn step_of(path: &str) -> Option<usize> {
    path.strip_prefix("/step/")?
        .parse()
        .ok()
        .filter(|step| *step < STEPS)
}

fn accepted() -> Result<Response<Frames>> {
    Ok(Response::builder()
        .status(StatusCode::ACCEPTED)
        .body(Frames::default())?)
}

fn number_in(headers: &HeaderMap, name: &str) -> Result<u64> {
    let value = headers
        .get(name)
        .with_context(|| format!("no header {name}"))?;
    value
        .to_str()?
        .parse()
        .with_context(|| format!("header {name}: {value:?}"))
}

/// The event's own headers: attributes and content type.
fn onward_headers(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-") || *name == header::CONTENT_TYPE)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
