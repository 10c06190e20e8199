//! `cargo national`: every goal for the national workload, measured in one run.

use std::error::Error;

use clap::Parser;
use tests::national::{self, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    national::run(Options::parse()).await
}
