//! Calls by their method: how many are open, how they end, how long they take until their answer has been taken.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{LazyLock, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};

use super::times;
use crate::admit::api_paths;

/// Codes from OK to UNAUTHENTICATED.
const CODES: usize = 17;

/// Methods beside those of the API.
const STANDARD: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Whatever is no method, whose names nobody limits.
const OTHER: &str = "other";

type ByMethod<M> = Family<[(&'static str, String); 1], M>;

pub(super) static CALLS: LazyLock<Calls> = LazyLock::new(Calls::new);

/// The calls of every method.
#[derive(Debug)]
pub(super) struct Calls {
    by_path: HashMap<String, Method>,
    other: Method,
    count: Family<[(&'static str, String); 2], Counter>,
    open: ByMethod<Gauge>,
    time: ByMethod<Histogram>,
}

#[derive(Debug)]
struct Method {
    name: String,
    open: Gauge,
    time: Histogram,
    /// Only codes that were answered are shown.
    by_code: [OnceLock<Counter>; CODES],
}

impl Calls {
    fn new() -> Self {
        let (open, time) = (ByMethod::<Gauge>::default(), ByMethod::<Histogram>::new_with_constructor(times));
        let method = |path: &str| {
            let name = path.trim_start_matches('/').to_owned();
            let label = [("method", name.clone())];
            let (open, time) = (open.get_or_create_owned(&label), time.get_or_create_owned(&label));
            Method { name, open, time, by_code: Default::default() }
        };
        let paths = api_paths().into_iter().chain(STANDARD.map(str::to_owned));
        let by_path = paths.map(|path| (path.clone(), method(&path))).collect();
        Self { by_path, other: method(OTHER), count: Family::default(), open, time }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Calls that have ended, by method and gRPC code", self.count.clone());
        registry.register("calls_open", "Open calls by method", self.open.clone());
        let help = "Time of a call until its answer has been taken; of a stream, until it has ended";
        registry.register("call_duration_seconds", help, self.time.clone());
    }
}

/// Measures a call from now on.
pub(crate) fn measured(path: &str) -> Measured {
    let calls = &*CALLS;
    let method = calls.by_path.get(path).unwrap_or(&calls.other);
    method.open.inc();
    Measured { method, begun: Instant::now(), code: None }
}

/// A call that is measured until this is dropped.
#[derive(Debug)]
pub(crate) struct Measured {
    method: &'static Method,
    begun: Instant,
    code: Option<Code>,
}

impl Measured {
    fn note(&mut self, headers: &HeaderMap) {
        self.code = headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes())).or(self.code);
    }

    /// The answer, which is measured until it has been taken, or its reader has left.
    pub(crate) fn until_taken(mut self, answer: Response<Body>) -> Response<Body> {
        self.note(answer.headers());
        answer.map(|body| Body::new(MeasuredBody { body, measured: self }))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.method.open.dec();
        self.method.time.observe(self.begun.elapsed().as_secs_f64());
        // Nobody has heard how it ended: the caller has left.
        let code = self.code.unwrap_or(Code::Cancelled);
        let count = self.method.by_code.get(code as usize).map(|count| {
            count.get_or_init(|| {
                let labels = [("method", self.method.name.clone()), ("code", format!("{code:?}"))];
                CALLS.count.get_or_create_owned(&labels)
            })
        });
        if let Some(count) = count {
            count.inc();
        }
    }
}

struct MeasuredBody {
    body: Body,
    measured: Measured,
}

impl http_body::Body for MeasuredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.measured.note(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => self.measured.code = Some(status.code()),
            Poll::Ready(None) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_method_has_one_name() {
        let before = CALLS.by_path.len();
        for path in ["/", "/a/b", "/tonghop.v1.QueryService/Nothing", ""] {
            assert_eq!(measured(path).method.name, OTHER);
        }
        assert_eq!(CALLS.by_path.len(), before);
        assert_eq!(measured("/tonghop.v1.QueryService/GetShare").method.name, "tonghop.v1.QueryService/GetShare");
    }

    #[test]
    fn a_call_that_nobody_waits_for_any_more_is_cancelled() {
        let count = || {
            let labels = [("method", "grpc.health.v1.Health/Watch".to_owned()), ("code", "Cancelled".to_owned())];
            CALLS.count.get(&labels).map_or(0, |count| count.get())
        };
        let before = count();
        drop(measured("/grpc.health.v1.Health/Watch"));
        drop(measured("/grpc.health.v1.Health/Watch").until_taken(Response::new(Body::empty())));
        assert_eq!(count(), before + 2);
    }
}
