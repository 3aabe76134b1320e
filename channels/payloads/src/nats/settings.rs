//! What a nats store needs to know, and the stream and connection made of it.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

use crate::OpenError;
use crate::remote::tls;

/// Time for a connection to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// Between two pings; a connection on which two stay without answer is made anew.
const PING: Duration = Duration::from_secs(5);
/// The longest pause between two tries to connect again; they go on for ever.
const RECONNECT: Duration = Duration::from_secs(4);
/// The server's own window for duplicates, which must not be longer than messages live.
const DUPLICATES: Duration = Duration::from_secs(120);
/// Least bytes of a chunk: under it a payload is all overhead.
const LEAST_CHUNK: usize = 4 << 10;

/// The settings of a nats store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsSettings {
    /// Name of the stream, and of the store in claim checks: 1 to 64 letters, digits, `-` and `_`.
    pub bucket: String,
    /// Where a server is: `nats://host:4222` or `tls://host`. Further ones, separated by commas, are tried in turn. The
    /// first that has a user and password (`nats://user:password@host`), or a token, in it gives these for all.
    pub url: String,
    /// File with the user's JWT and key, as `nsc` writes it.
    pub credentials_file: Option<PathBuf>,
    /// PEM file of certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Bytes of one message of a payload, 4 KiB or more; less where the server takes less.
    pub chunk_bytes: usize,
    /// Messages of one payload that wait for their acknowledgement at once, 1 or more. One upload holds up to
    /// `chunk_bytes * (acks_in_flight + 1)` bytes of memory.
    pub acks_in_flight: usize,
    /// Servers that keep each payload: 1 to 5.
    pub replicas: usize,
    /// Most bytes in the stream; `None` is what the server allows.
    pub max_bytes: Option<u64>,
    /// How long a payload is kept at most; `None` is for ever.
    pub ttl: Option<Duration>,
    /// How long the server may take to answer; what can be asked twice is asked a second time within it.
    pub patience: Duration,
    /// Whether payloads get a digest.
    pub digest: bool,
}

impl NatsSettings {
    /// Checks what can be checked without a server.
    pub(super) fn check(&self, store_id: &str) -> Result<(), OpenError> {
        let is_token = |name: &str| towpath_event::is_store_name(name) && !name.contains('.');
        let token = "a name is 1 to 64 letters, digits, `-` and `_`";
        if !is_token(&self.bucket) {
            return Err(OpenError::setting("store.nats.bucket", &self.bucket, token));
        }
        if !is_token(store_id) {
            return Err(OpenError::setting("the store id", &store_id, token));
        }
        if self.chunk_bytes < LEAST_CHUNK {
            let why = "a chunk has 4 KiB (4096) or more";
            return Err(OpenError::setting(
                "store.nats.chunkBytes",
                &self.chunk_bytes,
                why,
            ));
        }
        if self.acks_in_flight == 0 {
            let why = "at least one message must be on its way";
            return Err(OpenError::setting(
                "store.nats.acksInFlight",
                &self.acks_in_flight,
                why,
            ));
        }
        if !(1..=5).contains(&self.replicas) {
            let why = "NATS keeps 1 to 5 replicas";
            return Err(OpenError::setting(
                "store.nats.replicas",
                &self.replicas,
                why,
            ));
        }
        Ok(())
    }

    /// How the stream is to be.
    pub(super) fn stream(&self) -> Config {
        let ttl = self.ttl.unwrap_or_default();
        let most = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        Config {
            name: self.bucket.clone(),
            description: Some("payloads of Towpath, in chunks".into()),
            subjects: vec![format!("{}.>", self.bucket)],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            max_bytes: self.max_bytes.map_or(-1, most),
            max_messages: -1,
            max_messages_per_subject: 1,
            max_age: ttl,
            duplicate_window: if ttl.is_zero() {
                DUPLICATES
            } else {
                ttl.min(DUPLICATES)
            },
            num_replicas: self.replicas,
            allow_direct: true,
            ..Config::default()
        }
    }

    /// The client takes no login from a URL by itself.
    fn with_login(&self, options: ConnectOptions) -> ConnectOptions {
        let servers = self.url.split(',').map(str::trim);
        let mut servers = servers.filter_map(|server| server.parse::<ServerAddr>().ok());
        let Some(server) = servers.find(ServerAddr::has_user_pass) else {
            return options;
        };
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = server.username().map(plain).unwrap_or_default();
        match server.password().map(plain) {
            Some(password) => options.user_and_password(user, password),
            None => options.token(user),
        }
    }

    fn all_over_tls(&self) -> bool {
        let mut servers = self.url.split(',').map(str::trim);
        servers.all(|server| server.starts_with("tls://"))
    }

    /// How to connect: in the background, also the first time, and again for ever.
    pub(super) async fn connection(&self) -> Result<ConnectOptions, OpenError> {
        let options = ConnectOptions::new()
            .name("towpath payloads")
            .retry_on_initial_connect()
            .connection_timeout(CONNECT)
            .request_timeout(Some(self.patience / 2))
            .ping_interval(PING)
            .max_reconnects(None)
            .reconnect_delay_callback(delay)
            // also to the servers of the cluster that it learns of later
            .require_tls(self.all_over_tls())
            .tls_client_config(tls("store.nats.caFile", self.ca_file.as_deref())?);
        let options = self.with_login(options);
        match &self.credentials_file {
            None => Ok(options),
            Some(path) => {
                let read = options.credentials_file(path).await;
                read.map_err(|error| OpenError::file("store.nats.credentialsFile", path, error))
            }
        }
    }
}

/// What makes a stream that is there already unfit, if anything does.
pub(super) fn unfit(is: &Config, wanted: &Config) -> Option<String> {
    let Config {
        subjects,
        storage,
        retention,
        discard,
        max_messages_per_subject,
        allow_direct,
        deny_purge,
        ..
    } = is;
    let differs = |what: &str| Some(format!("stream `{}` is there, and {what}", wanted.name));
    if *subjects != wanted.subjects {
        differs("has other subjects than its own name and `.>`")
    } else if *storage != wanted.storage {
        differs("does not store in files")
    } else if *retention != wanted.retention {
        differs("has another retention than `limits`")
    } else if *discard != wanted.discard {
        differs("discards old messages when it is full, not new ones")
    } else if !matches!(max_messages_per_subject, 1) {
        differs("does not keep one message for each subject")
    } else if !allow_direct || *deny_purge {
        differs("does not allow direct gets, or denies purges")
    } else {
        None
    }
}

/// The stream as it is with the limits of the settings; `None` if these are its limits.
pub(super) fn limited(is: &Config, wanted: &Config) -> Option<Config> {
    let same = is.max_bytes.max(-1) == wanted.max_bytes
        && is.max_age == wanted.max_age
        && is.num_replicas == wanted.num_replicas;
    (!same).then(|| Config {
        max_bytes: wanted.max_bytes,
        max_age: wanted.max_age,
        duplicate_window: wanted.duplicate_window,
        num_replicas: wanted.num_replicas,
        ..is.clone()
    })
}

/// Before the next try to connect: twice as long each time, up to a bound, and never two gateways in step.
fn delay(tries: usize) -> Duration {
    let doubled = Duration::from_millis(50) * 2u32.pow(u32::try_from(tries.min(8)).unwrap_or(8));
    doubled.min(RECONNECT).mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> NatsSettings {
        NatsSettings {
            bucket: "towpath_payloads".into(),
            url: "nats://localhost".into(),
            credentials_file: None,
            ca_file: None,
            chunk_bytes: 128 << 10,
            acks_in_flight: 16,
            replicas: 1,
            max_bytes: None,
            ttl: None,
            patience: Duration::from_secs(5),
            digest: false,
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        settings().check("installation").unwrap();
        let refused = |change: fn(&mut NatsSettings)| {
            let mut settings = settings();
            change(&mut settings);
            settings.check("installation").unwrap_err().to_string()
        };
        for (text, name) in [
            (
                refused(|s| s.bucket = "a.b".into()),
                "store.nats.bucket is `a.b`",
            ),
            (refused(|s| s.bucket = "a>".into()), "store.nats.bucket"),
            (
                refused(|s| s.chunk_bytes = 4095),
                "store.nats.chunkBytes is `4095`",
            ),
            (refused(|s| s.acks_in_flight = 0), "store.nats.acksInFlight"),
            (refused(|s| s.replicas = 6), "store.nats.replicas is `6`"),
        ] {
            assert!(text.contains(name), "{text}");
        }
        settings().check("a.b").unwrap_err();
    }

    #[tokio::test]
    async fn a_credentials_file_that_cannot_be_read_is_named() {
        let settings = NatsSettings {
            credentials_file: Some("nowhere.creds".into()),
            ..settings()
        };
        let error = settings.connection().await.unwrap_err().to_string();
        let names = ["store.nats.credentialsFile", "nowhere.creds"];
        assert!(names.iter().all(|name| error.contains(name)), "{error}");
    }

    #[test]
    fn a_stream_of_somebody_else_is_unfit_and_another_limit_is_set() {
        let wanted = settings().stream();
        assert_eq!(unfit(&wanted, &wanted), None);
        assert_eq!(limited(&wanted, &wanted), None);
        let changes: [fn(&mut Config); 6] = [
            |c| c.subjects = vec!["orders.>".into()],
            |c| c.storage = StorageType::Memory,
            |c| c.retention = RetentionPolicy::WorkQueue,
            |c| c.discard = DiscardPolicy::Old,
            |c| c.max_messages_per_subject = -1,
            |c| c.deny_purge = true,
        ];
        for change in changes {
            let mut is = wanted.clone();
            change(&mut is);
            let why = unfit(&is, &wanted).expect("unfit");
            assert!(why.contains("towpath_payloads"), "{why}");
        }
        let is = Config {
            max_bytes: 7,
            description: Some("theirs".into()),
            ..wanted.clone()
        };
        let changed = limited(&is, &wanted).expect("another limit");
        assert_eq!(changed.max_bytes, -1);
        assert_eq!(changed.description.as_deref(), Some("theirs"));
    }

    #[test]
    fn reconnects_are_spread_and_bounded() {
        for tries in 0..100 {
            let delay = delay(tries);
            assert!(delay <= RECONNECT && delay >= Duration::from_millis(25));
        }
    }
}
