//! `cargo national`: the national workload against the real services, and every goal for it in one run.
//!
//! Two bounds are measured beside: the canned RPC, a plain tonic server that answers the same bytes, and bare sled, which
//! writes the same values. Times are of this machine, ratios mean more. Before anything is timed, every answer is compared
//! with plain arithmetic over the workload.

pub mod answers;
pub mod canned;
pub mod disk;
pub mod goals;
pub mod inside;
pub mod latency;
pub mod others;
pub mod question;
pub mod raw;
pub mod stage;
pub mod store;
pub mod submit;
pub mod writes;

use std::{error::Error, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use self::{goals::Goals, stage::Stage};
use crate::{
    harness::workspace,
    workload::{REPORT_OBSERVATIONS, Size, Workload, answers::RATIO},
};

/// Measure every goal with the national workload
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Units that report
    #[arg(long, default_value_t = 10_035)]
    pub units: usize,

    /// Indicators; 32 or more, because the ratio is of 30 and 31
    #[arg(long, default_value_t = 40)]
    pub indicators: usize,

    /// Quarters; 4 or more, because the ratio is of a year
    #[arg(long, default_value_t = 40)]
    pub quarters: usize,

    /// Units of the larger workload of one quarter, beside which growth is measured
    #[arg(long, default_value_t = 1_000_000)]
    pub grow: usize,

    /// Another seed makes another workload
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Calls of each question by one client, to us and to the canned RPC each
    #[arg(long, default_value_t = 2_000)]
    pub calls: usize,

    /// How long each rate is measured, in seconds
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,

    /// A small run, for trying: 2,000 units, 4 quarters, growth to 10,035 units, 200 calls, 2 seconds
    #[arg(long)]
    pub small: bool,

    /// What the program does as a child of itself
    #[command(subcommand)]
    pub role: Option<Role>,
}

/// What the program does as a child of itself.
#[derive(Clone, Debug, Subcommand)]
#[command(hide = true)]
pub enum Role {
    /// Serves answers that were computed beforehand
    Canned {
        /// The answers
        answers: PathBuf,
    },
}

impl Options {
    fn sized(mut self) -> Self {
        if self.small {
            (self.units, self.quarters, self.grow) = (2_000, 4, 10_035);
            (self.calls, self.seconds) = (200, 2);
        }
        self
    }

    fn size(&self) -> Size {
        Size { units: self.units, indicators: self.indicators, quarters: self.quarters, seed: self.seed }
    }

    /// How long each rate is measured.
    pub fn lasting(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Said of answers that are not remembered from the time before.
const ANEW: &str = ", computed anew";

/// Measures everything, prints it, and writes `target/national.json`.
///
/// # Errors
/// A service refuses, or answers wrongly.
pub async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    if let Some(Role::Canned { answers }) = &options.role {
        return canned::serve(answers).await;
    }
    let options = options.sized();
    if options.indicators <= RATIO.1 || options.quarters < 4 {
        return Err("the ratio of a year needs at least 32 indicators and 4 quarters".into());
    }
    let mut goals = Goals::default();

    println!("Registering {} units …", options.units);
    let mut stage = Stage::start(Workload::new(options.size())).await?;
    let loaded = store::memory(&mut stage, &mut goals).await?;
    println!(
        "Loaded {} observations in {} reports: {} observations a second",
        loaded.observations,
        loaded.reports,
        loaded.observations_per_second()
    );
    store::flags(&options, &mut goals).await?;
    store::restarts(&mut stage, &loaded, &mut goals).await?;

    let questions = question::all(&stage.load);
    stage.check(&questions).await?;
    println!("All {} answers are those of plain arithmetic.", questions.len());
    match others::check(&stage.load, &questions)? {
        Ok(()) => println!("They are those of the other engines in target/compare.json."),
        Err(why) => println!("They are not compared with other engines: {why}."),
    }
    let canned = answers::canned(&stage, &questions).await?;
    for how in ["", ANEW] {
        if how == ANEW {
            stage.restart_forgetful().await?;
        }
        answers::one_client(&stage, &canned, &questions, (options.calls, how), &mut goals).await?;
        answers::many_clients(&stage, &canned, &questions, (options.lasting(), how), &mut goals).await?;
    }
    answers::inside(&stage, &questions, options.calls, &mut goals).await?;
    let larger = Size { units: options.grow, indicators: REPORT_OBSERVATIONS, quarters: 1, seed: options.seed };
    answers::growth(&stage, Workload::new(larger), options.calls, &mut goals).await?;
    store::restart_ingest(&mut stage, loaded.reports, &mut goals);

    stage.restart_query().await?;
    let writes = writes::measure(&mut stage, &canned, &loaded, options.lasting(), &mut goals).await?;
    writes::against_sled(&mut stage, &loaded, &writes, &mut goals)?;

    println!("\n{}", goals.table());
    let path = workspace().join("target/national.json");
    goals.write(&path)?;
    println!("written to {}", path.display());
    Ok(())
}
