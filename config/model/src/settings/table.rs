//! Every key of the settings, in one table: its text in a file, its field, and its documentation. Reading, `--set`,
//! environment variables and the README all go through it. The rows themselves are in files by group.

mod gateway;
mod running;
mod stores;

use std::sync::LazyLock;

use super::Settings;

/// One setting.
#[derive(Clone, Copy)]
pub struct Key {
    /// Dotted name, as `limits.maxEventBytes`.
    pub name: &'static str,
    /// Unit or form of its value.
    pub form: &'static str,
    /// What it sets, and why the default is what it is.
    pub doc: &'static str,
    pub(super) set: fn(&mut Settings, &str) -> Result<(), String>,
    pub(super) show: fn(&Settings) -> String,
}

impl Key {
    /// Name of the environment variable that sets it: `TOWPATH_LIMITS_MAXEVENTBYTES`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "TOWPATH_{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// Its value as text; empty if it is not set.
    #[must_use]
    pub fn value(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }
}

/// Every key, in the order of the README. `addresses` is a map: it is set by `addresses.<key>`.
#[must_use]
pub fn keys() -> &'static [Key] {
    &KEYS
}

const SIZE: &str = "size";
const TIME: &str = "duration";
const COUNT: &str = "count";
const FLAG: &str = "true or false";

/// A key with a value; with `unset`, one that may be absent, and the word that says so.
macro_rules! key {
    ($name:literal, $form:expr, $($field:ident).+, $doc:literal) => {
        Key {
            name: $name,
            form: $form,
            doc: $doc,
            set: |settings, text| {
                settings.$($field).+ = Value::read(text)?;
                Ok(())
            },
            show: |settings| settings.$($field).+.show(),
        }
    };
    ($name:literal, $form:expr, $($field:ident).+, unset $word:literal, $doc:literal) => {
        Key {
            name: $name,
            form: $form,
            doc: $doc,
            set: |settings, text| {
                settings.$($field).+ = if text == $word { None } else { Some(Value::read(text)?) };
                Ok(())
            },
            show: |settings| settings.$($field).+.as_ref().map_or($word.to_owned(), Value::show),
        }
    };
}
use key;

static KEYS: LazyLock<Vec<Key>> =
    LazyLock::new(|| [gateway::KEYS, stores::KEYS, running::KEYS].concat());

/// The table of the README: every key with form, default, and documentation.
#[must_use]
pub fn docs() -> String {
    let defaults = Settings::default();
    let mut table = String::from("| key | form | default | what and why |\n|---|---|---|---|\n");
    for key in keys() {
        let default = key.value(&defaults);
        let default = if default.is_empty() {
            "not set".to_owned()
        } else {
            format!("`{default}`")
        };
        table.push_str(&format!(
            "| `{}` | {} | {default} | {} |\n",
            key.name, key.form, key.doc
        ));
    }
    table
}
