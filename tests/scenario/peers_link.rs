//! Two nodes and a link between them: the payload of a workflow crosses it once for each hop that changes node, and never else.
//! 8 MB each, or 64 MB with `TOWPATH_SOAK=1`.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::time::Instant;
use towpath_harness::manifest::{Object, channel_path, reference, sequence, service, uri};
use towpath_harness::measure::{Pattern, Producer};
use towpath_harness::poll::SOON;
use towpath_harness::replica::{Place, slice};
use towpath_harness::{Event, Gateway, Link, Meter, Peers, Subscriber, TestResult};

/// Bits per second of the link.
const RATE: u64 = 1_000_000_000;
/// What gateways say to each other besides, in bytes: attempts, answers, and the load feed of some seconds.
const TALK: u64 = 192 * 1024;
const NODES: [&str; 2] = ["a", "b"];
const PLACES: [Place; 2] = [place("pod-a", "a"), place("pod-b", "b")];

const fn place(pod: &'static str, node: &'static str) -> Place {
    Place {
        pod,
        node,
        zone: towpath_harness::peers::ZONE,
    }
}

fn size() -> u64 {
    let long = std::env::var_os("TOWPATH_SOAK").is_some_and(|value| value != "0");
    if long { 64_000_000 } else { 8_000_000 }
}

/// A workflow: its name, the nodes of its steps, and how payloads are shown to them.
struct Flow {
    name: &'static str,
    steps: &'static [usize],
    payload: &'static str,
}

const fn flow(name: &'static str, steps: &'static [usize], payload: &'static str) -> Flow {
    Flow {
        name,
        steps,
        payload,
    }
}

/// What each step replies has a body of its own, so that it rests on the node of the step.
const INLINE: [Flow; 4] = [
    flow("alternate", &[1, 0, 1, 0, 1], "Inline"),
    flow("pairs", &[1, 1, 0, 0, 1], "Inline"),
    flow("all-a", &[0, 0, 0, 0], "Inline"),
    flow("all-b", &[1, 1, 1, 1], "Inline"),
];

/// Steps that get a reference and pass it on.
const SHOWN: [Flow; 4] = [
    flow("files-alternate", &[1, 0, 1, 0], "File"),
    flow("files-b", &[1, 1, 1, 1], "File"),
    flow("references-alternate", &[1, 0, 1, 0], "Reference"),
    flow("references-b", &[1, 1, 1, 1], "Reference"),
];

/// Where the reply of every workflow goes.
const SINK: usize = 0;

/// How often the payload changes node: it begins at the gateway `from`.
fn changes(from: usize, steps: &[usize]) -> u64 {
    let before = std::iter::once(&from).chain(steps);
    let hops = before.zip(steps.iter().chain(&[SINK]));
    hops.filter(|(at, to)| at != to).count() as u64
}

/// Two gateways with a node each; on each node one pod whose port serves every step that is there.
struct Bed {
    gateways: Vec<Gateway>,
    steps: [Meter; 2],
    sink: Meter,
    dead_letter: Subscriber,
    peers: Peers,
}

impl Bed {
    async fn start(flows: &[Flow]) -> anyhow::Result<Option<Self>> {
        let Some(link) = Link::of(RATE)? else {
            return Ok(None);
        };
        let [a, b] = &link.nodes;
        let steps = [
            Meter::on(a.listener()?, true)?,
            Meter::on(b.listener()?, true)?,
        ];
        let services = NODES.map(|node| service(&format!("step-{node}"), "http", 80));
        let mut objects: Vec<Object> = services.to_vec();
        for (node, step) in steps.iter().enumerate() {
            let name = services[node].name();
            objects.push(slice(name, 0, step.address(), &PLACES[node]));
        }
        let (sink, end) = (
            Meter::on(link.nodes[SINK].listener()?, false)?,
            service("sink", "http", 80),
        );
        objects.push(slice("sink", 0, sink.address(), &PLACES[SINK]));
        let dead_letter = Subscriber::on(link.nodes[SINK].listener()?)?;
        for flow in flows {
            let to = flow.steps.iter().map(|node| reference(&services[*node]));
            let mut flow = sequence(flow.name, to).annotation("towpath.dev/payload", flow.payload);
            for step in flow.rest["spec"]["steps"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                step["delivery"] = json!({"deadLetterSink": uri(dead_letter.url("/"))});
            }
            objects.push(flow.spec("reply", reference(&end)));
        }
        objects.push(end);
        let peers = Peers::on_link(link, NODES)?;
        Ok(Some(Self {
            gateways: peers.start(&objects).await?,
            steps,
            sink,
            dead_letter,
            peers,
        }))
    }

    /// Bytes that crossed so far.
    fn crossed(&self) -> anyhow::Result<u64> {
        self.peers.link()?.bytes()
    }

    /// Sends one event into the workflow from that side, and gives the bytes that went over the link until it was done.
    async fn sent(&self, flow: &Flow, from: usize) -> anyhow::Result<u64> {
        let counts = || {
            anyhow::Ok([
                self.steps[0].requests()?.len(),
                self.steps[1].requests()?.len(),
            ])
        };
        let (before, came) = (self.crossed()?, counts()?);
        let dead = self.dead_letter.count();
        let path = channel_path(&format!("{}-kn-sequence-0", flow.name));
        let headers = Event::numbered(1).data("text/plain", "").binary().headers;
        let to = self.gateways[from].listening;
        let producer = Producer::post(to, &path, headers, Some(size())).await?;
        for chunk in Pattern::new(7, size()) {
            producer.send(chunk).await;
        }
        let response = producer.end(SOON * 6).await?;
        ensure!(
            response.code() == 202,
            "{}: {} {}",
            flow.name,
            response.status,
            response.text()
        );
        if let Some(dead) = self.dead_letter.requests().get(dead) {
            let data = STANDARD.decode(dead.header("ce-knativeerrordata"))?;
            let said = String::from_utf8_lossy(&data);
            bail!("{}: dead letter: {said}", flow.name);
        }
        let bytes = self.crossed()? - before;
        let whole = Pattern::new(7, size()).measure();
        for (node, step) in self.steps.iter().enumerate() {
            let hops = flow.steps.iter().filter(|to| **to == node).count();
            let requests = step.requests()?;
            let new = requests.get(came[node]..).context("requests")?;
            ensure!(
                new.len() == hops,
                "{}: {} hops at {node}",
                flow.name,
                new.len()
            );
            for request in new {
                ensure!(request.data == whole, "{}: other bytes", flow.name);
            }
        }
        ensure!(
            self.sink.last()?.data == whole,
            "{}: other bytes",
            flow.name
        );
        Ok(bytes)
    }

    /// Sends one event into each workflow from each side, and says of each what crossed the link.
    async fn all(&self, flows: &[Flow], most: fn(usize, &[usize]) -> u64) -> TestResult {
        let mut wrong = Vec::new();
        for flow in flows {
            for from in [0, 1] {
                let bytes = match self.sent(flow, from).await {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        wrong.push(format!("{} from {}: {error:#}", flow.name, NODES[from]));
                        continue;
                    }
                };
                let most = most(from, flow.steps);
                let share = bytes as f64 / size() as f64;
                let line = format!(
                    "{} {:?} from {}: {share:.3} payloads crossed, {most} allowed",
                    flow.name, flow.steps, NODES[from]
                );
                eprintln!("{line}");
                if bytes > most * size() * 105 / 100 + TALK {
                    wrong.push(line);
                }
            }
        }
        ensure!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    }
}

/// Issue 6: at most one payload crosses for each hop that changes node, none for each that does not; and as many do cross, so the
/// bytes are really counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_crosses_once_for_each_hop_that_changes_node() -> TestResult {
    let Some(bed) = Bed::start(&INLINE).await? else {
        return Ok(());
    };
    bed.all(&INLINE, changes).await?;
    let (from, flow) = (0, &INLINE[0]);
    let bytes = bed.sent(flow, from).await?;
    assert!(bytes >= changes(from, flow.steps) * size(), "{bytes}");
    Ok(())
}

/// The same where steps get a file or a URL and pass the payload on: a hop that does not change node moves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_is_passed_on_crosses_no_more_often() -> TestResult {
    let Some(bed) = Bed::start(&SHOWN).await? else {
        return Ok(());
    };
    bed.all(&SHOWN, changes).await
}

/// A small event crosses with its attempt, and as little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_event_crosses_with_its_attempt() -> TestResult {
    let Some(bed) = Bed::start(&INLINE).await? else {
        return Ok(());
    };
    let (mut sender, events) = (bed.gateways[0].sender(), 50);
    let path = channel_path("alternate-kn-sequence-0");
    let before = bed.crossed()?;
    let began = Instant::now();
    for id in 0..events {
        let event = Event::numbered(id).data("text/plain", vec![b'x'; 1000]);
        let response = sender.post(&path, &event.binary()).await?;
        assert_eq!(response.code(), 202, "{}", response.text());
    }
    let took: Duration = began.elapsed() / events;
    let bytes = (bed.crossed()? - before) / u64::from(events);
    eprintln!(
        "1 KB through five steps, three of them on the other node: {bytes} bytes on the link, {took:.1?}"
    );
    // There and back, three times, with attributes and headers.
    assert!(bytes < 3 * 2 * 2500, "{bytes} bytes an event");
    Ok(())
}
