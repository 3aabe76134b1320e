//! `towpath check`: validates manifests and settings, and says what would run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use towpath_config::{Problems, load};
use towpath_gateway::read_folder;

use crate::output::show;
use crate::settings::SettingsArguments;

/// Validate a folder of manifests and the settings: every problem, with file, line and field.
///
/// Exits with 0 and a list of what would run, and of what is skipped, or with 1 and all problems.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of manifests.
    manifests: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let settings = arguments.settings.load()?;
    let files = read_folder(&arguments.manifests)?;
    match load(&files, &settings.compile_options()) {
        Ok(compiled) => {
            show(format_args!("{}", compiled.report))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(Problems(problems)) => {
            for problem in &problems {
                show(format_args!("{problem}\n"))?;
            }
            let plural = if problems.len() == 1 { "" } else { "s" };
            eprintln!(
                "towpath: {} problem{plural} in {} files",
                problems.len(),
                files.len()
            );
            Ok(ExitCode::FAILURE)
        }
    }
}
