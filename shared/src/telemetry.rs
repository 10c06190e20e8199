//! Structured logs on standard error, and what of them is written, which can change while the process runs.

use clap::ValueEnum;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// The target of the audit log.
const AUDIT: &str = "audit";
/// Spans of these are traced; libraries have their own.
const OURS: [&str; 3] = ["shared", "ingest_service", "query_service"];

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// The filter behind that handle.
    pub(crate) fn new(handle: reload::Handle<EnvFilter, Registry>) -> Self {
        Self(handle)
    }

    /// The filter as it is, in the words that it was set with.
    pub fn words(&self) -> String {
        self.0.with_current(EnvFilter::to_string).unwrap_or_else(|error| error.to_string())
    }

    /// From now on this is logged, such as "info,shared=debug".
    ///
    /// # Errors
    /// Why it is no filter; nothing changes.
    pub fn set(&self, words: &str) -> Result<(), String> {
        if words.trim().is_empty() {
            return Err("a filter says what is logged, such as info,shared=debug".to_owned());
        }
        let filter = EnvFilter::try_new(words).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Starts logging for this process, and hands its spans to `tracer`, whatever is logged.
///
/// # Errors
/// A filter that is none, or logging that was started before.
pub(crate) fn init(
    format: LogFormat,
    filter: &str,
    tracer: Option<SdkTracer>,
) -> Result<LogFilter, Box<dyn std::error::Error + Send + Sync>> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    // A line that cannot be written must not be complained about on the same closed pipe: that would panic.
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let is_ours = |about: &Metadata<'_>| about.is_span() && OURS.iter().any(|name| about.target().starts_with(name));
    let spans = tracer.map(|tracer| {
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        layer.with_location(false).with_threads(false).with_filter(filter_fn(is_ours))
    });
    // Who was refused and who has read is said whatever else is, and always as JSON.
    let is_audit = |about: &Metadata<'_>| about.target() == AUDIT || about.is_span() && about.name() == "call";
    let audit = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false).json().flatten_event(true);
    let others = filter.and(filter_fn(|about| about.target() != AUDIT));
    let audited = audit.with_filter(filter_fn(is_audit));
    tracing_subscriber::registry().with(lines.with_filter(others)).with(audited).with(spans).try_init()?;
    Ok(LogFilter::new(handle))
}
