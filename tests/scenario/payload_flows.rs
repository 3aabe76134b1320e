//! What the scenarios of bulky payloads share: a gateway with every kind of flow, whose parties measure what comes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use towpath_harness::gateway::Launch;
use towpath_harness::manifest::{
    Object, broker, broker_path, channel_path, in_memory_channel, parallel, sequence, subscription,
    trigger, uri,
};
use towpath_harness::measure::{Measure, Measuring, Pattern, Producer};
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Event, Gateway, Meter};

/// The type of the reply into the broker.
const REPLY: &str = "reply";

/// A gateway whose node store is a directory of its own.
pub(crate) struct Shelved {
    pub(crate) gateway: Gateway,
    /// Removed after the gateway.
    _directory: TempDir,
}

impl Shelved {
    pub(crate) async fn start(
        objects: impl IntoIterator<Item = Object>,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let launch = Gateway::with(objects)
            .set("store.node.directory", &directory.path().to_string_lossy())
            .set("payloads.referenceGrace", "1s");
        let set = |launch: Launch, (key, value): &(&str, &str)| launch.set(key, value);
        Ok(Shelved {
            gateway: settings.iter().fold(launch, set).start().await?,
            _directory: directory,
        })
    }

    /// Sends the head of an event with bulky data.
    pub(crate) async fn begin(
        &self,
        path: &str,
        event: &Event,
        length: Option<u64>,
    ) -> Result<Producer> {
        let headers = event.binary().headers;
        Producer::post(self.gateway.listening, path, headers, length).await
    }

    /// Waits until no payload is left, and holds that none was missed.
    pub(crate) async fn at_rest(&self) -> Result<()> {
        until("all payloads to be gone", SOON, async || {
            let left = self.sum("towpath_bytes_in_flight").await?
                + self.sum("towpath_payload_objects").await?;
            ensure!(left < 0.5, "bytes and objects left: {left}");
            Ok(Some(()))
        })
        .await?;
        let missed = self.sum("towpath_payload_early_misses_total").await?;
        ensure!(missed < 0.5, "{missed} early misses");
        Ok(())
    }

    /// Waits until a store has exactly so many payloads, of so many bytes in all.
    pub(crate) async fn holds(&self, tier: &str, objects: u32, bytes: u64) -> Result<()> {
        let wanted = [f64::from(objects), bytes as f64];
        let names = ["towpath_payload_objects", "towpath_payload_stored_bytes"];
        until("payloads to be stored", SOON, async || {
            let metrics = self.gateway.metrics().await?;
            let found = names.map(|name| metrics.sum(name, &[("tier", tier)]));
            let same = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.5);
            ensure!(same, "{tier} has {found:?} instead of {wanted:?}");
            Ok(Some(()))
        })
        .await
    }

    /// The sum of a metric.
    pub(crate) async fn sum(&self, name: &str) -> Result<f64> {
        Ok(self.gateway.metrics().await?.sum(name, &[]))
    }
}

/// An event whose data comes apart.
pub(crate) fn event(id: &str) -> Event {
    let event = Event::numbered(1).with("id", id);
    event.data("application/octet-stream", "")
}

/// How a body tells its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    ContentLength,
    Chunked,
}

/// One way from a producer to a sink.
pub(crate) struct Flow {
    pub(crate) name: &'static str,
    path: String,
    steps: Vec<Meter>,
    sink: Meter,
    /// How often an event comes to the sink.
    times: usize,
}

/// All flows at one gateway.
pub(crate) struct Flows {
    pub(crate) at: Shelved,
    pub(crate) flows: Vec<Flow>,
}

impl Flows {
    /// A Subscription, a Sequence of three steps, a Parallel of two branches, and a Trigger whose reply goes back to its
    /// broker and to another Trigger.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let subscribed = Flow::of("Subscription", channel_path("in"), 0).await?;
        let channel = in_memory_channel("in");
        let mut objects = vec![subscription("sub", &channel, uri(subscribed.sink.url("/")))];
        objects.push(channel);

        let sequenced = Flow::of("Sequence", channel_path("seq-kn-sequence-0"), 3).await?;
        let steps = sequenced.steps.iter().map(|step| uri(step.url("/")));
        objects.push(sequence("seq", steps).spec("reply", uri(sequenced.sink.url("/"))));

        let mut paralleled = Flow::of("Parallel", channel_path("par-kn-parallel"), 2).await?;
        paralleled.times = 2;
        let branches = paralleled.steps.iter();
        let branches = branches.map(|step| json!({"subscriber": uri(step.url("/"))}));
        objects.push(parallel("par", branches).spec("reply", uri(paralleled.sink.url("/"))));

        let mut triggered = Flow::of("Trigger", broker_path("b"), 0).await?;
        let step = Meter::echo_as(REPLY).await?;
        let event = event("any");
        let of_type = |kind: &str| json!({"attributes": {"type": kind}});
        objects.push(broker("b"));
        let first = trigger("first", "b", uri(step.url("/")));
        objects.push(first.spec("filter", of_type(&event.text("type"))));
        let second = trigger("second", "b", uri(triggered.sink.url("/")));
        objects.push(second.spec("filter", of_type(REPLY)));
        triggered.steps.push(step);
        Ok(Flows {
            at: Shelved::start(objects, settings).await?,
            flows: vec![subscribed, sequenced, paralleled, triggered],
        })
    }
}

impl Flow {
    async fn of(name: &'static str, path: String, steps: usize) -> Result<Self> {
        let mut echoes = Vec::new();
        for _ in 0..steps {
            echoes.push(Meter::echo().await?);
        }
        Ok(Flow {
            name,
            path,
            steps: echoes,
            sink: Meter::sink().await?,
            times: 1,
        })
    }

    /// Sends one event and holds that every party got exactly its bytes; gives its id.
    pub(crate) async fn carries(
        &self,
        at: &Shelved,
        size: u64,
        framing: Framing,
        deadline: Duration,
    ) -> Result<String> {
        let what = format!("{} of {size} bytes, {framing:?}", self.name);
        let id = format!("{size} {framing:?}");
        let length = (framing == Framing::ContentLength).then_some(size);
        let producer = at.begin(&self.path, &event(&id), length).await?;
        let mut sent = Measuring::default();
        for chunk in Pattern::new(7, size) {
            sent.add(&chunk);
            producer.send(chunk).await;
        }
        let response = producer.end(deadline).await.context(what.clone())?;
        ensure!(
            response.code() == 202,
            "{what}: {} {}",
            response.code(),
            response.text()
        );
        let sent = sent.end();
        ensure!(sent.length == size, "{what}: {} sent", sent.length);
        for step in &self.steps {
            got(step, &id, 1, &sent).with_context(|| format!("{what}, step"))?;
        }
        got(&self.sink, &id, self.times, &sent).with_context(|| format!("{what}, sink"))?;
        Ok(id)
    }

    /// Whether parties were shown a reference with that beginning instead of data.
    pub(crate) fn shown(&self, id: &str, begins: &str) -> Result<bool> {
        let mut parties = self.steps.iter().collect::<Vec<_>>();
        if parties.is_empty() {
            parties.push(&self.sink);
        }
        for party in parties {
            let requests = party.requests()?;
            let mut of_id = requests.iter().filter(|r| r.header("ce-id") == id);
            if !of_id.all(|request| request.header("ce-dataref").starts_with(begins)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Holds that an event came so often, each time with these bytes.
fn got(party: &Meter, id: &str, times: usize, sent: &Measure) -> Result<()> {
    let requests = party.requests()?;
    let of_id: Vec<_> = requests
        .iter()
        .filter(|request| request.header("ce-id") == id)
        .collect();
    ensure!(of_id.len() == times, "came {} times", of_id.len());
    for request in of_id {
        ensure!(
            request.data == *sent,
            "{:?} instead of {sent:?}",
            request.data
        );
    }
    Ok(())
}
