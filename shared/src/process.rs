//! A service as a process: logs, a runtime, and a stop when the orchestrator says so.

use std::time::Duration;

use crate::{
    config::ServerConfig,
    serve::{Stop, stop_signal, survive_file_size_limit},
    telemetry,
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

/// Runs a service until it ends by itself or SIGTERM or SIGINT tells it to; answers how it ended.
///
/// # Errors
/// [`StartError`] if there is nothing to run it in.
pub fn run<F: Future>(config: &ServerConfig, service: impl FnOnce(Stop) -> F) -> Result<F::Output, StartError> {
    telemetry::init(config.log_format, &config.log).map_err(StartError::Logging)?;
    set_fault_points(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stop = Stop::default();
    let token = stop.token.clone();
    let guard = runtime.enter();
    survive_file_size_limit()?;
    drop(guard);
    runtime.spawn(async move {
        match stop_signal().await {
            Ok(signal) => tracing::info!(signal, "stopping"),
            Err(error) => tracing::error!(%error, "cannot wait for signals"),
        }
        token.cancel();
    });
    let ended = runtime.block_on(service(stop));
    runtime.shutdown_timeout(LAST_MOMENT);
    Ok(ended)
}
