//! Starts the query-service and ends it.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use query_service::config::Config;
use shared::{
    serve::{Stop, stop_signal},
    telemetry,
};

fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(error) = telemetry::init(config.server.log_format, &config.server.log) {
        eprintln!("cannot start logging: {error}");
        return ExitCode::from(64);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::from(71);
        }
    };
    let stop = Stop::default();
    let token = stop.token.clone();
    runtime.spawn(async move {
        match stop_signal().await {
            Ok(signal) => tracing::info!(signal, "stopping"),
            Err(error) => tracing::error!(%error, "cannot wait for signals"),
        }
        token.cancel();
    });
    let ended = runtime.block_on(query_service::run(config, stop));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "ended");
            ExitCode::from(error.exit_code())
        }
    }
}
