//! Starts the ingest-service and ends it.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use ingest_service::{
    config::{Command, Config},
    transfer::{self, TransferError, Transferred},
};
use shared::process;

fn main() -> ExitCode {
    let mut config = Config::parse();
    match config.command.take() {
        None => serve(config),
        Some(Command::Export { to }) => report("exported", export(&config.data, &to)),
        Some(Command::Import { from }) => report("imported", import(&config.data, &from)),
    }
}

fn serve(config: Config) -> ExitCode {
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

fn export(data: &Path, to: &Path) -> Result<Transferred, TransferError> {
    if to == Path::new("-") {
        return transfer::export(data, &mut BufWriter::new(io::stdout().lock()));
    }
    transfer::export_to_file(data, to)
}

fn import(data: &Path, from: &Path) -> Result<Transferred, TransferError> {
    if from == Path::new("-") {
        return transfer::import(data, &mut BufReader::new(io::stdin().lock()));
    }
    transfer::import(data, &mut BufReader::new(File::open(from)?))
}

fn report(done: &str, outcome: Result<Transferred, TransferError>) -> ExitCode {
    match outcome {
        Ok(Transferred { store, last }) => {
            eprintln!("{done} store {store} up to revision {}", last.revision);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}
