//! A long chain of subscriptions by reference: the bytes of control that each hop costs.

use super::Load;
use crate::payloads::gateway::{Gateway, Setup};
use crate::payloads::manifests::chain;
use crate::payloads::pattern::Pattern;
use crate::payloads::producer::Post;
use crate::payloads::protocol::{Expect, Sightings};
use crate::payloads::report::{Bar, Line};
use crate::payloads::workers::{Workers, judge_once};
use anyhow::Result;
use std::collections::BTreeMap;

const SIZE: u64 = 2 << 20;
/// Bytes of a request's head that are too many.
const TOO_MANY: f64 = 4096.0;

pub(super) async fn run(setup: &Setup, load: &Load) -> Result<Vec<Line>> {
    let workers = Workers::start()?;
    let (manifests, places) = chain(load.hops, workers.even.address);
    let gateway = Gateway::start(setup, &manifests)?;
    let pattern = Pattern::new();
    let (mut most, mut growth) = (Vec::new(), Vec::new());
    for number in 0..u64::from(load.rounds) {
        let expect = Expect {
            size: SIZE,
            ..Expect::default()
        };
        workers.expect(&expect).await?;
        let post = Post {
            number,
            size: SIZE,
            bytes_per_second: None,
        };
        let sent = gateway.send("hop-000", &pattern, &post).await;
        workers.explain(sent).await?;
        let seen = workers.seen().await?;
        judge_once(&seen, &places, &(number..number + 1))?;
        let heads = heads(&seen, &places);
        most.push(heads.iter().copied().max().unwrap_or_default() as f64);
        growth.push(grown(with_reply(&heads)) as f64);
    }
    let name = format!("{} hops by reference", load.hops);
    Ok(vec![
        Line::new(
            format!("{name}: control bytes, most of any hop"),
            "bytes",
            most,
        )
        .bar(Bar::AtMost(TOO_MANY - 1.0)),
        Line::new(
            format!("{name}: from the least to the most of any hop"),
            "bytes",
            growth,
        )
        .bar(Bar::AtMost(0.0)),
    ])
}

/// Bytes of the heads, in the order of the places. What a path differs by (`pass`, `pass-end`) is left out: users name
/// their paths.
fn heads(sightings: &Sightings, places: &[String]) -> Vec<u64> {
    let at: BTreeMap<&str, u64> = sightings
        .seen
        .iter()
        .map(|seen| {
            (
                seen.place.as_str(),
                seen.head_bytes - seen.place.len() as u64,
            )
        })
        .collect();
    let found = places.iter().filter_map(|place| at.get(place.as_str()));
    found.copied().collect()
}

/// The hops whose reply goes on: the last one has none, and so no URL to upload it to.
fn with_reply(heads: &[u64]) -> &[u64] {
    heads.split_last().map_or(heads, |(_, rest)| rest)
}

fn grown(heads: &[u64]) -> u64 {
    let most = heads.iter().copied().max().unwrap_or_default();
    most - heads.iter().copied().min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{grown, heads, with_reply};
    use crate::payloads::protocol::{Seen, Sightings};

    #[test]
    fn growth_is_seen_and_the_path_is_no_growth() {
        let seen = |place: &str, head_bytes| Seen {
            place: place.to_owned(),
            number: 1,
            took_nanos: 0,
            at_nanos: 0,
            head_bytes,
            by_reference: true,
        };
        let places = ["/pass/0".to_owned(), "/pass-end/1".to_owned()];
        let sightings = |last| Sightings {
            seen: vec![seen("/pass-end/1", last), seen("/pass/0", 107)],
            ..Sightings::default()
        };
        assert_eq!(heads(&sightings(111), &places), [100, 100]);
        assert_eq!(grown(&heads(&sightings(111), &places)), 0);
        assert_eq!(grown(&heads(&sightings(115), &places)), 4);
        assert_eq!(with_reply(&[100, 100, 90]), [100, 100]);
    }
}
