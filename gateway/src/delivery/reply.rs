//! A reply: the event in a subscriber's answer.

use http::HeaderMap;
use towpath_config::topology::{Destination, Target};
use towpath_event::http::{Mode, read_binary, read_structured};
use towpath_event::{Event, Invalid, Message, Origin, PassThrough, Payload};
use towpath_payloads::{Draw, StoreError};

use super::attempt::Leg;
use super::hop::Hop;
use super::outcome::Failure;
use super::presentation::{Refers, View};
use crate::intake::{Bulky, Intake, Room, Unfit};
use crate::send::{Answer, SendError};

/// What came back from a subscriber.
#[derive(Clone)]
pub(crate) struct Reply {
    /// The event, or why its destination can never take it: that fails the reply, not the subscriber (C5.6).
    pub(crate) event: Result<Event, Failure>,
    /// The pass-through headers of the answer (C4.4).
    pub(crate) headers: PassThrough,
    /// The replica that gave it.
    pub(crate) origin: Option<Origin>,
}

impl Reply {
    /// The event itself, for an entry that has only a reply.
    pub(crate) fn of_itself(message: &Message) -> Self {
        Self {
            event: Ok(message.event.clone()),
            headers: message.headers.clone(),
            origin: message.origin.clone(),
        }
    }
}

impl Leg<'_, '_> {
    /// Takes in the reply in `answer`, which is an event in `mode`. A reply obeys the limits of an event from outside.
    /// `None`: it is in its channel already.
    ///
    /// # Errors
    /// The attempt failed: the answer broke off, or there is no room for it now.
    pub(super) async fn take_reply(
        &self,
        mut answer: Answer,
        mode: Mode,
        origin: Option<Origin>,
        view: &View,
    ) -> Result<Option<Reply>, Failure> {
        let headers = PassThrough::from_headers(&answer.headers);
        let reply = |event| {
            Ok(Some(Reply {
                event,
                headers: headers.clone(),
                origin: origin.clone(),
            }))
        };
        let intake = self.intake(mode);
        let room = match intake.admit(answer.announced_len()).await {
            Ok(room) => room,
            Err(unfit) => return refused(unfit).map_or_else(Err, |never| reply(Err(never))),
        };
        match room {
            Room::Small { announced, lease } => {
                let data = match intake.collect(announced, lease, &mut answer).await {
                    Ok(data) => data,
                    Err(unfit) => {
                        return refused(unfit).map_or_else(Err, |never| reply(Err(never)));
                    }
                };
                let event = self.decode(intake, &answer.headers, data).await?;
                answer.finish();
                reply(match event {
                    Ok(event) => Ok(self.with_what_it_refers_to(event, view).await?),
                    Err(never) => Err(never),
                })
            }
            Room::Bulky(mut bulky) => match read_binary(&answer.headers) {
                Err(invalid) => reply(Err(not_valid(&invalid))),
                Ok(mut attributes) => {
                    // It has data of its own: a reference can only be a copy.
                    self.refers(&mut attributes, true, view).await?;
                    let whole = Reply {
                        event: Ok(Event::new(attributes, bulky.payload())),
                        headers,
                        origin,
                    };
                    let passed_on = self.pass_on(&whole).await;
                    self.fill(bulky, answer, intake).await?;
                    Ok(Some(whole).filter(|_| !passed_on))
                }
            },
        }
    }

    /// An answer without data may refer to it.
    async fn with_what_it_refers_to(
        &self,
        mut event: Event,
        view: &View,
    ) -> Result<Event, Failure> {
        let has_data = !event.payload.is_empty();
        match self.refers(&mut event.attributes, has_data, view).await? {
            Refers::Not => Ok(event),
            Refers::To(stored) => Ok(Event::new(event.attributes, Payload::set_aside(stored))),
        }
    }

    /// Receives the rest of a bulky reply.
    async fn fill(
        &self,
        bulky: Bulky,
        mut answer: Answer,
        intake: Intake<'_>,
    ) -> Result<(), Failure> {
        let filled = bulky.fill(&mut answer, 0, intake.limit()).await;
        let filled = filled.map_err(|unfit| refused(unfit).unwrap_or_else(|failure| failure))?;
        // A reply whose cause may still break must not become whole.
        self.hold()
            .await
            .map_err(|error| Failure::unreadable(&error))?;
        filled.finish().await.map_err(|error| no_store(&error))?;
        answer.finish();
        Ok(())
    }

    fn intake(&self, mode: Mode) -> Intake<'_> {
        let Hop { state, lane, .. } = self.hop;
        Intake {
            admission: &state.admission,
            namespace: &lane.spec.namespace,
            draw: Draw::Reply,
            structured: mode == Mode::Structured,
            as_file: self.reply_is_shown(),
        }
    }

    /// Whoever gets the reply is shown payloads by reference.
    pub(super) fn reply_is_shown(&self) -> bool {
        let Hop { live, lane, .. } = self.hop;
        let shows_references = |to: &Destination| match &to.target {
            Target::Hosted(key) => live
                .hosted(key)
                .is_some_and(|hosted| hosted.served.shows_references()),
            Target::Service(_) | Target::Uri => false,
        };
        lane.spec.reply.as_ref().is_some_and(shows_references)
    }

    /// What a small answer holds; the inner error says why its destination can never take it.
    async fn decode(
        &self,
        intake: Intake<'_>,
        headers: &HeaderMap,
        data: Payload,
    ) -> Result<Result<Event, Failure>, Failure> {
        if !intake.structured {
            let attributes = read_binary(headers);
            let event = attributes.map(|attributes| Event::new(attributes, data));
            return Ok(event.map_err(|invalid| not_valid(&invalid)));
        }
        let bytes = data.to_bytes().unwrap_or_default();
        let inline_max = intake.admission.limits.inline_max;
        let read = if data.len() > inline_max {
            let parsing = intake
                .admission
                .heavy(move || read_structured(&bytes))
                .await;
            parsing.ok_or_else(|| Failure::ours(500, "the reply could not be parsed", true))?
        } else {
            read_structured(&bytes)
        };
        let event = match read {
            Ok(event) => event,
            Err(invalid) => return Ok(Err(not_valid(&invalid))),
        };
        let part = event.payload.with_lease_of(&data);
        let part = if part.len() > inline_max {
            let moved = intake.move_aside::<SendError>(&part).await;
            moved.map_err(|unfit| refused(unfit).unwrap_or_else(|failure| failure))?
        } else {
            part
        };
        Ok(Ok(Event::new(event.attributes, part)))
    }
}

/// Why a reply was not taken in: `Ok` if no other attempt could change that, so that the reply has failed; `Err` if the
/// attempt has.
fn refused(unfit: Unfit<SendError>) -> Result<Failure, Failure> {
    match unfit {
        Unfit::TooLarge {
            size,
            limit,
            setting,
        } => {
            let text = format!(
                "the reply has at least {size} bytes, more than the limit of {limit} (setting {setting})"
            );
            Ok(Failure::ours(413, &text, false))
        }
        Unfit::Store(error) => Err(no_store(&error)),
        Unfit::Source(error) => Err(Failure::no_answer(&error)),
    }
}

fn no_store(error: &StoreError) -> Failure {
    Failure::ours(503, &format!("reply refused: {error}"), true)
}

fn not_valid(invalid: &Invalid) -> Failure {
    let text = format!("the reply is not a valid event: {invalid}");
    Failure::ours(500, &text, false)
}
