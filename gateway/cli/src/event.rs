//! An event made from the command line, for `send` and `explain`.

use anyhow::Context;
use clap::Args;
use towpath_event::{Attributes, SpecVersion, Value};
use uuid::Uuid;

/// Attributes of an event.
#[derive(Debug, Args)]
pub(crate) struct EventArguments {
    /// Attribute type.
    #[arg(long = "type", default_value = "dev.towpath.sent")]
    ty: String,
    /// Attribute source.
    #[arg(long, default_value = "/towpath/send")]
    source: String,
    /// Attribute id; a random one for each event when left out.
    #[arg(long)]
    id: Option<String>,
    /// Any other attribute. May be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
}

impl EventArguments {
    /// The attributes, checked as a channel would check them.
    pub(crate) fn attributes(&self) -> anyhow::Result<Attributes> {
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| Uuid::new_v4().to_string());
        let mut attributes = Attributes::new(SpecVersion::V10, id, &*self.source, &*self.ty)?;
        for pair in &self.attributes {
            let (name, value) = pair
                .split_once('=')
                .with_context(|| format!("--attribute {pair}: expected NAME=VALUE"))?;
            attributes.set(name, Value::from(value))?;
        }
        Ok(attributes)
    }
}
