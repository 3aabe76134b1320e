//! `towpath explain`: which subscriptions would match an event, why, and where it would go.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use towpath_config::{load, quantity};
use towpath_gateway::{explain, read_folder};

use crate::event::EventArguments;
use crate::output::show;
use crate::settings::SettingsArguments;

/// Explain what would become of an event: which subscriptions match and why, where it would go. Sends nothing.
///
/// Example:
///   towpath explain config/samples/broker /demo/orders --type order.created --attribute region=eu
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Folder of manifests.
    manifests: PathBuf,
    /// Where the event would be sent: the URL of a channel or broker, or a path such as /demo/orders.
    address: http::Uri,
    #[command(flatten)]
    event: EventArguments,
    /// Bytes of its data: 65536, 64Ki, 2Mi. A bulky event may be shown by reference, and goes where its data is.
    #[arg(long, value_name = "BYTES", default_value = "0")]
    size: String,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let settings = arguments.settings.load()?;
    let compiled = load(
        &read_folder(&arguments.manifests)?,
        &settings.compile_options(),
    )?;
    let size = quantity::parse(&arguments.size).context("--size")?;
    show(format_args!(
        "{}",
        explain(
            &compiled,
            &settings,
            &arguments.address,
            &arguments.event.attributes()?,
            size
        )?
    ))?;
    Ok(ExitCode::SUCCESS)
}
