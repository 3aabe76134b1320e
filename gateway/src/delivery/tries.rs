//! One attempt of a leg: at the replica that is chosen, and where that one refuses at another (DESIGN section 12).

use std::time::Duration;

use http::StatusCode;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use towpath_event::{Payload, Place, Progress};

use super::attempt::{Kind, Leg};
use super::hop::Hop;
use super::outcome::Failure;
use super::presentation::View;
use super::reply::Reply;
use crate::routing::load::Outcome;
use crate::routing::{Ask, DataAt, Route, Tried};
use crate::send::SendError;
use crate::telemetry::{Dispatch, ToSubscriber};

/// Replicas that one attempt tries after the first.
const MORE: usize = 2;

/// What came of a try.
pub(super) struct Try {
    pub(super) status: Option<StatusCode>,
    pub(super) result: Result<Option<Reply>, Failure>,
    /// What it says of the replica.
    pub(super) outcome: Outcome,
    /// The replica did not take the event: another may.
    pub(super) may_move_on: bool,
}

impl Leg<'_, '_> {
    /// One attempt over HTTP.
    pub(super) async fn send(&self) -> Result<Option<Reply>, Failure> {
        let state = self.hop.state;
        let scheme = self.to.uri.scheme_str().unwrap_or("http");
        let timed = Dispatch::start(&state.metrics, scheme);
        let Try { status, result, .. } = self.tries().await;
        timed.end(status, self.to_subscriber());
        result
    }

    /// The bound of one attempt.
    pub(super) fn bound(&self) -> Duration {
        let delivery = &self.hop.lane.spec.delivery;
        delivery
            .timeout
            .unwrap_or(self.hop.state.settings.timeouts.attempt)
    }

    fn to_subscriber(&self) -> Option<ToSubscriber<'_>> {
        let Hop { channel, lane, .. } = self.hop;
        (self.kind == Kind::Subscriber).then(|| ToSubscriber {
            channel,
            destination: &lane.destination,
            ty: self.event.attributes.ty(),
            series: &lane.series,
        })
    }

    async fn tries(&self) -> Try {
        let router = &self.hop.state.router;
        let ask = self.ask();
        let (view, mut tried) = (OnceCell::new(), Tried::new());
        let (began, mut refused) = (Instant::now(), None);
        loop {
            let route = match router.route(self.to, &ask, &tried) {
                Ok(route) => route,
                // Nobody is left: the last one's word counts.
                Err(error) => return refused.unwrap_or_else(|| Try::failed(&error)),
            };
            if tried.is_empty() {
                route.count_attempt(router.clock());
            } else {
                self.hop.state.metrics.rerouted(&self.hop.lane.destination);
            }
            let one = self.try_at(&route, &view, began).await;
            let Some(chosen) = &route.replica else {
                return one;
            };
            let ends = !one.may_move_on || tried.len() == MORE;
            if ends || !route.may_move_on(router.clock()) {
                return one;
            }
            tried.push(chosen.address);
            refused = Some(one);
        }
    }

    /// What decides where the attempt goes.
    fn ask(&self) -> Ask<'_> {
        let here = &self.hop.state.router.here().node;
        let data_at = match self.event.payload.stored() {
            None => DataAt::Event,
            Some(stored) => match stored.claim().place {
                Place::Memory | Place::Node(_) => DataAt::Here,
                Place::Gateway(node) if here.as_ref() == Some(&node) => DataAt::Here,
                Place::Gateway(node) => DataAt::Node(node),
                Place::Object(_) | Place::Nats(_) => DataAt::Remote,
            },
        };
        Ask {
            origin: self.origin.as_ref(),
            data_at,
            size: self.event.payload.len(),
            by_reference: self.is_shown(),
        }
    }

    /// `view` is made when it is first needed here: another gateway makes its own.
    async fn try_at(&self, route: &Route, view: &OnceCell<View>, began: Instant) -> Try {
        let state = self.hop.state;
        let seat = match route.sit(&self.to.policy, state.router.clock()).await {
            Ok(seat) => seat,
            Err(error) => return Try::failed(&error),
        };
        state
            .metrics
            .hop(route.placement, route.reason, self.event.payload.len());
        tracing::debug!(
            subscription = %self.hop.lane.spec.key,
            to = %route.endpoint.peer,
            placement = route.placement.as_str(),
            reason = route.reason.as_str(),
            "attempt"
        );
        let by_owner = match self.owner(route) {
            Some((links, node)) => self.try_by_owner(links, node, route, began).await,
            None => None,
        };
        let one = match by_owner {
            Some(one) => one,
            None => match view.get_or_try_init(|| self.view()).await {
                Ok(view) => self.exchange_within(route, view, began).await,
                Err(failure) => Try {
                    result: Err(failure),
                    ..Try::ours("")
                },
            },
        };
        if let Some(seat) = seat {
            seat.end(one.outcome);
        }
        one
    }

    /// One exchange, within what is left of the attempt's bound.
    pub(super) async fn exchange_within(&self, route: &Route, view: &View, began: Instant) -> Try {
        let bound = self.bound();
        // Boxed: the one large part of a hop, which most of its life is spent in.
        let exchange = Box::pin(self.exchange(view, route));
        match within(bound, began, &view.body, exchange).await {
            Some(Ok((status, result))) => Try::answered(status, result),
            // HTTP/2 does not say why a request broke.
            Some(Err(_)) if self.is_gone() => Try {
                result: Err(Failure::gone()),
                ..Try::ours("")
            },
            Some(Err(error)) => Try::failed(&error),
            None => Try::failed(&SendError::Timeout(bound)),
        }
    }

    /// Whoever sent the event broke off.
    fn is_gone(&self) -> bool {
        let stored = self.event.payload.stored();
        stored.is_some_and(|stored| stored.progress() == Progress::Broken)
    }
}

impl Try {
    /// Nothing was sent, for a reason that is not the replica's.
    pub(super) fn ours(text: &str) -> Self {
        Self {
            status: None,
            result: Err(Failure::ours(500, text, true)),
            outcome: Outcome::Abandoned,
            may_move_on: false,
        }
    }

    pub(super) fn answered(status: StatusCode, result: Result<Option<Reply>, Failure>) -> Self {
        let refused = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        let outcome = if refused {
            Outcome::Refused {
                retry_after: result
                    .as_ref()
                    .err()
                    .and_then(|failure| failure.retry_after),
            }
        } else if status.is_server_error() {
            Outcome::Failed
        } else {
            Outcome::Served
        };
        Self {
            status: Some(status),
            result,
            outcome,
            may_move_on: refused,
        }
    }

    pub(super) fn failed(error: &SendError) -> Self {
        let (outcome, may_move_on) = match error {
            // Nobody is there now: as good as a 503, and others are asked first.
            SendError::Connect(_) | SendError::ConnectTimeout(_) | SendError::Tls(_) => {
                (Outcome::Refused { retry_after: None }, true)
            }
            SendError::Broken(_) => (Outcome::Failed, false),
            SendError::Timeout(_) => (Outcome::TimedOut, false),
            SendError::NoReplica(_) | SendError::Payload(_) | SendError::Closed => {
                (Outcome::Abandoned, false)
            }
        };
        Self {
            status: None,
            result: Err(Failure::no_answer(error)),
            outcome,
            may_move_on,
        }
    }
}

/// Runs an exchange of an attempt that began at `began`, within the attempt's bound. That time runs once all of the body is
/// here: that a producer is slow is not the subscriber's fault.
pub(super) async fn within<T>(
    bound: Duration,
    began: Instant,
    body: &Payload,
    exchange: impl Future<Output = T>,
) -> Option<T> {
    let growing = body
        .stored()
        .filter(|stored| stored.progress() == Progress::Growing);
    let Some(growing) = growing else {
        return tokio::time::timeout_at(began + bound, exchange).await.ok();
    };
    let bounded = async {
        // If it breaks, the exchange breaks too, and says so.
        let _ = growing.completed().await;
        tokio::time::sleep(bound).await;
    };
    tokio::select! {
        biased;
        result = exchange => Some(result),
        () = bounded => None,
    }
}
