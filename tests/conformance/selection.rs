//! A broker whose Triggers differ in their filters only: which of them does an event reach?

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::{Map, Value, json};
use towpath_harness::manifest::{Object, broker, trigger, uri};
use towpath_harness::{Event, Gateway, Message, Spec, Subscriber};

/// A gateway with a broker `in`, and one Trigger for each filter.
pub(crate) struct Selection {
    gateway: Gateway,
    subscriber: Subscriber,
    seen: usize,
}

impl Selection {
    /// Starts it. A Trigger is given by its name and the fields of its spec that filter: `filter`, `filters`.
    pub(crate) async fn of(
        triggers: impl IntoIterator<Item = (&str, Value)>,
    ) -> anyhow::Result<Self> {
        Selection::beside([], triggers).await
    }

    /// The same with more objects.
    pub(crate) async fn beside(
        others: impl IntoIterator<Item = Object>,
        triggers: impl IntoIterator<Item = (&str, Value)>,
    ) -> anyhow::Result<Self> {
        let subscriber = Subscriber::start().await?;
        let mut objects = vec![broker("in")];
        for (name, fields) in triggers {
            let fields: Map<_, _> = serde_json::from_value(fields)?;
            let object = trigger(name, "in", uri(subscriber.url(&format!("/{name}"))));
            objects.push(
                fields
                    .into_iter()
                    .fold(object, |object, (field, value)| object.spec(&field, value)),
            );
        }
        let gateway = Gateway::with(objects.into_iter().chain(others))
            .start()
            .await?;
        Ok(Selection {
            gateway,
            subscriber,
            seen: 0,
        })
    }

    /// The Triggers that one event reached, each exactly once (B6.1).
    pub(crate) async fn reached(&mut self, message: &Message) -> anyhow::Result<BTreeSet<String>> {
        let response = self.gateway.publish("in", message).await?;
        ensure!(
            response.code() == 202,
            "{} {}",
            response.status,
            response.text()
        );
        let requests = self.subscriber.requests();
        let new = requests.get(self.seen..).unwrap_or_default();
        self.seen = requests.len();
        let reached: BTreeSet<_> = new
            .iter()
            .map(|request| request.path.trim_start_matches('/').to_owned())
            .collect();
        ensure!(reached.len() == new.len(), "a Trigger got an event twice");
        Ok(reached)
    }

    /// Fails unless an event reaches exactly these Triggers, in either mode.
    pub(crate) async fn expect(&mut self, event: &Event, names: &[&str]) -> anyhow::Result<()> {
        let expected: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
        for (mode, message) in [
            ("binary", event.binary()),
            ("structured", event.structured()),
        ] {
            let reached = self.reached(&message).await?;
            ensure!(
                reached == expected,
                "{mode} {:?}: reached {reached:?}, expected {expected:?}",
                event.attributes
            );
        }
        Ok(())
    }
}

/// `filters` of a Trigger with one filter.
pub(crate) fn only(filter: Value) -> Value {
    json!({"filters": Value::Array(vec![filter])})
}

/// A minimal event of that type.
pub(crate) fn typed(kind: &str) -> Event {
    Event::min(Spec::V10).with("type", kind)
}
