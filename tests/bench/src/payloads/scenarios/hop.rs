//! The 2 MB hop, inline, of an unmodified 5-step Sequence, against a plain POST from step to step.

use super::Load;
use crate::payloads::gateway::Setup;
use crate::payloads::report::{Bar, Line};
use crate::round::{self, Cell};
use crate::systems::System;
use anyhow::{Context, Result};
use std::time::Duration;

const SIZE: usize = 2 << 20;

pub(super) async fn run(setup: &Setup, load: &Load) -> Result<Vec<Line>> {
    let cell = Cell {
        size: SIZE,
        workflows: 1,
    };
    let seconds = Duration::from_secs_f64(load.hop_seconds);
    let systems = [System::Direct, System::Towpath];
    let mut deployments = Vec::new();
    for system in systems {
        deployments.push((system, system.start(&setup.gateway).await?));
    }
    let (mut ratios, mut hops) = (Vec::new(), Vec::new());
    for number in 0..load.rounds {
        let mut nanos = Vec::new();
        for (system, deployment) in &deployments {
            let measured = round::run(*system, deployment, cell, number, seconds).await?;
            nanos.push(measured.hop_p50_nanos);
        }
        let (direct, towpath) = nanos.first().zip(nanos.last()).context("no round")?;
        ratios.push(*towpath as f64 / *direct as f64);
        hops.push(super::nanos_in(*towpath, 1e3));
    }
    Ok(vec![
        Line::new("2 MB hop inline, p50, x direct", "", ratios).bar(Bar::MedianAtMost(1.6)),
        Line::new("2 MB hop inline, p50", "ms", hops),
    ])
}
