//! The side port: what an orchestrator asks a process, over plain HTTP/1 and apart from the calls of the API.
//!
//! | request | answer |
//! |---|---|
//! | `GET /live` | 200 as long as the process can answer at all |
//! | `GET /ready` | 200 while the service serves, else 503: the same truth as gRPC health |
//! | `GET /metrics` | numbers, in the text format of OpenMetrics, which Prometheus reads |
//! | `GET /log` | what is logged |
//! | `PUT /log` | 200, and from now on what the body says is logged; 400 with the reason if it is no filter |
//!
//! What is logged can be changed from this machine only: to all others it answers 403.
//!
//! It answers from before the service starts until after it has ended, takes no place of a call, and has places of its own:
//! some for this machine, so that strangers cannot keep a health check out, and some for all others.

pub mod ask;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use prometheus_client::{encoding::text::encode, registry::Registry};

use crate::{
    metrics::{self, LookedUp},
    serve::Health,
    telemetry::LogFilter,
};

/// Connections from this machine, and as many from elsewhere. Each serves one request.
const CONNECTIONS_MAX: usize = 32;
/// A request is there by then.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// Its answer has been taken by then.
const CONNECTION_MAX: Duration = Duration::from_secs(15);
/// Bytes of a filter of logs.
const FILTER_BYTES_MAX: usize = 4 * 1024;
/// Time until the next try where a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the side port knows of the service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Side {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Not there before the service has begun to start.
    health: OnceLock<Health>,
    registry: Mutex<Registry>,
    log: LogFilter,
}

impl Side {
    /// A side port that tells of the process alone.
    pub(crate) fn new(log: LogFilter) -> Self {
        let registry = Mutex::new(metrics::registry());
        Self { shared: Arc::new(Shared { health: OnceLock::new(), registry, log }) }
    }

    /// From now on `/metrics` has these, too.
    pub fn register(&self, metrics: impl FnOnce(&mut Registry)) {
        metrics(&mut self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// From now on `/ready` tells what this says.
    pub fn tell_health(&self, health: &Health) {
        // The first one holds; a process has one service.
        let _ = self.shared.health.set(health.clone());
        let health = health.clone();
        self.register(|registry| {
            let help = "1 while the service serves: the same as /ready and gRPC health";
            let is_serving = move |say: &mut metrics::Say<'_>| say.number("serving", help, health.is_serving().into());
            registry.register_collector(Box::new(LookedUp(is_serving)));
        });
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let (near, far) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let places = if from.ip().is_loopback() { &near } else { &far };
            let Ok(place) = places.clone().try_acquire_owned() else { continue };
            let side = self.clone();
            tokio::spawn(async move {
                // What cannot be told to the other side is nobody's business.
                let _ = tokio::time::timeout(CONNECTION_MAX, side.serve_one(stream, from.ip())).await;
                drop(place);
            });
        }
    }

    async fn serve_one(self, stream: TcpStream, from: IpAddr) -> Result<(), hyper::Error> {
        let service = service_fn(move |request: Request<Incoming>| {
            let side = self.clone();
            async move { Ok::<_, std::convert::Infallible>(side.answer(request, from).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await
    }

    fn set_log(&self, filter: &str) -> Response<String> {
        match self.shared.log.set(filter.trim()) {
            Ok(()) => {
                let filter = self.shared.log.words();
                tracing::info!(filter, "what is logged has changed");
                text(StatusCode::OK, &filter)
            }
            Err(why) => text(StatusCode::BAD_REQUEST, &why),
        }
    }

    fn metrics(&self) -> Response<String> {
        let mut text = String::new();
        let registry = self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // A text takes whatever is written to it.
        let _ = encode(&mut text, &registry);
        let mut response = Response::new(text);
        response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
        response
    }

    async fn answer<B>(&self, request: Request<B>, from: IpAddr) -> Response<String>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/live") => text(StatusCode::OK, "live"),
            (&Method::GET, "/ready") => {
                let is_serving = self.shared.health.get().is_some_and(Health::is_serving);
                if is_serving {
                    text(StatusCode::OK, "ready")
                } else {
                    text(StatusCode::SERVICE_UNAVAILABLE, "not serving")
                }
            }
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::GET, "/log") => text(StatusCode::OK, &self.shared.log.words()),
            (&Method::PUT, "/log") if !from.to_canonical().is_loopback() => {
                text(StatusCode::FORBIDDEN, "what is logged is changed from the same machine")
            }
            (&Method::PUT, "/log") => match Limited::new(request.into_body(), FILTER_BYTES_MAX).collect().await {
                Ok(filter) => self.set_log(&String::from_utf8_lossy(&filter.to_bytes())),
                Err(_) => text(StatusCode::PAYLOAD_TOO_LARGE, "a filter is shorter"),
            },
            (_, "/log") => text(StatusCode::METHOD_NOT_ALLOWED, "it can be read and put"),
            (_, "/live" | "/ready" | "/metrics") => text(StatusCode::METHOD_NOT_ALLOWED, "it can only be read"),
            _ => text(StatusCode::NOT_FOUND, "there are /live, /ready, /metrics and /log"),
        }
    }
}

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

fn text(code: StatusCode, words: &str) -> Response<String> {
    let mut response = Response::new(format!("{words}\n"));
    *response.status_mut() = code;
    response
}

/// Binds the side port, before anything else is started.
///
/// # Errors
/// The address is in use or not ours.
pub(crate) async fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(listen).await?;
    tracing::info!(address = %listener.local_addr()?, "the side port listens");
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::{EnvFilter, reload};

    #[tokio::test]
    async fn what_is_logged_is_changed_from_this_machine_only() {
        let (_layer, handle) = reload::Layer::new(EnvFilter::new("info"));
        let side = Side::new(LogFilter::new(handle));
        let put = async |from: &str, filter: &str| {
            let request = Request::builder().method(Method::PUT).uri("/log").body(filter.to_owned()).unwrap();
            side.answer(request, from.parse().unwrap()).await.status()
        };
        for from in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "10.0.0.1", "0.0.0.0"] {
            assert_eq!(put(from, "trace").await, StatusCode::FORBIDDEN, "{from}");
        }
        assert_eq!(side.shared.log.words(), "info");
        for (from, filter) in [("127.0.0.1", "debug"), ("::1", "warn"), ("::ffff:127.0.0.1", "error")] {
            assert_eq!(put(from, filter).await, StatusCode::OK, "{from}");
            assert_eq!(side.shared.log.words(), filter);
        }
        assert_eq!(put("127.0.0.1", &"a".repeat(FILTER_BYTES_MAX + 1)).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(put("127.0.0.1", "").await, StatusCode::BAD_REQUEST);
        assert_eq!(side.shared.log.words(), "error");
    }
}
