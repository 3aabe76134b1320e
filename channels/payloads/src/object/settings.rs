//! What an object store needs to know.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::OpenError;

/// Most parts of one upload that S3 takes.
pub(super) const MOST_PARTS: usize = 10_000;
/// Least bytes of a part that is not the last, as S3 has it.
const LEAST_PART: usize = 5 << 20;

/// The settings of an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// Its name in claim checks: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// `s3://bucket` or `s3://bucket/prefix`.
    pub url: String,
    /// Where it answers; `None` is Amazon's endpoint for the region.
    pub endpoint: Option<String>,
    /// Region; `None` is that of the environment, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the name of the host.
    pub path_style: bool,
    /// Whether the endpoint may be plain http.
    pub allow_http: bool,
    /// PEM file of certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Who asks.
    pub credentials: S3Credentials,
    /// Bytes of one part of an upload, 5 MiB or more; a payload that is not longer is stored by one request.
    pub part_bytes: usize,
    /// Parts of one upload on their way at once, 1 or more. One upload holds up to `part_bytes * (parts_in_flight + 1)`
    /// bytes of memory.
    pub parts_in_flight: usize,
    /// After how long without any progress a request is given up, and how long after its beginning one that failed
    /// may still be tried again. Some seconds: longer than a pause of the server, shorter than a delivery timeout.
    pub patience: Duration,
    /// Whether payloads get a digest.
    pub digest: bool,
    /// Directory for the journal of uploads, which must outlive this process; without one, what a crash leaves of
    /// uploads is left to the bucket's own rules.
    pub journal: Option<PathBuf>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum S3Credentials {
    /// Whoever the standard chain finds: environment (`AWS_ACCESS_KEY_ID` and the like), web identity, container,
    /// instance.
    Chain,
    /// The holder of this key.
    Key {
        /// Its id.
        id: String,
        /// Its secret.
        secret: String,
    },
}

/// No secrets in logs.
impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("Chain"),
            Self::Key { id, .. } => write!(f, "Key({id})"),
        }
    }
}

/// A bucket, and what keys in it begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bucket<'a> {
    pub(super) name: &'a str,
    /// Without a slash at either end; may be empty.
    pub(super) prefix: &'a str,
}

impl S3Settings {
    /// Checks the settings, and takes the URL apart.
    pub(super) fn bucket(&self) -> Result<Bucket<'_>, OpenError> {
        let wrong =
            |setting, value: &dyn fmt::Display, why| Err(OpenError::setting(setting, value, why));
        if !towpath_event::is_store_name(&self.name) {
            let why = "a name is 1 to 64 letters, digits, `-`, `_` and `.`";
            return wrong("the name of the object store", &self.name, why);
        }
        if self.part_bytes < LEAST_PART {
            let why = "S3 takes no part under 5 MiB (5242880)";
            return wrong("store.object.partBytes", &self.part_bytes, why);
        }
        if self.parts_in_flight == 0 {
            let why = "at least one part must be on its way";
            return wrong("store.object.partsInFlight", &self.parts_in_flight, why);
        }
        if let Some(endpoint) = &self.endpoint {
            let why = match endpoint.split_once("://") {
                Some(("https", host)) if !host.is_empty() => None,
                Some(("http", host)) if !host.is_empty() && self.allow_http => None,
                Some(("http", _)) => Some("plain http needs store.object.allowHttp"),
                _ => Some("it must begin with https:// or http://, and name a host"),
            };
            if let Some(why) = why {
                return wrong("store.object.endpoint", endpoint, why);
            }
        }
        let rest = self.url.strip_prefix("s3://").unwrap_or_default();
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let whole = prefix.is_empty()
            || prefix
                .split('/')
                .all(|part| !matches!(part, "" | "." | ".."));
        if name.is_empty() || !whole {
            let why = "it must be s3://bucket or s3://bucket/prefix";
            return wrong("store.object.url", &self.url, why);
        }
        Ok(Bucket { name, prefix })
    }

    /// The endpoint as the client wants it: with the bucket in its host unless the style is path.
    pub(super) fn endpoint_of(&self, bucket: &str) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?;
        match endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style => Some(format!("{scheme}://{bucket}.{host}")),
            _ => Some(endpoint.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> S3Settings {
        S3Settings {
            name: "main".into(),
            url: "s3://bucket/some/prefix/".into(),
            endpoint: Some("https://minio.example.com:9000".into()),
            region: None,
            path_style: true,
            allow_http: false,
            ca_file: None,
            credentials: S3Credentials::Chain,
            part_bytes: 5 << 20,
            parts_in_flight: 2,
            patience: Duration::from_secs(10),
            digest: false,
            journal: None,
        }
    }

    #[test]
    fn the_url_names_bucket_and_prefix() {
        let of = |url: &str| {
            let settings = S3Settings {
                url: url.into(),
                ..settings()
            };
            let bucket = settings.bucket().ok()?;
            Some((bucket.name.to_owned(), bucket.prefix.to_owned()))
        };
        let both = |name: &str, prefix: &str| Some((name.to_owned(), prefix.to_owned()));
        assert_eq!(of("s3://bucket"), both("bucket", ""));
        assert_eq!(of("s3://bucket/"), both("bucket", ""));
        assert_eq!(of("s3://bucket/a/b/"), both("bucket", "a/b"));
        for wrong in [
            "",
            "bucket",
            "s3://",
            "s3:///a",
            "gs://bucket",
            "s3://b/../c",
            "s3://b/a//c",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |change: fn(&mut S3Settings)| {
            let mut settings = settings();
            change(&mut settings);
            settings.bucket().expect_err("refused").to_string()
        };
        let plain = refused(|s| s.endpoint = Some("http://minio".into()));
        assert!(plain.contains("store.object.allowHttp"), "{plain}");
        let bare = refused(|s| s.endpoint = Some("minio:9000".into()));
        assert!(
            bare.contains("store.object.endpoint is `minio:9000`"),
            "{bare}"
        );
        let small = refused(|s| s.part_bytes = (5 << 20) - 1);
        assert!(small.contains("store.object.partBytes"), "{small}");
        let none = refused(|s| s.parts_in_flight = 0);
        assert!(none.contains("store.object.partsInFlight"), "{none}");
        let name = refused(|s| s.name = "a/b".into());
        assert!(name.contains("`a/b`"), "{name}");
    }

    #[test]
    fn the_bucket_stands_in_the_path_or_in_the_host() {
        let mut settings = settings();
        let path = settings.endpoint_of("b");
        assert_eq!(path.as_deref(), Some("https://minio.example.com:9000"));
        settings.path_style = false;
        let host = settings.endpoint_of("b");
        assert_eq!(host.as_deref(), Some("https://b.minio.example.com:9000"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let credentials = S3Credentials::Key {
            id: "me".into(),
            secret: "hush".into(),
        };
        assert_eq!(format!("{credentials:?}"), "Key(me)");
    }
}
