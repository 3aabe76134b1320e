//! A try at a replica of another node: made by the gateway there, its owner, beside the data (DESIGN section 5).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use towpath_event::{Event, Payload, SetAside};
use towpath_payloads::Draw;

use super::attempt::{Kind, Leg};
use super::hop::Hop;
use super::outcome::Failure;
use super::reply::Reply;
use super::tries::{Try, within};
use crate::peer::{
    AnswerResult, Data, Failed, LegKind, Links, NoAnswerKind, PeerAnswer, PeerAttempt, PeerError,
    PeerReply,
};
use crate::routing::Route;
use crate::routing::load::Outcome;
use crate::send::SendError;

/// The owner keeps the time of an attempt; it has this much longer to say so.
const ANSWERS_LATE: Duration = Duration::from_secs(2);

impl Leg<'_, '_> {
    /// The gateways among which the replica of `route` has its owner, and that owner's node; `None` if this gateway sends
    /// itself: it is the owner, there is none, or it cannot be reached now.
    pub(super) fn owner<'r>(&self, route: &'r Route) -> Option<(&Arc<Links>, &'r Arc<str>)> {
        let links = self.hop.state.links.as_ref()?;
        let node = route.replica.as_ref()?.origin.node.as_ref()?;
        links.is_up(node).then_some((links, node))
    }

    /// One try by the owner on `node`. `None`: it made none, so that this gateway may.
    pub(super) async fn try_by_owner(
        &self,
        links: &Links,
        node: &Arc<str>,
        route: &Route,
        began: Instant,
    ) -> Option<Try> {
        let replica = route.replica.as_ref()?.address;
        let payload = &self.event.payload;
        let data = match payload.stored() {
            None => Data::Inline(payload.clone()),
            Some(stored) => Data::Claim(links.claim(stored)),
        };
        let _lent = payload.stored().map(|stored| links.lend(stored));
        let bound = self.bound();
        let attempt = PeerAttempt {
            channel: self.hop.channel.key.clone(),
            subscription: self.hop.lane.spec.key.clone(),
            leg: match self.kind {
                Kind::Subscriber => LegKind::Subscriber,
                Kind::Reply => LegKind::Reply,
                Kind::DeadLetter => LegKind::DeadLetter,
            },
            replica,
            timeout: bound,
            pull_nanos: route.pull_nanos(),
            attributes: self.event.attributes.clone(),
            headers: self.headers.clone(),
            trace: self.trace.clone(),
            origin: self.origin.clone(),
            data,
        };
        let sent = Instant::now();
        let asked = Box::pin(async {
            let (answer, came) = tokio::join!(links.attempt(node, &attempt), came_at(payload));
            (answer, came)
        });
        let answered = within(bound + ANSWERS_LATE, began, payload, asked).await;
        let (answer, came) = match answered {
            None => (None, sent),
            Some((answer, came)) => (Some(answer), came),
        };
        let one = match answer {
            None => Try::failed(&SendError::Timeout(bound)),
            Some(Ok(PeerAnswer::NotMine(why))) => {
                tracing::debug!(
                    node = &**node,
                    why,
                    "the owner of a replica knows nothing of it; sending directly"
                );
                return None;
            }
            Some(Err(PeerError::Unreachable(why))) => {
                tracing::debug!(
                    node = &**node,
                    why = &*why,
                    "the owner of a replica cannot be reached; sending directly"
                );
                return None;
            }
            // The gateway's failure, and not the replica's.
            Some(Err(PeerError::Broke(why))) => Try::ours(&format!("dispatch error: {why}")),
            Some(Ok(PeerAnswer::Answered {
                status,
                result,
                arrived_before,
            })) => {
                if let Some(arrived_before) = arrived_before {
                    let way = sent.elapsed().saturating_sub(arrived_before);
                    self.measure(node, came.saturating_duration_since(sent), way);
                }
                let result = self.by_answer(links, result);
                match StatusCode::from_u16(status) {
                    Ok(status) => Try::answered(status, result),
                    Err(_) => Try {
                        result,
                        ..Try::ours("dispatch error: a status that is none")
                    },
                }
            }
            Some(Ok(PeerAnswer::NoAnswer { kind, message })) => self.no_answer(kind, &message),
        };
        // What was answered before the source ended counts only when it has.
        match self.hold().await {
            Ok(()) => Some(one),
            Err(error) => Some(Try::failed(&SendError::Payload(error))),
        }
    }

    fn by_answer(&self, links: &Links, result: AnswerResult) -> Result<Option<Reply>, Failure> {
        match result {
            AnswerResult::Taken => Ok(None),
            AnswerResult::Failed(failed) => Err(failure(failed)),
            AnswerResult::BadReply(failed) => Ok(Some(Reply {
                event: Err(failure(failed)),
                headers: self.headers.clone(),
                origin: None,
            })),
            AnswerResult::Reply(reply) => {
                let PeerReply {
                    attributes,
                    headers,
                    origin,
                    data,
                } = *reply;
                let payload = match data {
                    Data::Inline(payload) => self.leased(payload)?,
                    Data::Claim(claim) => {
                        let namespace = &self.hop.lane.spec.namespace;
                        let as_file = self.reply_is_shown();
                        let held: Arc<dyn SetAside> = links.held(claim, namespace, as_file);
                        Payload::set_aside(held)
                    }
                };
                Ok(Some(Reply {
                    event: Ok(Event::new(attributes, payload)),
                    headers,
                    origin,
                }))
            }
        }
    }

    /// The payload took `way` to get to `node`, and was all here `came` after the attempt began. Only what did not wait for its
    /// sender says something of the link.
    fn measure(&self, node: &str, came: Duration, way: Duration) {
        if came < way / 8 {
            let nanos = u64::try_from(way.as_nanos()).unwrap_or(u64::MAX);
            let router = &self.hop.state.router;
            router.observe(node, self.event.payload.len(), nanos);
        }
    }

    /// Room for a small reply.
    fn leased(&self, payload: Payload) -> Result<Payload, Failure> {
        let Hop { state, lane, .. } = self.hop;
        let budget = &state.admission.budget;
        let lease = budget.take(&lane.spec.namespace, Draw::Reply, payload.len());
        let lease =
            lease.map_err(|full| Failure::ours(503, &format!("reply refused: {full}"), true))?;
        Ok(payload.with_lease(lease))
    }

    fn no_answer(&self, kind: NoAnswerKind, message: &str) -> Try {
        let (outcome, may_move_on) = match kind {
            NoAnswerKind::Connect => (Outcome::Refused { retry_after: None }, true),
            NoAnswerKind::Timeout => (Outcome::TimedOut, false),
            NoAnswerKind::Broken => (Outcome::Failed, false),
            NoAnswerKind::Payload | NoAnswerKind::Gone => (Outcome::Abandoned, false),
        };
        Try {
            outcome,
            may_move_on,
            ..Try::ours(message)
        }
    }
}

fn failure(failed: Failed) -> Failure {
    let Failed {
        code,
        data,
        retryable,
        retry_after,
    } = failed;
    Failure {
        code,
        data,
        retryable,
        retry_after,
        gone: false,
    }
}

/// When all of a payload was here.
async fn came_at(payload: &Payload) -> Instant {
    if let Some(stored) = payload.stored() {
        // If it breaks, the attempt does, and says so.
        let _ = stored.completed().await;
    }
    Instant::now()
}
