//! Starts the ingest-service and ends it.

use std::process::ExitCode;

use clap::Parser;
use ingest_service::config::Config;
use shared::process;

fn main() -> ExitCode {
    let config = Config::parse();
    let server = config.server.clone();
    match process::run(&server, |stop| ingest_service::run(config, stop)) {
        Ok(Ok(())) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "ended");
            ExitCode::from(error.exit_code())
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(71)
        }
    }
}
