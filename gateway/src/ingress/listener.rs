//! The public port: accepts connections, as many as there may be.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Admission};
use crate::state::State;
use crate::workers::Workers;

/// Connections over the bound that are told so at the same time; more are closed at once.
const TOLD_AT_ONCE: usize = 64;
/// Pause after accept failed, which is when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The public port.
pub(crate) struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds `address`.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
        })
    }

    /// Where it listens: the real port when 0 was asked for.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections until `closing`, then stops listening, lets the open ones finish, and returns.
    pub(crate) async fn run(
        self,
        state: Arc<State>,
        workers: Arc<Workers>,
        closing: CancellationToken,
    ) {
        let open = TaskTracker::new();
        let places = Arc::new(Semaphore::new(state.settings.limits.max_connections));
        let refusals = Arc::new(Semaphore::new(TOLD_AT_ONCE));
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted.and_then(|(stream, _)| prepare(stream)),
                () = closing.cancelled() => break,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let admitted = Arc::clone(&places)
                .try_acquire_owned()
                .map(|place| (place, Admission::Served));
            let admitted = admitted.or_else(|_| {
                Arc::clone(&refusals)
                    .try_acquire_owned()
                    .map(|place| (place, Admission::OneTooMany))
            });
            let Ok((place, admission)) = admitted else {
                continue;
            };
            let (state, closing, counted) = (Arc::clone(&state), closing.clone(), open.token());
            workers.run(move || async move {
                state.metrics.connections().inc();
                match TcpStream::from_std(stream) {
                    Ok(stream) => {
                        connection::serve(Arc::clone(&state), stream, admission, closing).await
                    }
                    Err(error) => tracing::warn!(%error, "cannot serve a connection"),
                }
                state.metrics.connections().dec();
                drop((place, counted));
            });
        }
        drop(self.socket);
        open.close();
        open.wait().await;
        state.unsettled.close();
        state.unsettled.wait().await;
    }
}

/// Takes a connection off the thread that accepted it.
fn prepare(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}
