//! The scenarios, in the order in which they run. A new one is a file, a name and an arm here.

mod chain;
mod cut_through;
mod fan_out;
mod file;
mod hop;
mod producers;
mod workflows;

use super::gateway::Setup;
use super::report::Line;
use anyhow::Result;
use clap::ValueEnum;
use towpath_harness::memory::Peak;

/// Peak memory that all scenarios are held against, MiB.
const MEMORY_MIB: f64 = 192.0;

/// One scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// 2 MB hop, inline, against a plain POST.
    Hop,
    /// Hops by file against the 1 KB hop.
    File,
    /// A Sequence whose senders are paced, against one hop.
    CutThrough,
    /// One event to many subscribers.
    FanOut,
    /// Many workflows at once.
    Workflows,
    /// Many producers at once, half of them slow.
    Producers,
    /// A long chain by reference.
    Chain,
}

impl Scenario {
    /// The name on the command line and in results.
    pub(in crate::payloads) fn name(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::File => "file",
            Self::CutThrough => "cut-through",
            Self::FanOut => "fan-out",
            Self::Workflows => "workflows",
            Self::Producers => "producers",
            Self::Chain => "chain",
        }
    }

    /// Runs it; each with gateways of its own.
    ///
    /// # Errors
    /// Anything that voids a round.
    pub(in crate::payloads) async fn run(self, setup: &Setup, load: &Load) -> Result<Vec<Line>> {
        match self {
            Self::Hop => hop::run(setup, load).await,
            Self::File => file::run(setup, load).await,
            Self::CutThrough => cut_through::run(setup, load).await,
            Self::FanOut => fan_out::run(setup, load).await,
            Self::Workflows => workflows::run(setup, load).await,
            Self::Producers => producers::run(setup, load).await,
            Self::Chain => chain::run(setup, load).await,
        }
    }
}

/// How much of each scenario. Sizes in bytes.
#[derive(Debug, Clone)]
pub(in crate::payloads) struct Load {
    /// Rounds of the scenarios that time hops.
    pub(in crate::payloads) rounds: u32,
    /// Rounds of those that measure memory, each with a fresh gateway.
    pub(in crate::payloads) memory_rounds: u32,
    /// Seconds of a round of the inline hop.
    pub(in crate::payloads) hop_seconds: f64,
    /// Files: the size and how many events of each round.
    pub(in crate::payloads) files: Vec<(u64, u64)>,
    /// Events with 1 KB of each round that files are held against.
    pub(in crate::payloads) small_events: u64,
    /// Size of the event of paced senders.
    pub(in crate::payloads) paced_size: u64,
    /// Subscriptions and size of the fan-out.
    pub(in crate::payloads) fan_out: (u32, u64),
    /// Workflows at once.
    pub(in crate::payloads) workflows: u32,
    /// Their sizes, and how many events each workflow sends.
    pub(in crate::payloads) workflow_events: Vec<(u64, u64)>,
    /// Producers at once; every other one is slow.
    pub(in crate::payloads) producers: u64,
    /// Size of their events.
    pub(in crate::payloads) producers_size: u64,
    /// Pace of the slow ones, bytes a second.
    pub(in crate::payloads) slow_bytes_per_second: u64,
    /// Producers of which so many are to be accepted at once.
    pub(in crate::payloads) accepted_at_least: f64,
    /// Hops of the chain.
    pub(in crate::payloads) hops: u32,
}

impl Load {
    /// The loads that the bars are for.
    pub(in crate::payloads) fn full(rounds: u32, memory_rounds: u32) -> Self {
        Self {
            rounds,
            memory_rounds,
            hop_seconds: 3.0,
            files: vec![(2 << 20, 100), (64 << 20, 8), (1 << 30, 1)],
            small_events: 500,
            paced_size: 64 << 20,
            fan_out: (50, 64 << 20),
            workflows: 32,
            workflow_events: vec![(2 << 20, 16), (64 << 20, 2)],
            producers: 200,
            producers_size: 64 << 20,
            slow_bytes_per_second: 1 << 20,
            accepted_at_least: 32.0,
            hops: 200,
        }
    }

    /// The producers' scenario in seconds instead of minutes.
    pub(in crate::payloads) fn with_fewer_producers(self) -> Self {
        Self {
            producers: 20,
            producers_size: 16 << 20,
            slow_bytes_per_second: 8 << 20,
            accepted_at_least: 0.0,
            ..self
        }
    }

    /// That everything runs, also in a debug build.
    pub(in crate::payloads) fn smoke() -> Self {
        Self {
            rounds: 1,
            memory_rounds: 1,
            hop_seconds: 0.3,
            files: vec![(2 << 20, 3)],
            small_events: 20,
            paced_size: 4 << 20,
            fan_out: (5, 4 << 20),
            workflows: 4,
            workflow_events: vec![(2 << 20, 2)],
            producers: 8,
            producers_size: 4 << 20,
            slow_bytes_per_second: 8 << 20,
            accepted_at_least: 0.0,
            hops: 20,
        }
    }
}

/// Times in a unit that 1e9 nanoseconds have so many of.
fn nanos_in(nanos: u64, per_second: f64) -> f64 {
    nanos as f64 / 1e9 * per_second
}

fn peaks(what: String, peaks: &[Peak], counts_dirty_pages: bool) -> Line {
    super::report::peaks(what, peaks, counts_dirty_pages)
        .bar(super::report::Bar::AtMost(MEMORY_MIB))
}

/// A size in the words of tables.
fn size_name(bytes: u64) -> String {
    crate::report::size_name(usize::try_from(bytes).unwrap_or(usize::MAX))
}
