//! A gRPC server as both services run it: limits, health, reflection, calls around which [`crate::call`] stands, and an
//! end that is bounded in time.

mod connection;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    body::Body,
    service::{Routes, RoutesBuilder},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use self::connection::Connections;
pub use self::connection::Listener;
use crate::{
    access::{Access, AccessLayer},
    admit::{Admission, AdmitLayer},
    call::{CallLayer, panicked},
    clock::Clock,
    config::ServerConfig,
    tls::Tls,
};

/// Health of the process and of each of its services.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    services: &'static [&'static str],
    is_serving: Arc<AtomicBool>,
}

impl Health {
    /// What was said last of the process.
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Acquire)
    }

    /// Says of the process and of every service whether it serves.
    pub async fn set_serving(&self, is_serving: bool) {
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.is_serving.store(is_serving, Ordering::Release);
        for service in [""].iter().chain(self.services) {
            self.reporter.set_service_status(*service, status).await;
        }
    }
}

/// Health and reflection (v1 and v1alpha) as routes; `services` are the full names of the others. Nothing serves yet.
///
/// # Errors
/// Descriptors that cannot be read: the build is broken.
pub async fn standard_routes(
    services: &'static [&'static str],
) -> Result<(RoutesBuilder, Health), tonic_reflection::server::Error> {
    let (reporter, health_server) = tonic_health::server::health_reporter();
    let health = Health { reporter, services, is_serving: Arc::default() };
    health.set_serving(false).await;

    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health")
    };
    let names = |mut builder: tonic_reflection::server::Builder<'static>| {
        for service in services {
            builder = builder.with_service_name(*service);
        }
        builder
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(health_server);
    routes.add_service(names(reflection().with_service_name("grpc.reflection.v1.ServerReflection")).build_v1()?);
    routes.add_service(
        names(reflection().with_service_name("grpc.reflection.v1alpha.ServerReflection")).build_v1alpha()?,
    );
    Ok((routes, health))
}

/// What tells the parts of a running service to stop, and knows which of them have not.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Cancelled when the process is to end: streams end, nothing new begins.
    pub token: CancellationToken,
    /// Open calls and streams.
    pub calls: TaskTracker,
}

/// Binds the address before anything else is started.
///
/// # Errors
/// The address is in use or not ours.
pub async fn bind(listen: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers in flight have left the process after that long.
const FLUSH_MAX: Duration = Duration::from_millis(250);

/// What stands between callers and a service.
#[derive(Clone, Debug)]
pub struct Protection {
    /// Who may call.
    pub access: Access,
    /// Certificates; none: plain text.
    pub tls: Option<Tls>,
}

impl Protection {
    /// What the settings say, for a service that listens there.
    ///
    /// # Errors
    /// What is wrong with the settings or the files that they name.
    pub fn load(config: &ServerConfig, listen: SocketAddr, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let tls = Tls::load(&config.tls)?;
        config.check_listen(listen)?;
        Ok(Self { access: Access::load(&config.access, clock)?, tls })
    }
}

/// Serves until `stop` is cancelled, then ends: health says NOT_SERVING, open calls are answered, streams end by
/// themselves. What has not ended after the longest time for draining is cut.
pub async fn serve(
    listener: impl Listener,
    routes: Routes,
    config: &ServerConfig,
    protection: Protection,
    health: Health,
    stop: Stop,
) {
    let Protection { access, tls } = protection;
    access.keep_fresh(&stop);
    if let Some(tls) = &tls {
        tls.keep_fresh(&stop);
    }
    let service = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(panicked))
        .layer(CallLayer::new(config.deadline_max(), stop.calls.clone()))
        // Inside the call, so that the answer to a panic has the call's id; outside, for the call itself.
        .map_response(|response: http::Response<_>| response.map(Body::new))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(AccessLayer(access))
        .layer(AdmitLayer(Admission::new(&config.load)))
        .service(routes);
    let cut = CancellationToken::new();
    let _ends_what_is_left = cut.clone().drop_guard();
    let open = TaskTracker::new();
    let load = config.load.clone();
    let connections = Connections { service, load, tls, stop: stop.token.clone(), cut, open: open.clone() };
    connections.accept(listener).await;
    tracing::info!(open_calls = stop.calls.len(), "draining");
    health.set_serving(false).await;
    stop.calls.close();
    open.close();
    let drained = async {
        tokio::select! {
            // Ends only when every connection has, and an idle health watch never does.
            () = open.wait() => {}
            () = async { stop.calls.wait().await; tokio::time::sleep(FLUSH_MAX).await } => {}
        }
    };
    if tokio::time::timeout(config.drain_max(), drained).await.is_err() {
        tracing::warn!(open_calls = stop.calls.len(), "calls were cut after the longest time for draining");
    }
}

/// Signal for a write beyond the largest size that a file may have. Its default is to kill the process, which would leave
/// callers without the answer that the failed write gives them.
const SIGXFSZ: i32 = 25;

/// A write beyond the largest size of a file fails like any other write from now on.
///
/// # Errors
/// Signals cannot be listened to.
pub fn survive_file_size_limit() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// Signals cannot be listened to.
pub async fn stop_signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

#[cfg(test)]
mod tests;
