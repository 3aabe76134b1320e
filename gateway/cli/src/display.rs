//! `towpath display`: shows the events that arrive.

use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::Args;
use towpath_event::http::{Mode, mode, read_binary, read_structured};
use towpath_event::{Event, Payload};

use crate::output;

/// Show the CloudEvents that arrive: a subscriber for trying things out.
///
/// Answers 202 to every event, without a reply.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Show at most this many bytes of data.
    #[arg(long, default_value_t = 1024)]
    show: usize,
    /// Largest event, in bytes.
    #[arg(long, default_value_t = 64 * 1024 * 1024)]
    max_bytes: usize,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        listen,
        show,
        max_bytes,
    } = arguments;
    let handler =
        move |headers: HeaderMap, body: Bytes| async move { answer(&headers, body, show) };
    let routes = Router::new()
        .fallback(post(handler))
        .layer(DefaultBodyLimit::max(max_bytes));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    output::show(format_args!(
        "listening on http://{}\n",
        listener.local_addr()?
    ))?;
    axum::serve(listener, routes)
        .with_graceful_shutdown(interrupted())
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn interrupted() {
    // Without signals there is nothing to wait for.
    let _ = tokio::signal::ctrl_c().await;
}

fn answer(headers: &HeaderMap, body: Bytes, show: usize) -> (StatusCode, String) {
    let event = match mode(headers) {
        Mode::Binary => {
            read_binary(headers).map(|attributes| Event::new(attributes, Payload::from(body)))
        }
        Mode::Structured => read_structured(&body),
        Mode::Batch | Mode::NotAnEvent => {
            return (StatusCode::BAD_REQUEST, "not a single CloudEvent\n".into());
        }
    };
    match event {
        Ok(event) => {
            if let Err(error) = output::show(format_args!("{}\n", render(&event, show))) {
                tracing::debug!(%error, "nobody reads the output");
            }
            (StatusCode::ACCEPTED, String::new())
        }
        Err(invalid) => (StatusCode::BAD_REQUEST, format!("{invalid}\n")),
    }
}

fn render(event: &Event, show: usize) -> String {
    let mut lines = vec![String::from("event")];
    lines.extend(
        event
            .attributes
            .iter()
            .map(|(name, value)| format!("  {name}: {value}")),
    );
    let data = event.payload.to_bytes().unwrap_or_default();
    let shown = String::from_utf8_lossy(&data[..data.len().min(show)]).into_owned();
    lines.push(format!(
        "  data, {} bytes: {shown}{}",
        data.len(),
        if data.len() > show { " ..." } else { "" }
    ));
    lines.join("\n")
}
