//! Attempts that other gateways ask for: made here, beside the replica. Their deliveries stay where they are.

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use towpath_channels::Settlement;
use towpath_config::topology::Presentation;
use towpath_event::{Event, Message, Payload, Progress, ReadError};
use towpath_payloads::{Begin, Draw, StoreError};

use super::attempt::{Kind, Leg};
use super::hop::Hop;
use super::outcome::Failure;
use super::reply::Reply;
use super::tries::Try;
use crate::peer::{
    AnswerResult, Attempts, Data, Failed, LegKind, Links, NoAnswerKind, PeerAnswer, PeerAttempt,
    PeerReply, Sent,
};
use crate::routing::Seat;
use crate::routing::load::Outcome;
use crate::state::State;

/// Makes attempts at the replicas of this node.
pub(crate) struct ForPeers {
    pub(crate) state: Arc<State>,
    pub(crate) links: Arc<Links>,
}

impl Attempts for ForPeers {
    fn attempt<'a>(
        &'a self,
        from: &'a Arc<str>,
        attempt: PeerAttempt,
        sent: Sent,
    ) -> BoxFuture<'a, PeerAnswer> {
        Box::pin(self.make(from, attempt, sent))
    }
}

impl ForPeers {
    async fn make(&self, from: &Arc<str>, attempt: PeerAttempt, mut sent: Sent) -> PeerAnswer {
        let (state, live) = (&self.state, self.state.live.load_full());
        let Some(hosted) = live.hosted(&attempt.channel) else {
            return PeerAnswer::NotMine(format!("{} is not hosted here", attempt.channel));
        };
        let Some(lane) = hosted.served.lane(&attempt.subscription) else {
            let text = format!(
                "{} has no subscription {}",
                attempt.channel, attempt.subscription
            );
            return PeerAnswer::NotMine(text);
        };
        let (kind, to) = match attempt.leg {
            LegKind::Subscriber => (Kind::Subscriber, &lane.spec.subscriber),
            LegKind::Reply => (Kind::Reply, &lane.spec.reply),
            LegKind::DeadLetter => (Kind::DeadLetter, &lane.spec.dead_letter),
        };
        let route = to.as_ref().and_then(|to| {
            let route = state
                .router
                .route_to(to, attempt.replica, attempt.pull_nanos);
            Some((to, route?))
        });
        let Some((to, route)) = route else {
            let text = format!("{} is no candidate of it on this node", attempt.replica);
            return PeerAnswer::NotMine(text);
        };
        let as_file = kind == Kind::Subscriber && lane.presentation == Presentation::File;
        let payload = match attempt.data {
            Data::Inline(payload) => payload,
            Data::Claim(claim) => {
                let begin = Begin {
                    namespace: &lane.spec.namespace,
                    draw: Draw::Reply,
                    length: Some(claim.size),
                    as_file,
                };
                match self.links.open(&claim, begin).await {
                    Ok(stored) => Payload::set_aside(stored),
                    Err(error) => return no_payload(&error),
                }
            }
        };
        let message = Message {
            event: Event::new(attempt.attributes, payload),
            headers: attempt.headers,
            trace: attempt.trace,
            hops: 0,
            origin: attempt.origin,
            accepted: SystemTime::now(),
        };
        let hop = Hop {
            state,
            live: &live,
            channel: &hosted.served.spec,
            lane,
            message: Arc::new(message),
            settlement: Settlement::default(),
        };
        let leg = Leg::for_peer(&hop, kind, to);
        let (comes, mut arrived) = (is_growing(&leg.event.payload), None);
        let mut seat = match route.sit(&to.policy, state.router.clock()).await {
            Ok(seat) => seat,
            Err(error) => return answer(Try::failed(&error), arrived, &self.links, from),
        };
        let one = match leg.view().await {
            Ok(view) => {
                let mut exchange = pin!(leg.exchange_within(&route, &view, Instant::now()));
                tokio::select! {
                    biased;
                    one = exchange.as_mut() => one,
                    () = arrives(&leg.event.payload) => {
                        seat.iter_mut().for_each(Seat::pulled);
                        sent.pulled();
                        arrived = comes.then(Instant::now);
                        exchange.await
                    }
                }
            }
            Err(failure) => Try {
                result: Err(failure),
                ..Try::ours("")
            },
        };
        if let Some(seat) = seat {
            seat.end(one.outcome);
        }
        drop(sent);
        answer(one, arrived, &self.links, from)
    }
}

fn is_growing(payload: &Payload) -> bool {
    let stored = payload.stored();
    stored.is_some_and(|stored| stored.progress() == Progress::Growing)
}

/// The whole payload is here, or never will be.
async fn arrives(payload: &Payload) {
    if let Some(stored) = payload.stored() {
        // What broke it shows in the exchange.
        let _ = stored.completed().await;
    }
}

fn answer(one: Try, arrived: Option<Instant>, links: &Links, from: &Arc<str>) -> PeerAnswer {
    let Some(status) = one.status else {
        let failure = match one.result {
            Ok(_) => Failure::gone(),
            Err(failure) => failure,
        };
        let kind = match one.outcome {
            _ if failure.gone => NoAnswerKind::Gone,
            _ if one.may_move_on => NoAnswerKind::Connect,
            Outcome::TimedOut => NoAnswerKind::Timeout,
            Outcome::Failed => NoAnswerKind::Broken,
            Outcome::Served | Outcome::Refused { .. } | Outcome::Abandoned => NoAnswerKind::Payload,
        };
        return PeerAnswer::NoAnswer {
            kind,
            message: String::from_utf8_lossy(&failure.data).into_owned(),
        };
    };
    let result = match one.result {
        Ok(None) => AnswerResult::Taken,
        Ok(Some(reply)) => replied(reply, links, from),
        Err(failure) => AnswerResult::Failed(failed(failure)),
    };
    PeerAnswer::Answered {
        status: status.as_u16(),
        result,
        arrived_before: arrived.map(|arrived| arrived.elapsed()),
    }
}

fn replied(reply: Reply, links: &Links, from: &Arc<str>) -> AnswerResult {
    let Reply {
        event,
        headers,
        origin,
    } = reply;
    let event = match event {
        Ok(event) => event,
        Err(failure) => return AnswerResult::BadReply(failed(failure)),
    };
    let data = match event.payload.stored() {
        None => Data::Inline(event.payload),
        Some(stored) => Data::Claim(links.keep(from, stored)),
    };
    AnswerResult::Reply(Box::new(PeerReply {
        attributes: event.attributes,
        headers,
        origin,
        data,
    }))
}

fn failed(failure: Failure) -> Failed {
    Failed {
        code: failure.code,
        data: failure.data,
        retryable: failure.retryable,
        retry_after: failure.retry_after,
    }
}

fn no_payload(error: &StoreError) -> PeerAnswer {
    let kind = match error {
        StoreError::Read(ReadError::SourceBroke) => NoAnswerKind::Gone,
        _ => NoAnswerKind::Payload,
    };
    PeerAnswer::NoAnswer {
        kind,
        message: format!("dispatch error: {error}"),
    }
}
