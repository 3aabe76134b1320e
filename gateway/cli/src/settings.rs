//! Settings of the gateway: flags beat the environment, the environment beats the file.

use std::env;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use towpath_config::settings::Settings;

/// Settings that several commands take.
#[derive(Debug, Default, Args)]
pub(crate) struct SettingsArguments {
    /// Settings file (YAML). Every key is documented in config/model/README.md; unknown keys are refused.
    #[arg(long, value_name = "FILE", env = "TOWPATH_CONFIG")]
    config: Option<PathBuf>,
    /// One setting, as in `--set limits.maxEventBytes=16Mi`; beats the file and the environment. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SettingsArguments {
    /// Adds `--set key=value` when `value` is given, before those that the user wrote out.
    pub(crate) fn with<T: ToString>(mut self, key: &str, value: Option<T>) -> Self {
        if let Some(value) = value {
            self.set.insert(0, format!("{key}={}", value.to_string()));
        }
        self
    }

    /// The settings in force.
    pub(crate) fn load(&self) -> anyhow::Result<Settings> {
        let mut settings = match &self.config {
            None => Settings::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let parsed = Settings::parse(&text);
                parsed.map_err(|problems| problems.in_file(&path.display().to_string()))?
            }
        };
        for key in towpath_config::settings::keys() {
            let variable = key.variable();
            match env::var(&variable) {
                Ok(value) => settings
                    .apply(key.name, &value)
                    .with_context(|| format!("variable {variable}"))?,
                Err(env::VarError::NotPresent) => {}
                Err(error) => return Err(error).with_context(|| format!("variable {variable}")),
            }
        }
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("--set {pair}: expected KEY=VALUE"))?;
            settings
                .apply(key, value)
                .with_context(|| format!("--set {pair}"))?;
        }
        settings.validate()?;
        Ok(settings)
    }
}
