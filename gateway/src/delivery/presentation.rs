//! What a subscriber sees of a bulky payload, and what its answer may refer to (DESIGN section 5): the event whole unless
//! it opted in to a reference.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use tokio::time::Instant;
use towpath_config::topology::Presentation;
use towpath_event::http::write_structured;
use towpath_event::{Attributes, Event, Payload, PayloadId, Place, SetAside};
use towpath_payloads::{AdoptError, Draw};
use url::Url;

use super::attempt::{Kind, Leg};
use super::hop::Hop;
use super::outcome::{BAD_GATEWAY, Failure};
use crate::payload_api::{
    Answered, AttemptGuard, Purpose, Token, classify, present, strip, strip_copied, url,
};

/// What one attempt sends.
pub(super) struct View {
    /// The attributes in its head, if they are not the event's.
    pub(super) attributes: Option<Attributes>,
    pub(super) body: Payload,
    /// Where the subscriber may leave the payload of its reply.
    pub(super) upload: Option<Upload>,
    /// The payload that it is shown by reference.
    shown: Option<Arc<dyn SetAside>>,
}

/// An upload URL, valid for one attempt.
pub(super) struct Upload {
    pub(super) url: HeaderValue,
    guard: AttemptGuard,
}

/// What an answer says of its data.
pub(super) enum Refers {
    /// It has its own.
    Not,
    /// It is this payload.
    To(Arc<dyn SetAside>),
}

impl Leg<'_, '_> {
    /// What the next attempt sends. References are made anew for each, so that none is old when it is used.
    ///
    /// # Errors
    /// The attempt failed: the payload cannot be had in that form now.
    pub(super) async fn view(&self) -> Result<View, Failure> {
        let presentation = self.presentation();
        if self.kind == Kind::Subscriber
            && self.hop.lane.spec.cut_through == Some(false)
            && let Some(stored) = self.event.payload.stored()
        {
            complete(stored).await?;
        }
        let by_reference = match (presentation, self.event.payload.stored()) {
            (Presentation::Inline, _) | (_, None) => None,
            (Presentation::Reference, Some(stored)) => self.by_url(stored).await?,
            (Presentation::File, Some(stored)) => self.by_file(stored).await?,
        };
        let upload = match presentation {
            Presentation::Inline => None,
            Presentation::Reference | Presentation::File => self.upload(),
        };
        let Some((attributes, shown)) = by_reference else {
            return Ok(View {
                attributes: None,
                body: self.body().await?.clone(),
                upload,
                shown: None,
            });
        };
        let body = if self.is_structured() {
            let event = Event::new(attributes.clone(), Payload::empty());
            write_structured(&event).unwrap_or_default()
        } else {
            Payload::empty()
        };
        Ok(View {
            attributes: Some(attributes),
            body,
            upload,
            shown: Some(shown),
        })
    }

    fn presentation(&self) -> Presentation {
        match self.kind {
            Kind::Subscriber => self.hop.lane.presentation,
            Kind::Reply | Kind::DeadLetter => Presentation::Inline,
        }
    }

    /// The event's data is not sent, but shown by reference.
    pub(super) fn is_shown(&self) -> bool {
        self.presentation() != Presentation::Inline && self.event.payload.stored().is_some()
    }

    /// The attributes with a signed URL; `None` if the event must be sent whole.
    async fn by_url(&self, stored: &Arc<dyn SetAside>) -> Result<Option<Referred>, Failure> {
        complete(stored).await?;
        let claim = stored.claim();
        let url = self.sign(Purpose::Read, claim.id, claim.place.clone(), claim.size);
        Ok(self.referred(&url, claim.id, stored))
    }

    /// The attributes with the URL of a file; `None` if the event must be sent whole.
    async fn by_file(&self, stored: &Arc<dyn SetAside>) -> Result<Option<Referred>, Failure> {
        complete(stored).await?;
        let Hop { state, lane, .. } = self.hop;
        let Some(node) = &state.node else {
            return Ok(None);
        };
        let in_file = node
            .store
            .materialise(stored, &lane.spec.namespace, Draw::Reply);
        let in_file = in_file.await.map_err(|error| {
            Failure::ours(
                503,
                &format!("the payload cannot be shown as a file: {error}"),
                true,
            )
        })?;
        // The name is that of the copy, where the payload rests with another gateway.
        let shown = in_file.file().and_then(|path| {
            let id = id_of(&path)?;
            let url = Url::from_file_path(path).ok()?;
            self.referred(url.as_str(), id, &in_file)
        });
        Ok(shown)
    }

    fn referred(&self, url: &str, id: PayloadId, stored: &Arc<dyn SetAside>) -> Option<Referred> {
        let mut attributes = self.event.attributes.clone();
        let claim = stored.claim();
        if !present(&mut attributes, url, claim.size, claim.digest) {
            return None;
        }
        self.hop.state.api.shown.show(id, stored);
        Some((attributes, Arc::clone(stored)))
    }

    fn upload(&self) -> Option<Upload> {
        let Hop { state, lane, .. } = self.hop;
        lane.spec.reply.as_ref()?;
        let namespace = Arc::clone(&lane.spec.namespace);
        let guard = state.api.attempts.open(namespace, self.reply_is_shown());
        let most = state.settings.limits.max_event_bytes;
        let url = self.sign(Purpose::Upload, guard.id(), Place::Memory, most);
        let url = HeaderValue::try_from(url).ok()?;
        Some(Upload { url, guard })
    }

    fn sign(&self, purpose: Purpose, id: PayloadId, place: Place, size: u64) -> String {
        let Hop { state, lane, .. } = self.hop;
        let valid = self.bound() + state.settings.payloads.reference_grace;
        let now = SystemTime::now();
        let mut hasher = DefaultHasher::new();
        lane.spec.key.hash(&mut hasher);
        let token = Token {
            purpose,
            id,
            place,
            size,
            subscription: hasher.finish(),
            expires: now.checked_add(valid).unwrap_or(now),
        };
        let keys = state.api.keys.keys(Instant::now());
        url(&state.api.base, &keys.sign(&token))
    }

    /// The subscriber has taken the event: what it was shown stays readable for a while (setting payloads.referenceGrace).
    pub(super) fn keep_for_a_while(&self, view: &View) {
        if let Some(shown) = &view.shown {
            self.hop.state.api.grace.hold(Arc::clone(shown));
        }
    }

    /// What the event of an answer refers to. Its attributes lose what stands for it, and what is left of the reference
    /// that the request showed.
    ///
    /// # Errors
    /// The attempt failed: it refers to what is not here, or may not be taken.
    pub(super) async fn refers(
        &self,
        attributes: &mut Attributes,
        has_body: bool,
        view: &View,
    ) -> Result<Refers, Failure> {
        let Hop { state, .. } = self.hop;
        let shared = state.node.as_ref().map(|node| &*node.shared);
        let payload = match classify(attributes, has_body, &state.api.base, shared) {
            Answered::Ordinary => {
                if let Some(shown) = &view.attributes {
                    strip_copied(attributes, shown);
                }
                return Ok(Refers::Not);
            }
            Answered::Strip => {
                strip(attributes);
                return Ok(Refers::Not);
            }
            Answered::Reference(token) => self.by_token(token, view)?,
            Answered::File(path) => self.by_path(&path).await?,
        };
        strip(attributes);
        Ok(Refers::To(payload))
    }

    /// A payload that was uploaded for this attempt, or that was shown and is passed on.
    fn by_token(&self, text: &str, view: &View) -> Result<Arc<dyn SetAside>, Failure> {
        let api = &self.hop.state.api;
        let token = api
            .keys
            .keys(Instant::now())
            .verify(text, SystemTime::now());
        let token = token.map_err(|error| not_ours(&error.to_string()))?;
        let found = match token.purpose {
            Purpose::Read => api.shown.get(token.id),
            Purpose::Upload => view
                .upload
                .as_ref()
                .filter(|upload| upload.guard.id() == token.id)
                .and_then(|upload| upload.guard.take()),
        };
        found.ok_or_else(|| {
            not_ours("nothing was uploaded for this attempt, or the payload is gone")
        })
    }

    /// A file in the shared directory: one that was shown, or one that the subscriber left in `out/`.
    async fn by_path(&self, path: &Path) -> Result<Arc<dyn SetAside>, Failure> {
        let Hop { state, lane, .. } = self.hop;
        let Some(node) = &state.node else {
            return Err(not_ours("there is no node store here"));
        };
        let beneath = path.strip_prefix(&node.shared).unwrap_or(path);
        if let Ok(left) = beneath.strip_prefix("out") {
            let adopted = node
                .store
                .adopt(left, &lane.spec.namespace, Draw::Reply)
                .await;
            return adopted.map_err(|error| match error {
                AdoptError::Full(full) => {
                    Failure::ours(503, &format!("reply refused: {full}"), true)
                }
                error => not_ours(&error.to_string()),
            });
        }
        let shown = id_of(beneath).and_then(|id| state.api.shown.get(id));
        shown.ok_or_else(|| not_ours("no payload was shown under this name"))
    }
}

/// The attributes that stand for a payload, and the payload.
type Referred = (Attributes, Arc<dyn SetAside>);

/// The id of the payload in a file of the shared directory: its name.
fn id_of(path: &Path) -> Option<PayloadId> {
    path.file_name()?.to_str()?.parse().ok()
}

async fn complete(stored: &Arc<dyn SetAside>) -> Result<(), Failure> {
    let completed = stored.completed().await;
    completed.map_err(|error| Failure::unreadable(&error))
}

fn not_ours(why: &str) -> Failure {
    let text = format!("the reply's dataref cannot be taken: {why}");
    Failure::ours(BAD_GATEWAY, &text, true)
}
