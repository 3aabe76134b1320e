//! Hops by file of a 5-step Sequence, until the next step has opened it, against the 1 KB hop of the same Sequence.

use super::Load;
use crate::control::STEPS;
use crate::histogram::Times;
use crate::payloads::gateway::{Gateway, Setup};
use crate::payloads::manifests::{first_of, sequence, url};
use crate::payloads::pattern::Pattern;
use crate::payloads::producer::Post;
use crate::payloads::protocol::{Expect, Sightings, left_file};
use crate::payloads::report::Line;
use crate::payloads::workers::{Workers, judge_once};
use crate::report::median;
use anyhow::{Result, bail};
use std::fs::File;
use std::io::Write;

/// The event that files are held against; it stays inline.
const SMALL: u64 = 1024;
/// A hop by file may take so much longer than that: in proportion, or in microseconds.
const RATIO: f64 = 1.25;
const MICROS: f64 = 50.0;
/// One file in so many is compared whole.
const WHOLE_EVERY: u64 = 8;

pub(super) async fn run(setup: &Setup, load: &Load) -> Result<Vec<Line>> {
    let workers = Workers::start()?;
    let places: Vec<String> = (0..STEPS).map(place).collect();
    let steps = places
        .iter()
        .enumerate()
        .map(|(step, place)| url(workers.of(step).address, place));
    let steps: Vec<String> = steps.collect();
    let gateway = Gateway::start(setup, &sequence("files", Some("File"), &steps, None))?;
    let bench = Bench {
        workers,
        gateway,
        places,
        pattern: Pattern::new(),
    };
    let mut sizes = vec![(SMALL, load.small_events)];
    sizes.extend(&load.files);
    for &(size, events) in &sizes {
        bench.round(size, events.div_ceil(10)).await?;
    }
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); sizes.len()];
    for _ in 0..load.rounds {
        for (&(size, events), micros) in sizes.iter().zip(&mut rounds) {
            micros.push(bench.round(size, events).await?);
        }
    }
    Ok(lines(&sizes, &rounds))
}

fn place(step: usize) -> String {
    let kind = if step + 1 == STEPS {
        "file-end"
    } else {
        "file"
    };
    format!("/{kind}/{step}")
}

struct Bench {
    workers: Workers,
    gateway: Gateway,
    places: Vec<String>,
    pattern: Pattern,
}

impl Bench {
    /// p50 of the hops of so many events one after the other, in microseconds.
    async fn round(&self, size: u64, events: u64) -> Result<f64> {
        let expect = Expect {
            size,
            out: Some(self.gateway.out()),
            whole_every: WHOLE_EVERY,
            ..Expect::default()
        };
        self.workers.expect(&expect).await?;
        if size != SMALL {
            self.leave_files(size, events)?;
        }
        let channel = first_of("files");
        for number in 0..events {
            let post = Post {
                number,
                size,
                bytes_per_second: None,
            };
            let sent = self.gateway.send(&channel, &self.pattern, &post).await;
            self.workers.explain(sent).await?;
        }
        let seen = self.workers.seen().await?;
        judge_once(&seen, &self.places, &(0..events))?;
        hop(&seen, size != SMALL, &place(0))
    }
}

impl Bench {
    /// The files that the steps will reply with. They are made, and written to disk, before the round: a step that has
    /// just written 64 MB measures its cold caches and the disk, not the hop.
    fn leave_files(&self, size: u64, events: u64) -> Result<()> {
        for number in 0..events {
            for place in self.places.iter().take(STEPS - 1) {
                let path = left_file(&self.gateway.out(), number, place);
                let mut file = File::create(&path)?;
                let mut at = 0;
                while at < size {
                    let piece = self.pattern.piece(number, at, size - at);
                    file.write_all(&piece)?;
                    at += piece.len() as u64;
                }
                file.sync_all()?;
            }
        }
        Ok(())
    }
}

/// p50 in microseconds over all hops but the one to the first step, whose start lies outside the workflow.
fn hop(sightings: &Sightings, by_file: bool, first: &str) -> Result<f64> {
    let mut times = Times::new()?;
    for seen in &sightings.seen {
        if seen.by_reference != by_file {
            let how = if by_file { "whole" } else { "by reference" };
            bail!("event {} came {how} at {}", seen.number, seen.place);
        }
        if seen.place != first {
            times.record(seen.took_nanos);
        }
    }
    Ok(super::nanos_in(times.quantile(0.5), 1e6))
}

fn lines(sizes: &[(u64, u64)], rounds: &[Vec<f64>]) -> Vec<Line> {
    let Some((small, files)) = rounds.split_first() else {
        return Vec::new();
    };
    let mut lines = vec![Line::new("1 KB hop beside it, p50", "us", small.clone())];
    let names = sizes
        .iter()
        .skip(1)
        .map(|(size, _)| super::size_name(*size));
    for (name, micros) in names.zip(files) {
        let pairs = || micros.iter().zip(small);
        let ratios: Vec<f64> = pairs().map(|(file, small)| file / small).collect();
        let more: Vec<f64> = pairs().map(|(file, small)| file - small).collect();
        let holds = median(ratios.clone()) <= RATIO || median(more.clone()) <= MICROS;
        let note = format!(
            "p50 {} us; {} us more",
            crate::report::spread(micros.clone()),
            crate::report::spread(more)
        );
        let mut line =
            Line::new(format!("File hop of {name}, p50, x 1 KB hop"), "", ratios).note(note);
        line.bar = format!("at most {RATIO}, or {MICROS} us more");
        line.holds = Some(holds);
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{hop, lines};
    use crate::payloads::protocol::{Seen, Sightings};

    #[test]
    fn a_file_hop_holds_by_ratio_or_by_microseconds() {
        let sizes = [(1024, 1), (2 << 20, 1)];
        let holds = |small: f64, file: f64| {
            let lines = lines(&sizes, &[vec![small], vec![file]]);
            lines.get(1).and_then(|line| line.holds)
        };
        assert_eq!(holds(80.0, 129.0), Some(true));
        assert_eq!(holds(80.0, 131.0), Some(false));
        assert_eq!(holds(400.0, 499.0), Some(true));
        assert_eq!(holds(400.0, 501.0), Some(false));
    }

    #[test]
    fn what_came_in_another_way_than_it_should_voids_the_round() {
        let seen = |place: &str, took_nanos, by_reference| Seen {
            place: place.to_owned(),
            number: 1,
            took_nanos,
            at_nanos: 0,
            head_bytes: 0,
            by_reference,
        };
        let sightings = Sightings {
            seen: vec![seen("/file/0", 1_000, true), seen("/file/1", 100_000, true)],
            ..Sightings::default()
        };
        let micros = hop(&sightings, true, "/file/0").unwrap();
        assert!((99.0..101.0).contains(&micros), "{micros}");
        assert!(hop(&sightings, false, "/file/0").is_err());
    }
}
