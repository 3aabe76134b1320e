//! A 3-step Sequence in which every sender is paced, from the producer's first byte to the last one at the sink,
//! against one hop at the same pace.

use super::Load;
use crate::payloads::gateway::{Gateway, Setup};
use crate::payloads::manifests::{channel, first_of, sequence, subscription, url};
use crate::payloads::pattern::Pattern;
use crate::payloads::producer::Post;
use crate::payloads::protocol::{Expect, Sightings};
use crate::payloads::report::{Bar, Line};
use crate::payloads::workers::{Workers, judge_once};
use anyhow::{Context, Result};

/// The pace of every sender, bytes a second.
const PACE: u64 = 200_000_000;
const STEPS: usize = 3;

/// A way from the producer to a sink.
struct Way {
    channel: String,
    /// Every place that an event passes.
    places: Vec<String>,
    /// The last of them.
    sink: String,
}

pub(super) async fn run(setup: &Setup, load: &Load) -> Result<Vec<Line>> {
    let workers = Workers::start()?;
    let sink = url(workers.of(STEPS).address, "/sink/hop");
    let mut manifests = channel("hop") + &subscription("hop", "hop", None, &sink, None);
    let mut ways = vec![Way {
        channel: "hop".to_owned(),
        places: vec!["/sink/hop".to_owned()],
        sink: "/sink/hop".to_owned(),
    }];
    for kind in ["stream", "collect"] {
        let (yaml, way) = workflow(kind, &workers);
        manifests += &yaml;
        ways.push(way);
    }
    let gateway = Gateway::start(setup, &manifests)?;
    let pattern = Pattern::new();
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    // the first round opens connections and faults pages in
    for number in 0..=load.rounds {
        for (way, millis) in ways.iter().zip(&mut rounds) {
            let took = once(&gateway, &workers, &pattern, way, load.paced_size).await?;
            if number > 0 {
                millis.push(super::nanos_in(took, 1e3));
            }
        }
    }
    let size = super::size_name(load.paced_size);
    let (hop, flows) = rounds.split_first().context("no ways")?;
    let mut lines = vec![Line::new(
        format!("{size}, one hop, paced to {} MB/s", PACE / 1_000_000),
        "ms",
        hop.clone(),
    )];
    let whats = [
        "as they come",
        "after they have all (no cut-through can help there)",
    ];
    for (flow, what) in flows.iter().zip(whats) {
        let ratios = flow.iter().zip(hop).map(|(flow, hop)| flow / hop);
        let what = format!("{size} through {STEPS} steps that reply {what}, x one hop");
        lines.push(Line::new(what, "", ratios.collect()));
    }
    if let Some(line) = lines.get_mut(1) {
        *line = line.clone().bar(Bar::MedianAtMost(1.2));
    }
    Ok(lines)
}

fn workflow(kind: &str, workers: &Workers) -> (String, Way) {
    let sink = format!("/sink/{kind}");
    let mut places: Vec<String> = (0..STEPS).map(|step| format!("/{kind}/{step}")).collect();
    let urls = places
        .iter()
        .enumerate()
        .map(|(step, place)| url(workers.of(step).address, place));
    let urls: Vec<String> = urls.collect();
    let to = url(workers.of(STEPS).address, &sink);
    let yaml = sequence(kind, None, &urls, Some(&to));
    places.push(sink.clone());
    let way = Way {
        channel: first_of(kind),
        places,
        sink,
    };
    (yaml, way)
}

/// Nanoseconds from the producer's first byte to the last one at the sink.
async fn once(
    gateway: &Gateway,
    workers: &Workers,
    pattern: &Pattern,
    way: &Way,
    size: u64,
) -> Result<u64> {
    let expect = Expect {
        size,
        bytes_per_second: Some(PACE),
        ..Expect::default()
    };
    workers.expect(&expect).await?;
    let post = Post {
        number: 1,
        size,
        bytes_per_second: Some(PACE),
    };
    let sent = gateway.send(&way.channel, pattern, &post).await;
    workers.explain(sent).await?;
    let seen = workers.seen().await?;
    judge_once(&seen, &way.places, &(1..2))?;
    took(&seen, &way.sink)
}

fn took(sightings: &Sightings, place: &str) -> Result<u64> {
    let at = sightings.seen.iter().find(|seen| seen.place == place);
    Ok(at.context("the event did not reach its sink")?.took_nanos)
}
