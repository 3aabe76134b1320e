//! One bulky event to many subscribers: how much memory, and how many stored copies.

use super::Load;
use crate::payloads::gateway::{Gateway, Setup};
use crate::payloads::manifests::fan_out;
use crate::payloads::pattern::Pattern;
use crate::payloads::producer::Post;
use crate::payloads::protocol::Expect;
use crate::payloads::report::{Bar, Line};
use crate::payloads::workers::{Workers, judge_once};
use anyhow::Result;

pub(super) async fn run(setup: &Setup, load: &Load) -> Result<Vec<Line>> {
    let (subscriptions, size) = load.fan_out;
    let pattern = Pattern::new();
    let (mut peaks, mut copies, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    let mut counts_dirty_pages = true;
    for _ in 0..load.memory_rounds {
        let workers = Workers::start()?;
        let (manifests, places) = fan_out(subscriptions, workers.even.address);
        let gateway = Gateway::start(setup, &manifests)?;
        counts_dirty_pages = gateway.counts_dirty_pages();
        let expect = Expect {
            size,
            ..Expect::default()
        };
        workers.expect(&expect).await?;
        let post = Post {
            number: 1,
            size,
            bytes_per_second: None,
        };
        let watch = gateway.watch()?;
        let objects = gateway.count_objects();
        let sent = gateway.send("fan", &pattern, &post).await;
        let taken = workers.explain(sent).await?;
        copies.extend(objects.most().map(|most| most as f64));
        peaks.push(watch.end()?);
        judge_once(&workers.seen().await?, &places, &(1..2))?;
        seconds.push(super::nanos_in(taken.answered - taken.began, 1.0));
    }
    let name = format!("Fan-out 1:{subscriptions} of {}", super::size_name(size));
    let mut lines = vec![
        super::peaks(format!("{name}: peak memory"), &peaks, counts_dirty_pages),
        Line::new(format!("{name}: until all have it"), "s", seconds),
    ];
    if copies.is_empty() {
        eprintln!("stored copies are not counted: this gateway has no metric of stored payloads");
    } else {
        lines.push(Line::new(format!("{name}: stored copies"), "", copies).bar(Bar::AtMost(1.0)));
    }
    Ok(lines)
}
