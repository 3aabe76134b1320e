//! The bed of most tests: one gateway with one channel (or broker) `in` and one subscription (or Trigger) `sub` to a
//! programmable subscriber, with a reply sink and a dead letter sink when asked for.

use anyhow::Result;
use serde_json::{Value, json};

use crate::event::{Event, Message};
use crate::gateway::{Gateway, Launch};
use crate::manifest::{
    Object, broker, broker_path, channel_path, in_memory_channel, subscription, trigger, uri,
};
use crate::sender::Response;
use crate::subscriber::Subscriber;

/// The channel or broker of the bed.
pub const CHANNEL: &str = "in";

/// The type of event that a broker's reply sink takes.
pub const REPLY: &str = "reply";

/// A running bed.
#[derive(Debug)]
pub struct Bed {
    /// The gateway.
    pub gateway: Gateway,
    /// Where the channel or broker takes events.
    pub path: String,
    /// The subscriber of the channel.
    pub subscriber: Subscriber,
    /// The reply sink; configured only with [`Setup::reply`].
    pub reply: Subscriber,
    /// The dead letter sink; configured only with [`Setup::dead_letter`].
    pub dead_letter: Subscriber,
}

/// A bed that is about to start.
#[derive(Debug)]
pub struct Setup {
    subscriber_path: String,
    reply: bool,
    dead_letter: bool,
    fields: Vec<(String, Value)>,
    channel: Object,
    others: Vec<Object>,
    settings: Vec<(String, String)>,
}

impl Setup {
    /// Replies go to the reply sink, at `/reply`. With a broker: it has a Trigger `replies` for type [`REPLY`].
    #[must_use]
    pub fn reply(mut self) -> Self {
        self.reply = true;
        self
    }

    /// Dead letters go to the dead letter sink, at `/dead`.
    #[must_use]
    pub fn dead_letter(mut self) -> Self {
        self.dead_letter = true;
        self
    }

    /// Sets a field of the subscription's delivery spec.
    #[must_use]
    pub fn delivery(self, field: &str, value: impl Into<Value>) -> Self {
        self.field(&format!("delivery.{field}"), value)
    }

    /// Sets a field of the subscription's spec.
    #[must_use]
    pub fn field(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.push((field.to_owned(), value.into()));
        self
    }

    /// Sets a field of the channel's spec.
    #[must_use]
    pub fn channel_field(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.channel = self.channel.spec(field, value);
        self
    }

    /// Path and query of the subscriber; `/` otherwise.
    #[must_use]
    pub fn subscriber_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.subscriber_path);
        self
    }

    /// Annotates the channel.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.channel = self.channel.annotation(name, value);
        self
    }

    /// Adds an object.
    #[must_use]
    pub fn and(mut self, object: Object) -> Self {
        self.others.push(object);
        self
    }

    /// Changes a setting of the gateway.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the gateway does not start.
    pub async fn start(self) -> Result<Bed> {
        let subscriber = Subscriber::start().await?;
        let reply = Subscriber::start().await?;
        let dead_letter = Subscriber::start().await?;
        let is_broker = self.channel.kind == "Broker";
        let to = uri(subscriber.url(&self.subscriber_path));
        let mut object = if is_broker {
            trigger("sub", CHANNEL, to)
        } else {
            subscription("sub", &self.channel, to)
        };
        let mut others = self.others;
        match (self.reply, is_broker) {
            (false, _) => {}
            (true, false) => object = object.spec("reply", uri(reply.url("/reply"))),
            (true, true) => others.push(
                trigger("replies", CHANNEL, uri(reply.url("/reply")))
                    .spec("filter", json!({"attributes": {"type": REPLY}})),
            ),
        }
        if self.dead_letter {
            object = object.spec("delivery.deadLetterSink", uri(dead_letter.url("/dead")));
        }
        for (field, value) in self.fields {
            object = object.spec(&field, value);
        }
        let launch: Launch = Gateway::with([self.channel, object].into_iter().chain(others));
        let launch = self
            .settings
            .iter()
            .fold(launch, |launch, (key, value)| launch.set(key, value));
        Ok(Bed {
            gateway: launch.start().await?,
            path: if is_broker {
                broker_path(CHANNEL)
            } else {
                channel_path(CHANNEL)
            },
            subscriber,
            reply,
            dead_letter,
        })
    }
}

impl Bed {
    /// A bed with one channel and one subscription.
    #[must_use]
    pub fn setup() -> Setup {
        Bed::of(in_memory_channel(CHANNEL))
    }

    /// A bed with one broker and one Trigger.
    #[must_use]
    pub fn broker() -> Setup {
        Bed::of(broker(CHANNEL))
    }

    fn of(channel: Object) -> Setup {
        Setup {
            subscriber_path: "/".to_owned(),
            reply: false,
            dead_letter: false,
            fields: Vec::new(),
            channel,
            others: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// A plain bed, started.
    ///
    /// # Errors
    /// When the gateway does not start.
    pub async fn start() -> Result<Self> {
        Bed::setup().start().await
    }

    /// Both beds, for what holds of a channel and of a broker.
    #[must_use]
    pub fn both() -> [Setup; 2] {
        [Bed::setup(), Bed::broker()]
    }

    /// POSTs to the channel of the bed.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn post(&self, message: &Message) -> Result<Response> {
        self.gateway.sender().post(&self.path, message).await
    }

    /// POSTs an event in binary mode to the channel of the bed. When it returns, the event has settled everywhere, since
    /// the channel is a memory channel that is not async: counts are final.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn event(&self, event: &Event) -> Result<Response> {
        self.post(&event.binary()).await
    }
}
