//! What happens around every call: a request id, a deadline, one log line, and a place in the count of calls that a stop
//! waits for.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::{Instrument, Span, field::Empty};
use uuid::Uuid;

use crate::{
    admit::REFUSALS,
    limits::MESSAGE_BYTES_MAX,
    metrics::measured,
    model::fault::{Fault, Reason},
    status::{reason_name, status},
    trace,
};

/// When a call must have been answered. Handlers that wait find it in the extensions of their request.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// Answers early enough that the caller hears of it before its own clock runs out.
const ANSWER_MARGIN: Duration = Duration::from_millis(5);

const REQUEST_ID: &str = "x-request-id";

/// Calls that stay open as long as both sides like.
const STREAMS: [&str; 4] = [
    "/tonghop.v1.FeedService/Follow",
    "/tonghop.v1.IngestService/SubmitReports",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.",
];

/// Puts [`Call`] around a service.
#[derive(Clone, Debug)]
pub struct CallLayer {
    deadline_max: Duration,
    calls: TaskTracker,
}

impl CallLayer {
    /// Every unary call ends within `deadline_max`; `calls` counts those that are open.
    pub fn new(deadline_max: Duration, calls: TaskTracker) -> Self {
        Self { deadline_max, calls }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = Call<S>;

    fn layer(&self, inner: S) -> Call<S> {
        Call { inner, layer: self.clone() }
    }
}

/// A service with what happens around every call.
#[derive(Clone, Debug)]
pub struct Call<S> {
    inner: S,
    layer: CallLayer,
}

impl<S> Service<Request<Body>> for Call<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let id = request_id(request.headers());
        let path = request.uri().path().to_owned();
        // Lines of a call have it whatever is logged.
        let span = tracing::error_span!(
            "call",
            method = %path,
            request_id = id.to_str().unwrap_or_default(),
            trace_id = Empty,
            otel.name = Empty,
            otel.kind = Empty
        );
        trace::receive(&span, &path, request.headers());
        let (start, measured) = (Instant::now(), measured(&path));
        let is_stream = STREAMS.iter().any(|stream| path.starts_with(stream));
        let limit = (!is_stream).then(|| self.limit(request.headers()));
        if let Some(limit) = limit {
            request.extensions_mut().insert(Deadline(start + limit));
        }
        let open = self.layer.calls.token();
        let answer = self.inner.call(request);
        let call = async move {
            let answer = match limit {
                None => answer.await,
                Some(limit) => match tokio::time::timeout(limit, answer).await {
                    Ok(answer) => answer,
                    Err(_) => Ok(deadline_exceeded(limit)),
                },
            };
            drop(open);
            let mut answer = with_reason(answer?);
            let code = answer.headers().get(Status::GRPC_STATUS).and_then(|code| code.to_str().ok()).unwrap_or("0");
            tracing::debug!(parent: Span::current(), code, elapsed_us = start.elapsed().as_micros(), "call answered");
            answer.headers_mut().insert(REQUEST_ID, id);
            Ok(measured.until_taken(answer))
        };
        Box::pin(call.instrument(span))
    }
}

impl<S> Call<S> {
    fn limit(&self, headers: &HeaderMap) -> Duration {
        let asked = headers.get("grpc-timeout").and_then(|value| grpc_timeout(value.to_str().ok()?));
        let limit = asked.map_or(self.layer.deadline_max, |asked| asked.min(self.layer.deadline_max));
        limit.saturating_sub(ANSWER_MARGIN.min(limit / 10))
    }
}

/// The caller's id if it is short and printable, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| id.len() <= 128 && id.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        let id = Uuid::now_v7().to_string();
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Reads the header `grpc-timeout`: at most 8 digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Refusals of the server's own machinery carry no reason; they get one.
fn with_reason(answer: Response<Body>) -> Response<Body> {
    let refusal = Status::from_header_map(answer.headers()).filter(|refusal| refusal.details().is_empty());
    match refusal.as_ref().and_then(fault_of_refusal) {
        Some(fault) => status(&fault).into_http(),
        None => answer,
    }
}

/// What a refusal of the server's own machinery says, or one at which a message was not let through, where it is about what
/// the caller has sent.
pub fn fault_of_refusal(refusal: &Status) -> Option<Fault> {
    if let Some(name) = reason_name(refusal) {
        let reason = REFUSALS.into_iter().find(|reason| reason.name() == name)?;
        return Some(Fault::new(reason, refusal.message()));
    }
    let (reason, message) = match refusal.code() {
        Code::OutOfRange => (Reason::TooLarge, format!("a message has at most {MESSAGE_BYTES_MAX} bytes")),
        // Our own internal errors have a reason, so this is a message that could not be decoded.
        Code::Internal => {
            (Reason::MalformedMessage, format!("the message cannot be read: {}", shortened(refusal.message())))
        }
        Code::Unimplemented => {
            (Reason::UnknownMethod, "there is no such method; ask reflection what there is".to_owned())
        }
        _ => return None,
    };
    Some(Fault::new(reason, message))
}

/// Beginning and end of a text that may repeat itself a hundred times in between, as the path to a field does.
fn shortened(text: &str) -> String {
    const SIDE_CHARS: usize = 100;
    let count = text.chars().count();
    if count <= 2 * SIDE_CHARS {
        return text.to_owned();
    }
    let start: String = text.chars().take(SIDE_CHARS).collect();
    let end: String = text.chars().skip(count - SIDE_CHARS).collect();
    format!("{start} … {end}")
}

fn deadline_exceeded(limit: Duration) -> Response<Body> {
    let message = format!("not answered within {} ms; whether a write took place is not known", limit.as_millis());
    status(&Fault::new(Reason::DeadlineExceeded, message)).into_http()
}

/// The answer to a call whose handler panicked.
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("without a message"), "a handler panicked");
    status(&Fault::new(Reason::Internal, "an unexpected condition; the request id leads to the log")).into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(grpc_timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(grpc_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "m", "5", "5x", "123456789S", "-1S", "1.5S", "5đ"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        assert_eq!(shortened("short"), "short");
        let text = format!("Report.parts: {}: too deep", "Đ.parts: ".repeat(100));
        let shortened = shortened(&text);
        assert!(shortened.starts_with("Report.parts: ") && shortened.ends_with(": too deep"), "{shortened}");
        assert!(shortened.chars().count() <= 203);
    }

    type Answer = Result<Response<Body>, std::convert::Infallible>;

    async fn answer<F: Future<Output = Answer> + Send + 'static>(
        deadline_ms: u64,
        request: Request<Body>,
        handler: impl Fn(Request<Body>) -> F + Clone + Send + 'static,
    ) -> Response<Body> {
        let layers = tower::ServiceBuilder::new()
            .map_response(|response: Response<_>| response.map(Body::new))
            .layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked))
            .layer(CallLayer::new(Duration::from_millis(deadline_ms), TaskTracker::new()))
            .map_response(|response: Response<_>| response.map(Body::new))
            .layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked));
        match tower::ServiceExt::oneshot(layers.service_fn(handler), request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }

    fn request(path: &str, timeout: Option<&'static str>) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        if let Some(timeout) = timeout {
            request.headers_mut().insert("grpc-timeout", HeaderValue::from_static(timeout));
        }
        request
    }

    fn code(answer: &Response<Body>) -> Option<tonic::Code> {
        Status::from_header_map(answer.headers()).map(|status| status.code())
    }

    #[tokio::test]
    async fn a_call_ends_at_the_shorter_of_both_deadlines() {
        let never = |_| std::future::pending::<Answer>();
        for (deadline_ms, timeout) in [(20, None), (60_000, Some("20m")), (20, Some("1H"))] {
            let answer = answer(deadline_ms, request("/tonghop.v1.QueryService/GetShare", timeout), never).await;
            assert_eq!(code(&answer), Some(tonic::Code::DeadlineExceeded));
        }
    }

    #[tokio::test]
    async fn a_handler_knows_its_deadline_and_a_stream_has_none() {
        let has_deadline = |request: Request<Body>| async move {
            let has = request.extensions().get::<Deadline>().is_some();
            Ok(Response::builder().header("has-deadline", has.to_string()).body(Body::empty()).unwrap())
        };
        let unary = answer(1000, request("/tonghop.v1.QueryService/GetShare", None), has_deadline).await;
        assert_eq!(unary.headers()["has-deadline"], "true");
        let stream = answer(0, request("/tonghop.v1.FeedService/Follow", None), has_deadline).await;
        assert_eq!(stream.headers()["has-deadline"], "false");
    }

    #[tokio::test]
    async fn a_panic_is_answered_with_internal() {
        let panics =
            |_: Request<Body>| async { if true { panic!("as if a handler had a fault") } else { unreachable!() } };
        let answer = answer::<_>(1000, request("/tonghop.v1.QueryService/GetShare", None), panics).await;
        assert_eq!(code(&answer), Some(tonic::Code::Internal));
        assert!(answer.headers().contains_key(REQUEST_ID), "the id that leads to the log");
    }

    #[tokio::test]
    async fn what_the_machinery_refuses_has_a_reason_too() {
        for (refused, code_now, reason) in [
            (Code::OutOfRange, Code::InvalidArgument, "TOO_LARGE"),
            (Code::Internal, Code::InvalidArgument, "MALFORMED_MESSAGE"),
            (Code::Unimplemented, Code::Unimplemented, "UNKNOWN_METHOD"),
        ] {
            let refuse = move |_| async move { Ok(Status::new(refused, "as tonic does").into_http()) };
            let answer = answer(1000, request("/tonghop.v1.QueryService/GetShare", None), refuse).await;
            let status = Status::from_header_map(answer.headers()).unwrap();
            assert_eq!((status.code(), crate::status::reason_name(&status).as_deref()), (code_now, Some(reason)));
        }
    }

    #[tokio::test]
    async fn an_answer_carries_the_request_id_that_came_or_a_new_one() {
        let empty = |_| async { Ok(Response::new(Body::empty())) };
        let mut given = request("/tonghop.v1.QueryService/GetShare", None);
        given.headers_mut().insert(REQUEST_ID, HeaderValue::from_static("mine"));
        assert_eq!(answer(1000, given, empty).await.headers()[REQUEST_ID], "mine");
        let new = answer(1000, request("/tonghop.v1.QueryService/GetShare", None), empty).await;
        assert!(Uuid::try_parse(new.headers()[REQUEST_ID].to_str().unwrap()).is_ok());
    }
}
