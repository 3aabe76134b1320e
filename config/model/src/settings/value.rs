//! Values of settings as text: how they are read and shown.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::{LogFormat, NodeDirectory};
use crate::topology::Presentation;
use crate::{period, quantity};

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// Reads it; the error says what is expected.
    fn read(text: &str) -> Result<Self, String>;
    /// The text that reads as the same value.
    fn show(&self) -> String;
}

/// A size in bytes.
impl Value for u64 {
    fn read(text: &str) -> Result<Self, String> {
        quantity::parse(text).map_err(|error| error.to_string())
    }

    fn show(&self) -> String {
        quantity::show(*self)
    }
}

/// A count.
impl Value for usize {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("`{text}` is not a count; write a whole number of at least 0"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A small count.
impl Value for u8 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("`{text}` is not a whole number from 0 to {}", Self::MAX))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("`{text}` is not one of: true, false"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!(
                "`{text}` is not an address; write IP and port, as `127.0.0.1:8080` or `[::1]:8080`"
            )
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty; write the path of a file".to_owned());
        }
        Ok(Self::from(text))
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for NodeDirectory {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            path if Path::new(path).is_absolute() => Ok(Self::Path(path.into())),
            _ => Err(format!(
                "`{text}` is not an absolute path; write it as `/var/lib/towpath`, or one of: auto, none"
            )),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::None => "none".to_owned(),
            Self::Path(path) => path.show(),
        }
    }
}

/// A URL; which schemes it may have is a rule of its key.
impl Value for Url {
    fn read(text: &str) -> Result<Self, String> {
        // What stands before an `@` may be a password, and errors end up in logs.
        let shown = match text.rsplit_once('@') {
            Some((_, after)) => format!("...@{after}"),
            None => text.to_owned(),
        };
        let url = Self::parse(text).map_err(|error| format!("`{shown}` is not a URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "`{shown}` holds a user or password; leave them out, since settings are shown"
            ));
        }
        Ok(url)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Presentation {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: crate::topology::UnknownPresentation| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is not one of: text, json")),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Json => "json".to_owned(),
        }
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        if text.starts_with('P') {
            return period::parse(text).map_err(|error| error.to_string());
        }
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let wrong = || {
            format!("`{text}` is not a duration; write it as `30s`, `1m30s`, `250ms` or `PT30S`")
        };
        let duration = jiff::fmt::friendly::SpanParser::new()
            .parse_duration(text)
            .map_err(|_| wrong())?;
        Self::try_from(duration)
            .map_err(|_| format!("`{text}` is negative; a duration is at least 0s"))
    }

    fn show(&self) -> String {
        period::show(*self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("30s", Duration::from_secs(30)),
            ("1m30s", Duration::from_secs(90)),
            ("1m 30s", Duration::from_secs(90)),
            ("250ms", Duration::from_millis(250)),
            ("1.5s", Duration::from_millis(1500)),
            ("2h", Duration::from_secs(7200)),
            ("PT30S", Duration::from_secs(30)),
            ("P1D", Duration::from_secs(86_400)),
            ("0s", Duration::ZERO),
            ("0", Duration::ZERO),
        ];
        for (text, duration) in cases {
            assert_eq!(Duration::read(text), Ok(duration), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1 fortnight", "30 s ago", "pt1s"] {
            assert!(Duration::read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn shown_durations_are_read_back(seconds in 0_u64..1_000_000_000, nanos in 0_u32..1_000_000_000) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(Duration::read(&duration.show()), Ok(duration), "{}", duration.show());
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (Duration::read(&text), u64::read(&text), SocketAddr::read(&text));
            let _ = (NodeDirectory::read(&text), Url::read(&text), PathBuf::read(&text));
        }

        #[test]
        fn shown_urls_are_read_back(scheme in "(http|https|nats|tls|s3|file):/{0,3}", rest in "\\PC*") {
            if let Ok(url) = Url::read(&format!("{scheme}{rest}")) {
                prop_assert_eq!(Url::read(&url.show()), Ok(url));
            }
        }
    }
}
