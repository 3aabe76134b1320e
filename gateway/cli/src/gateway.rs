//! `towpath gateway`: serves the channels of a folder of manifests.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use towpath_gateway::{Gateway, Source};

use crate::logging;
use crate::settings::SettingsArguments;

/// Serve the channels, subscriptions and Sequences of a folder of manifests.
///
/// Prints one line of JSON with its addresses once it listens. Changes of the folder take effect while it runs; a
/// change that is not valid is refused as a whole. SIGTERM and Ctrl-C end it in order.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of manifests: the YAML that you would give to kubectl. Kinds that Towpath does not know are skipped.
    #[arg(long, value_name = "DIR", env = "TOWPATH_MANIFESTS")]
    manifests: PathBuf,
    /// Where producers send events; port 0 takes a free one [setting listen, default 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Health, metrics and topology [setting admin, default 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Name of the node that this gateway runs on [setting node]
    #[arg(long)]
    node: Option<String>,
    /// Zone of that node [setting zone]
    #[arg(long)]
    zone: Option<String>,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        manifests,
        listen,
        admin,
        node,
        zone,
        settings,
    } = arguments;
    let settings = settings
        .with("listen", listen)
        .with("admin", admin)
        .with("node", node)
        .with("zone", zone)
        .load()?;
    logging::start(&settings.log)?;
    let mut terminate = signal(SignalKind::terminate())?;

    let gateway = Gateway::start(settings, Source::Folder(manifests)).await?;
    let (listening, admin) = (gateway.listening().to_string(), gateway.admin().to_string());
    let internal = gateway.internal().map(|address| address.to_string());
    tracing::info!(listening, admin, internal, "serving");
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}",
        serde_json::json!({ "listening": listening, "admin": admin, "internal": internal })
    )?;
    out.flush()?;
    drop(out);

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in flight"),
        result = tokio::signal::ctrl_c() => {
            result?;
            tracing::info!("interrupted: finishing what is in flight");
        }
    }
    gateway.shutdown().await?;
    Ok(ExitCode::SUCCESS)
}
