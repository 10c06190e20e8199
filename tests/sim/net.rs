//! gRPC over the simulated network, and the randomness of a simulation.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng};
use shared::{
    access::{Access, AccessLayer},
    call::CallLayer,
    clock::Clock,
    config::AccessConfig,
    serve::Stop,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::{
    body::Body,
    service::Routes,
    transport::{Channel, Endpoint, Server, server::Connected},
};
use turmoil::net::{TcpListener, TcpStream};

/// A call that is not answered by then is given up by its caller.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

thread_local! {
    /// One simulation runs on one thread, hosts one after another, so its random choices are those of its seed.
    static RANDOM: RefCell<StdRng> = RefCell::new(StdRng::seed_from_u64(0));
}

/// Begins the random choices of a simulation.
pub fn seed(seed: u64) {
    RANDOM.with_borrow_mut(|random| *random = StdRng::seed_from_u64(seed));
}

/// A random choice of this simulation.
pub fn choose<T>(choice: impl FnOnce(&mut StdRng) -> T) -> T {
    RANDOM.with_borrow_mut(choice)
}

/// A random time up to that one.
pub fn up_to(max: Duration) -> Duration {
    choose(|random| random.random_range(Duration::ZERO..=max))
}

/// The time of the simulation.
pub struct SimClock;

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let elapsed = turmoil::sim_elapsed().expect("a host asks");
        let start = Timestamp::from_second(1_790_000_000).expect("a time");
        start.checked_add(SignedDuration::try_from(elapsed).expect("not that long")).expect("a time")
    }
}

/// A connection of the simulated network as a server sees it.
pub struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Serves on that port until the host crashes.
pub async fn serve(port: u16, routes: Routes, stop: &Stop) -> turmoil::Result {
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), port)).await?;
    let (sender, incoming) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The server ends only with its host.
            let _ = sender.send(Ok::<_, io::Error>(Accepted(stream))).await;
        }
    });
    let layers = tower::ServiceBuilder::new()
        .layer(CallLayer::new(CALL_TIME_MAX, stop.calls.clone()))
        .map_response(|response: http::Response<_>| response.map(Body::new))
        .layer(AccessLayer(Access::load(&AccessConfig::default(), Arc::new(SimClock))?))
        .map_response(|response: http::Response<_>| response.map(Body::new))
        .into_inner();
    let server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .layer(layers)
        .add_routes(routes);
    server.serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(incoming)).await?;
    Ok(())
}

/// A connection over the simulated network that is made when it is used, and again when it broke.
pub fn connect(endpoint: Endpoint) -> Channel {
    endpoint.connect_with_connector_lazy(tower::service_fn(|uri: http::Uri| async move {
        let host = uri.host().unwrap_or_default().to_owned();
        let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or_default())).await?;
        Ok::<_, io::Error>(TokioIo::new(stream))
    }))
}

/// The connection of a client.
pub fn client(uri: &'static str) -> Channel {
    let endpoint = Endpoint::from_static(uri).connect_timeout(Duration::from_secs(5)).timeout(CALL_TIME_MAX);
    connect(endpoint.http2_keep_alive_interval(Duration::from_secs(10)).keep_alive_timeout(Duration::from_secs(5)))
}
