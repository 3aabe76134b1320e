//! Many workflows of three steps at once: how much memory.

use super::Load;
use crate::payloads::gateway::{Gateway, Setup, Taken};
use crate::payloads::manifests::{first_of, sequence, url};
use crate::payloads::pattern::Pattern;
use crate::payloads::producer::Post;
use crate::payloads::protocol::Expect;
use crate::payloads::report::Line;
use crate::payloads::workers::{Workers, judge_once};
use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::time::Instant;
use towpath_harness::memory::Peak;

const STEPS: usize = 3;

pub(super) async fn run(setup: &Setup, load: &Load) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for &(size, events) in &load.workflow_events {
        let (mut peaks, mut rates) = (Vec::new(), Vec::new());
        let (mut refusals, mut counts_dirty_pages) = (0, true);
        for _ in 0..load.memory_rounds {
            let round = once(setup, load.workflows, size, events).await?;
            peaks.push(round.peak);
            rates.push(round.mib_per_second);
            refusals += round.refusals;
            counts_dirty_pages &= round.counts_dirty_pages;
        }
        let name = format!("{} workflows x {}", load.workflows, super::size_name(size));
        lines.push(super::peaks(
            format!("{name}: peak memory"),
            &peaks,
            counts_dirty_pages,
        ));
        let rate = Line::new(
            format!("{name}: payload taken in from outside"),
            "MiB/s",
            rates,
        );
        lines.push(rate.note(format!("{refusals} refusals")));
    }
    Ok(lines)
}

struct Round {
    peak: Peak,
    mib_per_second: f64,
    refusals: u64,
    counts_dirty_pages: bool,
}

/// Each workflow is a closed loop of so many events; each step takes an event whole before it replies.
async fn once(setup: &Setup, workflows: u32, size: u64, events: u64) -> Result<Round> {
    let workers = Workers::start()?;
    let places: Vec<String> = (0..STEPS).map(place).collect();
    let urls = places
        .iter()
        .enumerate()
        .map(|(step, place)| url(workers.of(step).address, place));
    let urls: Vec<String> = urls.collect();
    let gateway = Gateway::start(setup, &sequence("work", None, &urls, None))?;
    let expect = Expect {
        size,
        ..Expect::default()
    };
    workers.expect(&expect).await?;
    let (pattern, channel) = (Pattern::new(), first_of("work"));
    let watch = gateway.watch()?;
    let start = Instant::now();
    let loops = (0..u64::from(workflows)).map(|workflow| {
        let (gateway, pattern, channel) = (&gateway, &pattern, &channel);
        async move {
            let mut refusals = 0;
            for event in 0..events {
                let post = Post {
                    number: workflow * events + event,
                    size,
                    bytes_per_second: None,
                };
                let taken: Taken = gateway.send(channel, pattern, &post).await?;
                refusals += taken.refusals;
            }
            Ok::<_, anyhow::Error>(refusals)
        }
    });
    let sent = workers.explain(try_join_all(loops).await).await?;
    let refusals = sent.into_iter().sum();
    let seconds = start.elapsed().as_secs_f64();
    let peak = watch.end()?;
    let all = u64::from(workflows) * events;
    judge_once(&workers.seen().await?, &places, &(0..all))?;
    Ok(Round {
        peak,
        mib_per_second: (all * size) as f64 / f64::from(1 << 20) / seconds,
        refusals,
        counts_dirty_pages: gateway.counts_dirty_pages(),
    })
}

fn place(step: usize) -> String {
    let kind = if step + 1 == STEPS { "sink" } else { "collect" };
    format!("/{kind}/{step}")
}
