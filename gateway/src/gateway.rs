//! A running gateway: start, addresses, orderly end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use towpath_config::{Problems, Settings, SourceFile, load};

use crate::admission::Admission;
use crate::delivery;
use crate::ingress::Listener;
use crate::payload_api::Api;
pub use crate::payload_api::ApiError;
use crate::peering::Peering;
use crate::routing::{Here, Router};
use crate::state::State;
pub use crate::stores::StoreOpenError;
use crate::telemetry::Metrics;
use crate::topology_source::{self, FolderError, read_folder};
use crate::workers::Workers;
use crate::{admin, stores};

/// Where a gateway's configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder of manifests, watched for changes.
    Folder(PathBuf),
    /// Manifests that do not change.
    Given(Vec<SourceFile>),
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The manifests cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The manifests are not valid; every problem is listed.
    #[error("the manifests are not valid:\n{0}")]
    Problems(#[from] Problems),
    /// A port cannot be listened on.
    #[error("cannot listen on {address} (setting {setting}): {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The setting that says so.
        setting: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A payload store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    /// The payload API cannot be offered.
    #[error(transparent)]
    PayloadApi(#[from] ApiError),
    /// The other gateways cannot be reached as the settings say.
    #[error("peers: {0}")]
    Peers(String),
    /// Two metrics have one name.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[source] prometheus::Error),
    /// The operating system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
}

/// Deliveries were not finished within `shutdown.grace`. Events of channels that answer when settled come again
/// from their producers; those of async channels are lost.
#[derive(Debug, thiserror::Error)]
#[error("{deliveries} deliveries were still under way after {grace:?} (setting shutdown.grace)")]
pub struct Unfinished {
    /// How many.
    pub deliveries: usize,
    /// How long was waited.
    pub grace: Duration,
}

/// A running gateway.
pub struct Gateway {
    state: Arc<State>,
    listening: SocketAddr,
    admin: SocketAddr,
    internal: Option<SocketAddr>,
    /// Stops taking connections.
    closing: CancellationToken,
    /// Stops everything else.
    ending: CancellationToken,
    public: JoinHandle<()>,
}

impl Gateway {
    /// Compiles the configuration, binds both ports and serves.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start(settings: Settings, source: Source) -> Result<Self, StartError> {
        let options = settings.compile_options();
        let (files, folder) = match source {
            Source::Folder(folder) => (read_folder(&folder)?, Some(folder)),
            Source::Given(files) => (files, None),
        };
        let compiled = load(&files, &options)?;
        topology_source::log_notes(&compiled.report);
        let listener = Listener::bind(settings.listen).await;
        let listener = listener.map_err(listen_error(settings.listen, "listen"))?;
        let listening = listener
            .address()
            .map_err(listen_error(settings.listen, "listen"))?;
        let admin_socket = tokio::net::TcpListener::bind(settings.admin).await;
        let admin_socket = admin_socket.map_err(listen_error(settings.admin, "admin"))?;
        let admin = admin_socket
            .local_addr()
            .map_err(listen_error(settings.admin, "admin"))?;

        let budget = stores::budget(&settings.limits);
        let metrics = Metrics::new(settings.metrics.event_types, budget.clone());
        let metrics = metrics.map_err(StartError::Metrics)?;
        let open = stores::open(&settings.store, &budget, metrics.payloads.clone()).await?;
        let admission = Admission::new(settings.limits.clone(), budget, open.stores.clone());
        let api = Api::open(&settings, listening, &admission)?;
        let router = Arc::new(Router::new(Here::of(&settings)));
        let peering = Peering::open(&settings, &admission, &api.keys, &router).await?;
        let links = peering.links.clone();
        let state = State::new(settings, admission, open, metrics, api, router, links);
        delivery::put_in_force(&state, Arc::new(compiled.topology), &compiled.replicas).await;

        let workers = Arc::new(Workers::start().map_err(StartError::Threads)?);
        let (closing, ending) = (CancellationToken::new(), CancellationToken::new());
        let internal = peering.address();
        peering.start(&state, &workers, &ending);
        let public = tokio::spawn(listener.run(Arc::clone(&state), workers, closing.clone()));
        tokio::spawn(admin::serve(
            admin_socket,
            Arc::clone(&state),
            ending.clone(),
        ));
        tokio::spawn(sweep_connections(Arc::clone(&state), ending.clone()));
        tokio::spawn(stores::keep_clean(Arc::clone(&state), ending.clone()));
        if let Some(folder) = folder {
            tokio::spawn(topology_source::watch(
                Arc::clone(&state),
                folder,
                options,
                files,
                ending.clone(),
            ));
        }
        Ok(Self {
            state,
            listening,
            admin,
            internal,
            closing,
            ending,
            public,
        })
    }

    /// Where producers connect: the real port when 0 was asked for.
    #[must_use]
    pub fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// Where health, metrics and the topology are read.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where other gateways reach this one, if they do.
    #[must_use]
    pub fn internal(&self) -> Option<SocketAddr> {
        self.internal
    }

    /// Ends in order (CONTRACT C2.18): not ready, still serving for `shutdown.delay`, then no new connections, and
    /// what is in flight finishes within `shutdown.grace`.
    ///
    /// # Errors
    /// [`Unfinished`] when it did not.
    pub async fn shutdown(self) -> Result<(), Unfinished> {
        let shutdown = self.state.settings.shutdown.clone();
        self.state.drain();
        tokio::time::sleep(shutdown.delay).await;
        self.closing.cancel();
        let finished = async {
            // A panic in the listener is reported by the runtime; there is nothing to wait for then.
            let _ = self.public.await;
        };
        let in_time = tokio::time::timeout(shutdown.grace, finished).await;
        self.ending.cancel();
        let deliveries = self.state.unsettled.len();
        in_time.map_err(|_| Unfinished {
            deliveries,
            grace: shutdown.grace,
        })
    }
}

pub(crate) fn listen_error(
    address: SocketAddr,
    setting: &'static str,
) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Listen {
        address,
        setting,
        source,
    }
}

async fn sweep_connections(state: Arc<State>, ending: CancellationToken) {
    let period = (state.settings.timeouts.idle_connection / 2).max(Duration::from_millis(100));
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => state.pool.sweep(),
            () = ending.cancelled() => return,
        }
    }
}
