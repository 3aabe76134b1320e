//! Many producers at once, every other one slow, each obeying Retry-After: how many are taken at once, how soon all
//! is delivered, how much memory.

use super::Load;
use crate::payloads::gateway::{Gateway, Setup, Taken};
use crate::payloads::manifests::{channel, subscription, url};
use crate::payloads::pattern::Pattern;
use crate::payloads::producer::Post;
use crate::payloads::protocol::Expect;
use crate::payloads::report::{Bar, Line};
use crate::payloads::workers::{Workers, judge};
use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use towpath_harness::memory::Peak;

const SINK: &str = "/sink/0";
/// From the end of the last slow producer until all is delivered, at most, seconds.
const SECONDS: f64 = 300.0;

pub(super) async fn run(setup: &Setup, load: &Load) -> Result<Vec<Line>> {
    let mut rounds = Vec::new();
    for _ in 0..load.memory_rounds {
        rounds.push(once(setup, load).await?);
    }
    let name = format!(
        "{} producers x {}, half at {}/s",
        load.producers,
        super::size_name(load.producers_size),
        super::size_name(load.slow_bytes_per_second)
    );
    let of = |value: fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
    let most = |value: fn(&Round) -> u64| rounds.iter().map(value).max().unwrap_or_default();
    let peaks: Vec<Peak> = rounds.iter().map(|round| round.peak).collect();
    let counts_dirty_pages = rounds.iter().all(|round| round.counts_dirty_pages);
    let notes = format!(
        "at most {} refusals; at most {} delivered more than once",
        most(|round| round.refusals),
        most(|round| round.again)
    );
    Ok(vec![
        Line::new(
            format!("{name}: accepted at once"),
            "",
            of(|round| round.at_once as f64),
        )
        .bar(Bar::AtLeast(load.accepted_at_least))
        .note(notes),
        Line::new(
            format!("{name}: from the last slow one's end until all are delivered"),
            "s",
            of(|round| round.seconds_after),
        )
        .bar(Bar::AtMost(SECONDS)),
        Line::new(format!("{name}: all of it"), "s", of(|round| round.seconds)),
        super::peaks(format!("{name}: peak memory"), &peaks, counts_dirty_pages),
    ])
}

struct Round {
    at_once: usize,
    seconds_after: f64,
    seconds: f64,
    refusals: u64,
    again: u64,
    peak: Peak,
    counts_dirty_pages: bool,
}

async fn once(setup: &Setup, load: &Load) -> Result<Round> {
    let workers = Workers::start()?;
    let sink = url(workers.even.address, SINK);
    let manifests = channel("in") + &subscription("in", "in", None, &sink, None);
    let gateway = Gateway::start(setup, &manifests)?;
    let expect = Expect {
        size: load.producers_size,
        ..Expect::default()
    };
    workers.expect(&expect).await?;
    let pattern = Pattern::new();
    let watch = gateway.watch()?;
    let start = crate::clock::now_nanos();
    let sends = (0..load.producers).map(|number| {
        let (gateway, pattern) = (&gateway, &pattern);
        async move {
            let post = Post {
                number,
                size: load.producers_size,
                bytes_per_second: is_slow(number).then_some(load.slow_bytes_per_second),
            };
            gateway.send("in", pattern, &post).await
        }
    });
    let taken = workers.explain(try_join_all(sends).await).await?;
    let peak = watch.end()?;
    let sightings = workers.seen().await?;
    let again = judge(&sightings, &[SINK.to_owned()], &(0..load.producers))?;
    let delivered = sightings.seen.iter().map(|seen| seen.at_nanos).max();
    let delivered = delivered.context("nothing was delivered")?;
    let slow = (0..load.producers)
        .zip(&taken)
        .filter(|(number, _)| is_slow(*number));
    let last_slow = slow.map(|(_, taken)| taken.ended).max();
    let last_slow = last_slow.context("no slow producers")?;
    Ok(Round {
        at_once: most_at_once(&taken),
        seconds_after: super::nanos_in(delivered.saturating_sub(last_slow), 1.0),
        seconds: super::nanos_in(delivered - start, 1.0),
        refusals: taken.iter().map(|taken| taken.refusals).sum(),
        again,
        peak,
        counts_dirty_pages: gateway.counts_dirty_pages(),
    })
}

fn is_slow(number: u64) -> bool {
    number % 2 == 1
}

/// The most events whose bodies were on the way at one time, of the attempts that were taken.
fn most_at_once(taken: &[Taken]) -> usize {
    // an end sorts before a beginning at the same moment: those two were not at once
    let ends = taken.iter().map(|taken| (taken.ended, false));
    let mut moments: Vec<(u64, bool)> = taken.iter().map(|taken| (taken.began, true)).collect();
    moments.extend(ends);
    moments.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in moments {
        now = if begins {
            now + 1
        } else {
            now.saturating_sub(1)
        };
        most = most.max(now);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::{Taken, most_at_once};

    #[test]
    fn bodies_that_overlap_in_time_are_at_once() {
        let taken = |began, ended| Taken {
            refusals: 0,
            began,
            ended,
            answered: ended,
        };
        assert_eq!(most_at_once(&[]), 0);
        assert_eq!(most_at_once(&[taken(0, 5), taken(5, 9)]), 1);
        assert_eq!(most_at_once(&[taken(0, 6), taken(5, 9), taken(7, 8)]), 2);
        assert_eq!(most_at_once(&[taken(0, 9), taken(1, 9), taken(2, 3)]), 3);
    }
}
