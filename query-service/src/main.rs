//! Starts the query-service and ends it.

use std::process::ExitCode;

use clap::Parser;
use query_service::{
    checkpoint::Checkpoint,
    config::{Command, Config},
};
use shared::{process, side::ask};

fn main() -> ExitCode {
    let mut config = Config::parse();
    match config.command.take() {
        Some(Command::Ask(ask)) => answered(ask::run(&ask, config.server.side_listen)),
        Some(Command::Rebuild) => match Checkpoint::discard(&config.data) {
            Ok(()) => {
                eprintln!("the next start reads the log again");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("the checkpoint in {} cannot be thrown away: {error}", config.data.display());
                ExitCode::from(73)
            }
        },
        None => serve(config),
    }
}

fn serve(config: Config) -> ExitCode {
    let server = config.server.clone();
    match process::run(env!("CARGO_PKG_NAME"), &server, |stop, side| query_service::run(config, stop, side)) {
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
            ExitCode::from(error.exit_code())
        }
    }
}

fn answered(answer: Result<String, String>) -> ExitCode {
    match answer {
        Ok(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
