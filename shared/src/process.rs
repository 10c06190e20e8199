//! A service as a process: logs, a runtime, and a stop when the orchestrator says so.

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::ServerConfig,
    serve::{Stop, stop_signal, survive_file_size_limit},
    side::{self, Side},
    telemetry,
    trace::Sending,
};

/// Threads that still block when the service has ended are given that long.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logging cannot be started.
    #[error("cannot start logging: {0}")]
    Logging(Box<dyn std::error::Error + Send + Sync>),
    /// The words about fault points cannot be understood.
    #[error("cannot set the fault points: {0}")]
    FaultPoints(String),
    /// The runtime cannot be started.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// Traces cannot be sent to that.
    #[error("cannot send traces to {0}: {1}")]
    Traces(String, opentelemetry_otlp::ExporterBuildError),
    /// The address of the side port cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
}

impl StartError {
    /// Exit code of the process, after `sysexits.h`: 69 address, 71 everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bind(..) => 69,
            Self::Logging(_) | Self::Traces(..) | Self::FaultPoints(_) | Self::Runtime(_) => 71,
        }
    }
}

/// Sets what a test wants to happen at fault points, which only a debug binary has.
///
/// # Errors
/// [`StartError::FaultPoints`] if it cannot be understood.
pub fn set_fault_points(config: &ServerConfig) -> Result<(), StartError> {
    #[cfg(debug_assertions)]
    crate::fault_point::configure(&config.fault_points).map_err(StartError::FaultPoints)?;
    #[cfg(not(debug_assertions))]
    let _ = config;
    Ok(())
}

/// Runs the service of that name until it ends by itself or SIGTERM or SIGINT tells it to; answers how it ended. The side port answers from
/// before the service starts until it has ended.
///
/// # Errors
/// [`StartError`] if there is nothing to run it in.
pub fn run<F: Future>(
    name: &'static str,
    config: &ServerConfig,
    service: impl FnOnce(Stop, Side) -> F,
) -> Result<F::Output, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (sending, tracer) = match config.otlp_endpoint() {
        Some(endpoint) => {
            let _guard = runtime.enter();
            let begun = Sending::begin(name, endpoint, config.trace_percent);
            let (sending, tracer) = begun.map_err(|error| StartError::Traces(endpoint.to_owned(), error))?;
            (Some(sending), Some(tracer))
        }
        None => (None, None),
    };
    let log = telemetry::init(config.log_format, &config.log, tracer).map_err(StartError::Logging)?;
    set_fault_points(config)?;
    let stop = Stop::default();
    let token = stop.token.clone();
    let guard = runtime.enter();
    survive_file_size_limit()?;
    drop(guard);
    let side = Side::new(log);
    if let Some(listen) = config.side_listen {
        let listener = runtime.block_on(side::bind(listen)).map_err(|error| StartError::Bind(listen, error))?;
        runtime.spawn(side.clone().serve(listener));
    }
    runtime.spawn(async move {
        match stop_signal().await {
            Ok(signal) => tracing::info!(signal, "stopping"),
            Err(error) => tracing::error!(%error, "cannot wait for signals"),
        }
        token.cancel();
    });
    let ended = runtime.block_on(service(stop, side));
    if let Some(sending) = sending {
        sending.end();
    }
    runtime.shutdown_timeout(LAST_MOMENT);
    Ok(ended)
}
