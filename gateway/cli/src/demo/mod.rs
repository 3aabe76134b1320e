//! `towpath demo`: a Sequence with three built-in steps, run in this process; shows each hop.

mod steps;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;
use towpath_config::SourceFile;
use towpath_config::settings::{Log, LogFormat, Settings};
use towpath_event::{Attributes, Event, Payload, SpecVersion, Value};
use towpath_gateway::{Client, Gateway, Mode, Source};

use crate::logging;
use crate::output::show;
use steps::{Arrival, Steps};

/// The manifests that the demo runs, unchanged; only where the Services' endpoints are is added.
const SEQUENCE: &str = include_str!("../../../../config/samples/sequence/sequence.yaml");
/// The address of the Sequence: its first channel (CONTRACT A10.1).
const ENTRY: &str = "/channels/demo/pipeline-kn-sequence-0";
/// The Services of the sample, in the order in which an event meets them.
const SERVICES: [&str; 4] = ["first", "second", "third", "display"];
const SIZES: [(usize, &str); 3] = [
    (1024, "1 KB"),
    (64 * 1024, "64 KB"),
    (2 * 1024 * 1024, "2 MB"),
];
/// An event is sent so often before the one that is shown, so that connections and caches are warm, as in a
/// system that runs.
const WARM_UP: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// Run a Sequence of three steps in this process, send events of several sizes, and show each hop.
///
/// Stays up until Ctrl-C, so that you can send events of your own.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Exit after the table.
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    logging::start(&Log {
        format: LogFormat::Text,
        filter: "warn".into(),
    })?;
    let steps = Steps::start(&SERVICES).await?;
    let manifests = vec![
        SourceFile {
            name: "config/samples/sequence/sequence.yaml".into(),
            text: SEQUENCE.into(),
        },
        SourceFile {
            name: "endpoints of the built-in steps".into(),
            text: steps.endpoint_slices(),
        },
    ];
    let any = || ([127, 0, 0, 1], 0).into();
    let settings = Settings {
        listen: any(),
        admin: any(),
        ..Settings::default()
    };
    let gateway = Gateway::start(settings, Source::Given(manifests)).await?;
    let entry = format!("http://{}{ENTRY}", gateway.listening());

    show(format_args!(
        "A Knative Sequence (config/samples/sequence) with the steps first, second and third; its reply goes to display.\n"
    ))?;
    show(format_args!(
        "Each step is an HTTP server of its own in this process and knows nothing of Towpath.\n\n"
    ))?;
    show(format_args!(
        "{:<8} {:<18} {:>10}  status\n",
        "size", "hop", "time"
    ))?;
    let client = Client::new(entry.parse()?, PATIENCE);
    for (size, label) in SIZES {
        hops(&client, &steps, size, label).await?;
    }
    show(format_args!(
        "\nA hop is timed from when its sender begins to send until its receiver has the whole event.\n"
    ))?;
    if !arguments.once {
        show(format_args!("\nSend your own (Ctrl-C ends the demo):\n"))?;
        show(format_args!(
            "  curl -i {entry} -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /me' -H 'ce-type: hello' -d hi\n"
        ))?;
        show(format_args!("  curl http://{}/metrics\n", gateway.admin()))?;
        tokio::signal::ctrl_c().await?;
    }
    gateway.shutdown().await?;
    Ok(ExitCode::SUCCESS)
}

async fn hops(client: &Client, steps: &Arc<Steps>, size: usize, label: &str) -> anyhow::Result<()> {
    let payload = Payload::from(vec![b'.'; size]);
    let mut last = None;
    for i in 0..=WARM_UP {
        let id = format!("{size}-{i}");
        let mut attributes =
            Attributes::new(SpecVersion::V10, &*id, "/towpath/demo", "dev.towpath.demo")?;
        attributes.set("datacontenttype", Value::from("text/plain"))?;
        let sent = Instant::now();
        let answer = client
            .send(&Event::new(attributes, payload.clone()), Mode::Binary)
            .await?;
        anyhow::ensure!(
            answer.status.is_success(),
            "event {id} was refused with {}",
            answer.status
        );
        last = Some((id, sent, answer.status));
    }
    let Some((id, sent, accepted)) = last else {
        return Ok(());
    };
    let arrivals = steps.arrivals(&id);
    anyhow::ensure!(
        arrivals.len() == SERVICES.len(),
        "event {id} reached {} of {} steps",
        arrivals.len(),
        SERVICES.len()
    );
    let mut from = ("you", sent);
    for Arrival {
        step,
        complete,
        replied,
        status,
    } in arrivals
    {
        anyhow::ensure!(status.is_success(), "{step} answered {status}");
        let took = complete.saturating_duration_since(from.1).as_secs_f64() * 1e3;
        show(format_args!(
            "{label:<8} {:<18} {took:>7.2} ms  {status}\n",
            format!("{} -> {step}", from.0)
        ))?;
        from = (step, replied);
    }
    let total = sent.elapsed().as_secs_f64() * 1e3;
    show(format_args!(
        "{label:<8} {:<18} {total:>7.2} ms  {accepted}\n\n",
        "all, settled"
    ))?;
    Ok(())
}
