//! `towpath send`: posts events, from a file or made up.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::time::Instant;
use towpath_config::quantity;
use towpath_event::{Attributes, Event, Payload, Value};
use towpath_gateway::{Client, Mode};

use crate::event::EventArguments;
use crate::output::show;

/// Send a CloudEvent, from the command line, a file or made up, and show the answer.
///
/// Exits with 0 if every event was accepted (2xx).
///
/// Examples:
///   towpath send http://127.0.0.1:8080/channels/demo/pipeline-kn-sequence-0 --data '{"hello":"world"}'
///   towpath send http://127.0.0.1:8080/channels/demo/mine --size 2Mi --count 10
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Where to: the address of a channel.
    url: http::Uri,
    #[command(flatten)]
    event: EventArguments,
    /// Media type of the data [default: application/json with --data, else application/octet-stream]
    #[arg(long)]
    content_type: Option<String>,
    /// The data, as text.
    #[arg(long, group = "body")]
    data: Option<String>,
    /// A file with the data.
    #[arg(long, value_name = "FILE", group = "body")]
    file: Option<PathBuf>,
    /// Made-up data of this many bytes: 65536, 64Ki, 2Mi.
    #[arg(long, value_name = "BYTES", group = "body")]
    size: Option<String>,
    /// Send the whole event as JSON instead of attributes as headers.
    #[arg(long)]
    structured: bool,
    /// How many events, one after another.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Seconds to wait for each answer.
    #[arg(long, default_value_t = 900)]
    timeout: u64,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if !matches!(arguments.url.scheme_str(), Some("http" | "https")) {
        bail!(
            "{} is no address of a channel: it must begin with http:// or https://",
            arguments.url
        );
    }
    let payload = payload(&arguments)?;
    let client = Client::new(
        arguments.url.clone(),
        Duration::from_secs(arguments.timeout),
    );
    let mode = if arguments.structured {
        Mode::Structured
    } else {
        Mode::Binary
    };
    let mut refused = 0;
    for _ in 0..arguments.count {
        let event = Event::new(attributes(&arguments)?, payload.clone());
        let started = Instant::now();
        let answer = client.send(&event, mode).await?;
        let took = started.elapsed().as_secs_f64() * 1e3;
        show(format_args!(
            "{} {} in {took:.2} ms\n",
            event.attributes.id(),
            answer.status
        ))?;
        if !answer.status.is_success() {
            refused += 1;
            show(format_args!("{}", String::from_utf8_lossy(&answer.body)))?;
        }
    }
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn payload(arguments: &Arguments) -> anyhow::Result<Payload> {
    let bytes = match (&arguments.data, &arguments.file, &arguments.size) {
        (Some(text), _, _) => text.clone().into_bytes(),
        (_, Some(path), _) => {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        (_, _, Some(size)) => {
            let size =
                quantity::parse(size).map_err(|error| anyhow::anyhow!("--size {size}: {error}"))?;
            vec![b'.'; usize::try_from(size)?]
        }
        (None, None, None) => Vec::new(),
    };
    Ok(Payload::from(bytes))
}

fn attributes(arguments: &Arguments) -> anyhow::Result<Attributes> {
    let mut attributes = arguments.event.attributes()?;
    let assumed = if arguments.data.is_some() {
        "application/json"
    } else {
        "application/octet-stream"
    };
    let has_data = arguments.data.is_some() || arguments.file.is_some() || arguments.size.is_some();
    let content_type = arguments
        .content_type
        .as_deref()
        .or(has_data.then_some(assumed));
    if let Some(content_type) = content_type {
        attributes.set("datacontenttype", Value::from(content_type))?;
    }
    Ok(attributes)
}
