//! Starts the ingest-service and ends it.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use ingest_service::{
    backup::{self, Source},
    config::{Command, Config},
    maintenance,
    transfer::{self, TransferError, Transferred},
};
use shared::{model::log::Revision, process, side::ask};

fn main() -> ExitCode {
    let mut config = Config::parse();
    let Some(command) = config.command.take() else { return serve(config) };
    if let Err(error) = process::set_fault_points(&config.server) {
        eprintln!("{error}");
        return ExitCode::from(64);
    }
    match command {
        Command::Ask(ask) => answered(ask::run(&ask, config.server.side_listen)),
        Command::Export { to } => report(export(&config.data, &to).map(|done| format!("exported {done}"))),
        Command::Backup { ingest, client, to } => {
            let source = Source { ingest, files: client.files() };
            report(backup::backup(&source, &to).map(|done| format!("backed up {done}")))
        }
        Command::Import { from, until } => {
            report(import(&config.data, &from, until.map(Into::into)).map(|done| format!("imported {done}")))
        }
        Command::Verify => report(maintenance::verify(&config.data).map(|found| format!("verified {found}"))),
        Command::Compact => {
            report(maintenance::compact(&config.data).map(|(before, after)| format!("was {before}\nis {after}")))
        }
        Command::NewEpoch => report(maintenance::begin_epoch(&config.data).map(|begun| format!("begun {begun}"))),
    }
}

fn serve(config: Config) -> ExitCode {
    let server = config.server.clone();
    match process::run(env!("CARGO_PKG_NAME"), &server, |stop, side| ingest_service::run(config, stop, side)) {
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

fn export(data: &Path, to: &Path) -> Result<Transferred, TransferError> {
    if to == Path::new("-") {
        return transfer::export(data, &mut BufWriter::new(io::stdout().lock()));
    }
    transfer::export_to_file(data, to)
}

fn import(data: &Path, from: &Path, until: Option<Revision>) -> Result<Transferred, TransferError> {
    if from == Path::new("-") {
        return transfer::import(data, &mut BufReader::new(io::stdin().lock()), until);
    }
    transfer::import(data, &mut BufReader::new(File::open(from)?), until)
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

fn report(outcome: Result<String, TransferError>) -> ExitCode {
    match outcome {
        Ok(done) => {
            eprintln!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}
