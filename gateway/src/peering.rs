//! Starts what a gateway and its peers need of each other; without peers and internal port, nothing.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use towpath_config::Settings;

use crate::admission::Admission;
use crate::delivery::ForPeers;
use crate::gateway::{StartError, listen_error};
use crate::payload_api::KeySource;
use crate::peer::{Feeds, Lent, Links, LinksConfig, Replicas, Server, follow, serve};
use crate::routing::Router;
use crate::state::State;
use crate::workers::{self, Workers};

/// The ways between this gateway and others, before anything uses them.
pub(crate) struct Peering {
    pub(crate) links: Option<Arc<Links>>,
    lent: Arc<Lent>,
    internal: Option<TcpListener>,
    keys: Arc<KeySource>,
}

impl Peering {
    /// Binds the internal port, if there is one, and looks at the peers, if there are any.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) async fn open(
        settings: &Settings,
        admission: &Admission,
        keys: &Arc<KeySource>,
        router: &Arc<Router>,
    ) -> Result<Self, StartError> {
        let lent = Arc::new(Lent::default());
        let internal = match settings.internal.listen {
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .map_err(listen_error(address, "internal.listen"))?,
            ),
            None => None,
        };
        let has_peers = settings.other_gateways().next().is_some();
        let links = match settings.node.as_deref() {
            Some(node) if has_peers || internal.is_some() => {
                let measured = Arc::clone(router);
                let config = LinksConfig {
                    node: node.into(),
                    peers: settings.other_gateways(),
                    keys: Arc::clone(keys),
                    stores: admission.stores.of_this_node(),
                    inline_max: settings.limits.inline_max,
                    connect_timeout: settings.timeouts.connect,
                    workers: workers::count(),
                    observe: Arc::new(move |node: &str, bytes, nanos| {
                        measured.observe(node, bytes, nanos);
                    }),
                };
                let links = Links::new(config, Arc::clone(&lent));
                Some(links.map_err(|error| StartError::Peers(error.to_string()))?)
            }
            _ => None,
        };
        Ok(Self {
            links,
            lent,
            internal,
            keys: Arc::clone(keys),
        })
    }

    /// Where other gateways reach this one.
    pub(crate) fn address(&self) -> Option<std::net::SocketAddr> {
        self.internal.as_ref()?.local_addr().ok()
    }

    /// Serves the internal port and follows the load of others, until `ending`.
    pub(crate) fn start(
        self,
        state: &Arc<State>,
        workers: &Arc<Workers>,
        ending: &CancellationToken,
    ) {
        let Some(links) = self.links else {
            return;
        };
        let router = &state.router;
        let (replicas, began) = (
            Arc::clone(router) as Arc<dyn Replicas>,
            router.clock().began(),
        );
        tokio::spawn(Arc::clone(&links).run(ending.clone()));
        tokio::spawn(follow(
            Arc::clone(&links),
            Arc::clone(&replicas),
            router.changes(),
            began,
            ending.clone(),
        ));
        tokio::spawn(Arc::clone(&self.lent).run(ending.clone()));
        let (Some(internal), Some(node)) = (self.internal, &state.settings.node) else {
            return;
        };
        let feeds = Feeds::new(node.as_str().into(), replicas, router.changes(), began);
        let settings = &state.settings;
        let server = Server {
            keys: self.keys,
            lent: self.lent,
            attempts: Arc::new(ForPeers {
                state: Arc::clone(state),
                links,
            }),
            feeds: Arc::new(feeds),
            budget: state.admission.budget.clone(),
            inline_max: settings.limits.inline_max,
            max_connections: settings.internal.max_connections,
            header_read: settings.timeouts.header_read,
        };
        let workers = Some(Arc::clone(workers));
        tokio::spawn(serve(internal, Arc::new(server), workers, ending.clone()));
    }
}
