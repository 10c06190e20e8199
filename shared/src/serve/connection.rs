//! Connections: how many, from whom, for how long, and what one of them may do.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::{Service, ServiceExt};

use crate::{
    access::Peer,
    admit::Answers,
    config::LoadConfig,
    limits::{CONNECTION_CALLS_MAX, HEADER_BYTES_MAX},
    metrics::METRICS,
    tls::{Tls, certificate_of},
};

/// Time until the next try where a connection cannot be accepted, most likely because there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A handshake is over by then.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Time for the other side to hear that its connection ends.
const GOODBYE: Duration = Duration::from_secs(1);
/// A reader that has not taken a unary answer after twice that time is cut.
const ANSWER_PERIOD: Duration = Duration::from_secs(60);
/// Streams that were opened and reset before anybody looked at them.
const PENDING_RESETS_MAX: usize = 20;
/// Streams that were reset because of what the other side did wrong.
const ERROR_RESETS_MAX: usize = 1_024;
/// A silent connection is asked whether it lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// It answers within that time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Where connections come from. TCP, or what a simulation has in its place.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // Without it every call waits for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        Ok((stream, address))
    }
}

/// Accepts connections and serves them with clones of one service.
#[derive(Clone)]
pub(super) struct Connections<S> {
    pub(super) service: S,
    pub(super) load: LoadConfig,
    /// Connections begin with a handshake; none: they are plain text.
    pub(super) tls: Option<Tls>,
    /// Connections end when their calls have; no new ones are accepted.
    pub(super) stop: CancellationToken,
    /// Connections end at once.
    pub(super) cut: CancellationToken,
    /// Those that are open.
    pub(super) open: TaskTracker,
}

impl<S, B> Connections<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Accepts until it is told to stop.
    pub(super) async fn accept(self, mut listener: impl Listener) {
        let places = Arc::new(Semaphore::new(self.load.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
        let addresses = Addresses { open: Arc::default(), open_max: self.load.address_connections_max };
        let mut is_failing = false;
        let accept = async {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let accepted = listener.accept().await;
                if let Err(error) = &accepted {
                    if is_about_one_connection(error) {
                        continue;
                    }
                    if !is_failing {
                        tracing::warn!(%error, "no connection can be accepted; trying again");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                is_failing = accepted.is_err();
                let Ok((io, from)) = accepted else { continue };
                let Some(counted) = addresses.count(from.ip()) else {
                    METRICS.connections_refused.inc();
                    tracing::debug!(%from, "too many connections from this address");
                    continue;
                };
                let connection = self.clone();
                METRICS.connections.inc();
                self.open.spawn(async move {
                    connection.begin(io, from).await;
                    drop((counted, place));
                });
            }
        };
        self.stop.run_until_cancelled(accept).await;
    }

    /// Shakes hands if that is to be done, then serves the connection until it ends.
    async fn begin(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, address: SocketAddr) {
        let Some(tls) = self.tls.clone() else { return self.serve(io, Peer { address, certificate: None }).await };
        let handshake = tokio::time::timeout(HANDSHAKE_MAX.min(self.load.first_request_max()), tls.accept(io));
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => {
                let certificate = certificate_of(&stream);
                self.serve(stream, Peer { address, certificate }).await;
            }
            Some(Ok(Err(error))) => tracing::debug!(%address, %error, "a handshake failed"),
            Some(Err(_)) => tracing::debug!(%address, "a handshake took too long"),
            None => {}
        }
    }

    /// Serves one connection until it ends.
    async fn serve(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let answers = Arc::new(Answers::default());
        let has_come = CancellationToken::new();
        let service = service_fn({
            let (service, answers, has_come) = (self.service.clone(), answers.clone(), has_come.clone());
            move |request: Request<Incoming>| {
                has_come.cancel();
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(answers.clone());
                request.extensions_mut().insert(peer);
                service.clone().oneshot(request)
            }
        });
        let mut connection = pin!(http().serve_connection(TokioIo::new(io), service));
        let begin = Instant::now();
        let mut is_ending = false;
        let mut deadline = pin!(tokio::time::sleep_until(begin + self.load.first_request_max()));
        let mut periods = tokio::time::interval_at(begin + ANSWER_PERIOD, ANSWER_PERIOD);
        periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_new = true;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended");
                    }
                    return;
                }
                () = self.cut.cancelled() => return,
                () = self.stop.cancelled(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                    // How long calls may take is decided for all of them at once.
                    deadline.as_mut().reset(begin + self.load.connection_max() + self.load.connection_grace_max());
                }
                () = has_come.cancelled(), if is_new => {
                    is_new = false;
                    if !is_ending {
                        deadline.as_mut().reset(begin + jittered(self.load.connection_max()));
                    }
                }
                () = &mut deadline => {
                    if is_ending {
                        return;
                    }
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                    let rest = if is_new { GOODBYE } else { self.load.connection_grace_max() };
                    deadline.as_mut().reset(Instant::now() + rest);
                }
                _ = periods.tick() => if answers.next_period() {
                    tracing::debug!("a reader does not take its answers");
                    return;
                }
            }
        }
    }
}

/// HTTP/2 with every limit that keeps one connection from harming the others.
fn http() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(CONNECTION_CALLS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    http
}

/// Connections that were made together are not renewed together.
fn jittered(time: Duration) -> Duration {
    rand::random_range(time * 9 / 10..=time * 11 / 10)
}

/// Errors of `accept` that speak of the connection that would have been accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}

/// How many connections each address has open.
struct Addresses {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    open_max: usize,
}

/// A connection that counts for its address until it is dropped.
struct Counted {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Addresses {
    fn count(&self, address: IpAddr) -> Option<Counted> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= self.open_max.max(1) {
            return None;
        }
        *count += 1;
        METRICS.connections_open.inc();
        Some(Counted { open: self.open.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        METRICS.connections_open.dec();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}
