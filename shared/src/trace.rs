//! Traces by OpenTelemetry: a span for each call, in the trace of its caller (W3C `traceparent`), and for what it leads to in
//! the other service. Nothing is traced unless there is somewhere to send it.
//!
//! Spans are sent in the background, from a queue that is bounded: where nobody takes them they are dropped, and nothing
//! waits for them.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::HeaderMap;
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";
/// Spans wait at most that long for others to be sent with.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// A collector that takes longer is given up for this time.
const SEND_MAX: Duration = Duration::from_secs(3);
/// At the end of the process, what is left is sent within that time or not at all.
const LAST_SPANS_MAX: Duration = Duration::from_secs(1);

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Whether spans are sent anywhere.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// Sends spans until it is told that the process ends.
#[derive(Debug)]
pub(crate) struct Sending(SdkTracerProvider);

impl Sending {
    /// Begins to send spans of that service to a collector; of the calls that bring no decision of their caller, so many
    /// hundredths are traced. To be called within a runtime, which the connection belongs to.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub(crate) fn begin(
        service: &'static str,
        endpoint: &str,
        percent: u8,
    ) -> Result<(Self, SdkTracer), ExporterBuildError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(SEND_MAX).build()?;
        let batches = BatchConfigBuilder::default().with_scheduled_delay(SEND_EVERY).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        #[allow(clippy::float_arithmetic, reason = "the library takes a fraction")]
        let sampler = Sampler::TraceIdRatioBased(f64::from(percent) / 100.0);
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(Resource::builder().with_service_name(service).with_attribute(version).build())
            .build();
        let tracer = provider.tracer(service);
        IS_ON.store(true, Ordering::Relaxed);
        Ok((Self(provider), tracer))
    }

    /// Sends what is left, within a bounded time. Blocks; the runtime has to run.
    pub(crate) fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS_MAX) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Puts the span of a call into the trace of its caller, and notes the id of the trace in the span's lines.
pub(crate) fn receive(span: &Span, method: &str, headers: &HeaderMap) {
    let caller = headers.contains_key(TRACEPARENT).then(|| context(&Headers(headers)));
    if is_on() {
        if let Some(caller) = caller {
            // It fails only for spans that nobody looks at.
            let _ = span.set_parent(caller);
        }
        span.record("otel.name", method.trim_start_matches('/'));
        span.record("otel.kind", "server");
        note_trace(span, &span.context());
    } else if let Some(caller) = caller {
        note_trace(span, &caller);
    }
}

fn note_trace(span: &Span, context: &Context) {
    let context = context.span().span_context().clone();
    if context.is_valid() {
        span.record("trace_id", tracing::field::display(context.trace_id()));
    }
}

/// What others need to go on with the trace of the current span, as a `traceparent`; none if it is not traced.
pub fn current() -> Option<String> {
    if !is_on() {
        return None;
    }
    let context = Span::current().context();
    let is_traced = context.span().span_context().is_sampled();
    let mut headers: HashMap<String, String> = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut headers);
    headers.remove(TRACEPARENT).filter(|_| is_traced)
}

/// Puts a span into the trace that a `traceparent` names; one that cannot be read changes nothing.
pub fn go_on(span: &Span, traceparent: &str) {
    // It fails only for spans that nobody looks at.
    let _ = span.set_parent(context(&Named(traceparent)));
}

fn context(from: &dyn Extractor) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), from)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Named<'a>(&'a str);

impl Extractor for Named<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}
