//! A step process of the benchmark of payloads: serves steps, sinks and the links of a chain, and checks every byte.

mod file;
mod head;
mod reference;
mod reply;

use super::pattern::{Check, Pattern};
use super::producer::paced;
use super::protocol::{DATAREF, EXPECT_PATH, Expect, SEEN_PATH, Seen, Sightings};
use crate::clock::now_nanos;
use crate::control::{ID, SENT, Started};
use crate::frames::Frames;
use anyhow::{Context, Result, bail};
use head::{head_bytes, number_in, onward_headers};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reply::Reply;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Errors that are kept in words; of the rest only the count.
const ERRORS_KEPT: usize = 10;

/// Serves on a port of its own, says which on standard output, and ends when its parent ends.
///
/// # Errors
/// The port cannot be opened.
pub(crate) async fn run() -> Result<()> {
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
        served = serve(listener) => served,
        _ = parent_gone => Ok(()),
    }
}

async fn serve(listener: TcpListener) -> Result<()> {
    let worker = Arc::new(Worker {
        pattern: Pattern::new(),
        state: Mutex::default(),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let worker = Arc::clone(&worker);
        let service = service_fn(move |request| {
            let worker = Arc::clone(&worker);
            async move { Ok::<_, Infallible>(worker.answer(request).await) }
        });
        // a broken connection is seen by its other end, which voids the round
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

struct Worker {
    pattern: Pattern,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    expect: Expect,
    sightings: Sightings,
}

/// What a step does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Opens the file of a `dataref`, or takes the body; replies in the same way.
    File,
    /// The last of those: no reply.
    FileEnd,
    /// Replies with the bytes as they come.
    Stream,
    /// Takes all, then replies with all.
    Collect,
    /// Takes all; no reply.
    Sink,
    /// Passes the reference on, without a body.
    Pass,
    /// The last of those: fetches what the reference names.
    PassEnd,
}

impl Kind {
    /// Of a path such as `/stream/2`.
    fn of(path: &str) -> Option<Self> {
        let kind = path.strip_prefix('/')?.split('/').next()?;
        Some(match kind {
            "file" => Self::File,
            "file-end" => Self::FileEnd,
            "stream" => Self::Stream,
            "collect" => Self::Collect,
            "sink" => Self::Sink,
            "pass" => Self::Pass,
            "pass-end" => Self::PassEnd,
            _ => return None,
        })
    }
}

/// An event at a step.
struct Event {
    head: Parts,
    kind: Kind,
    number: u64,
    sent: u64,
    expect: Expect,
}

impl Worker {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<Reply> {
        let (head, body) = request.into_parts();
        let outcome = match head.uri.path() {
            EXPECT_PATH => self.expect(body).await,
            SEEN_PATH => self.tell(),
            _ => self.event(head, body).await,
        };
        outcome.unwrap_or_else(|error| {
            let text = format!("{error:#}");
            self.failed(&text);
            let mut response = Response::new(Reply::whole(text));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }

    async fn event(self: &Arc<Self>, head: Parts, body: Incoming) -> Result<Response<Reply>> {
        let path = head.uri.path();
        let kind = Kind::of(path).with_context(|| format!("no such path: {path}"))?;
        let event = Event {
            kind,
            number: number_in(&head.headers, ID)?,
            sent: number_in(&head.headers, SENT)?,
            expect: self.state().expect.clone(),
            head,
        };
        let at = event.head.uri.path().to_owned();
        let outcome = match kind {
            Kind::File | Kind::FileEnd => self.file(&event, body).await,
            Kind::Stream => self.stream(event, body),
            Kind::Collect | Kind::Sink => self.take_whole(&event, body).await,
            Kind::Pass | Kind::PassEnd => self.pass(&event, body).await,
        };
        outcome.with_context(|| format!("at {at}"))
    }

    async fn take_whole(&self, event: &Event, body: Incoming) -> Result<Response<Reply>> {
        self.check(event, body, |_| {}).await?;
        self.saw(event, now_nanos(), false)?;
        if event.kind == Kind::Sink {
            return accepted();
        }
        let (_, all) = watch::channel(Some(event.expect.size));
        Ok(self.reply(event, all))
    }

    /// Begins the reply at once; the bytes go on as they come and were found right.
    fn stream(self: &Arc<Self>, event: Event, body: Incoming) -> Result<Response<Reply>> {
        if event.head.headers.contains_key(DATAREF) {
            bail!("a reference where the event was to come whole");
        }
        let (progress, come) = watch::channel(Some(0));
        let response = self.reply(&event, come);
        let worker = Arc::clone(self);
        tokio::spawn(async move {
            let told = |seen| {
                progress.send_replace(Some(seen));
            };
            let checked = worker.check(&event, body, told).await;
            let seen = checked.and_then(|()| worker.saw(&event, now_nanos(), false));
            if let Err(error) = seen {
                // the reply breaks off, so that nobody takes it for whole
                progress.send_replace(None);
                worker.failed(&format!("at {}: {error:#}", event.head.uri.path()));
            }
        });
        Ok(response)
    }

    /// The event with the same body, of which `come` tells how much may go; none: nothing any more.
    fn reply(&self, event: &Event, come: watch::Receiver<Option<u64>>) -> Response<Reply> {
        let (sender, reply) = Reply::piped(event.expect.size);
        let pattern = self.pattern.clone();
        let (number, expect) = (event.number, event.expect.clone());
        tokio::spawn(async move {
            // an error is the receiver's: its connection has ended, and it says so itself
            let _ = send_as_it_comes(&pattern, number, &expect, come, sender).await;
        });
        let mut response = Response::new(reply);
        *response.headers_mut() = onward_headers(&event.head.headers);
        response
    }

    async fn check(
        &self,
        event: &Event,
        mut body: Incoming,
        mut told: impl FnMut(u64),
    ) -> Result<()> {
        let mut check = Check::new(&self.pattern, event.number, event.expect.size);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                told(check.take(&data).map_err(anyhow::Error::msg)?);
            }
        }
        check.end().map_err(anyhow::Error::msg)
    }

    fn saw(&self, event: &Event, at_nanos: u64, by_reference: bool) -> Result<()> {
        let took_nanos = at_nanos
            .checked_sub(event.sent)
            .context("the hop ends before it begins")?;
        self.state().sightings.seen.push(Seen {
            place: event.head.uri.path().to_owned(),
            number: event.number,
            took_nanos,
            at_nanos,
            head_bytes: head_bytes(&event.head),
            by_reference,
        });
        Ok(())
    }

    fn failed(&self, text: &str) {
        let mut state = self.state();
        state.sightings.error_count += 1;
        if state.sightings.errors.len() < ERRORS_KEPT {
            state.sightings.errors.push(text.to_owned());
        }
    }

    async fn expect(&self, body: Incoming) -> Result<Response<Reply>> {
        let expect = serde_json::from_slice(&Frames::read(body).await?.joined())?;
        *self.state() = State {
            expect,
            sightings: Sightings::default(),
        };
        Ok(Response::new(Reply::whole("null")))
    }

    fn tell(&self) -> Result<Response<Reply>> {
        let text = serde_json::to_vec(&self.state().sightings)?;
        Ok(Response::new(Reply::whole(text)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send_as_it_comes(
    pattern: &Pattern,
    number: u64,
    expect: &Expect,
    mut come: watch::Receiver<Option<u64>>,
    sender: reply::Sender,
) -> Result<()> {
    let mut pace = expect
        .bytes_per_second
        .map(|rate| super::pace::Pace::new(rate, now_nanos()));
    let mut sent = 0;
    while sent < expect.size {
        let may_go = |come: &Option<u64>| come.is_none_or(|come| come > sent);
        // a sender of progress that has ended has said its last: what it said still counts
        let waited = come.wait_for(may_go).await.map(|come| *come);
        let Ok(Some(come)) = waited else {
            bail!("the request broke off")
        };
        let permitted = paced(pace.as_mut(), come - sent).await;
        let piece = pattern.piece(number, sent, permitted);
        sent += piece.len() as u64;
        sender.send(piece).await?;
    }
    Ok(())
}

fn accepted() -> Result<Response<Reply>> {
    Ok(Response::builder()
        .status(StatusCode::ACCEPTED)
        .body(Reply::default())?)
}

#[cfg(test)]
mod tests;
