//! What the observations cost in memory, and how soon a restarted service is back.

use std::{error::Error, time::Duration};

use super::{
    Options,
    goals::{Bound, Goals, Milli},
    latency::per_second,
    stage::{Loaded, Stage, resident_bytes},
};
use crate::workload::{FLAGS, Size, Workload};

/// Loads a workload, and compares the memory of a freshly started query-service without and with its observations.
///
/// # Errors
/// A refusal.
pub async fn memory(stage: &mut Stage, goals: &mut Goals) -> Result<Loaded, Box<dyn Error>> {
    let (loaded, used) = fill(stage).await?;
    let bound = Bound::AtMost(Milli::whole(4));
    goals.measured(
        "memory of the index",
        Milli::ratio(used.bytes, loaded.observations),
        bound,
        "bytes/observation",
        used.detail,
    );
    Ok(loaded)
}

/// The same for a workload of flags alone.
///
/// # Errors
/// A refusal.
pub async fn flags(options: &Options, goals: &mut Goals) -> Result<(), Box<dyn Error>> {
    let size = Size { units: options.units, indicators: FLAGS, quarters: options.quarters, seed: options.seed };
    let mut stage = Stage::start(Workload::new(size)).await?;
    let (loaded, used) = fill(&mut stage).await?;
    let bound = Bound::AtMost(Milli::whole(4));
    goals.measured(
        "memory of a flag",
        Milli::ratio(used.bytes * 8, loaded.observations),
        bound,
        "bits/observation",
        used.detail,
    );
    Ok(())
}

struct Used {
    bytes: u64,
    detail: String,
}

async fn fill(stage: &mut Stage) -> Result<(Loaded, Used), Box<dyn Error>> {
    stage.restart_query().await?;
    let empty = resident_bytes(&stage.query)?;
    let loaded = stage.fill().await?;
    let grown = resident_bytes(&stage.query)?;
    stage.restart_query().await?;
    let full = resident_bytes(&stage.query)?;
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let detail = format!(
        "{} observations; resident after a start {} MiB, without observations {} MiB; while following {} MiB",
        loaded.observations,
        mib(full),
        mib(empty),
        mib(grown)
    );
    Ok((loaded, Used { bytes: full.saturating_sub(empty), detail }))
}

/// How soon a query-service is ready with its checkpoint and without it, and an ingest-service.
///
/// # Errors
/// One is not ready.
pub async fn restarts(stage: &mut Stage, loaded: &Loaded, goals: &mut Goals) -> Result<(), Box<dyn Error>> {
    let took = stage.restart_query().await?;
    let detail = format!("{} observations", loaded.observations);
    goals.measured("query-service ready after a restart", seconds(took), Bound::AtMost(Milli::whole(1)), "s", detail);
    let took = stage.rebuild_query().await?;
    let rate = per_second(loaded.observations, took);
    let detail = format!("{} observations in {} s, process start included", loaded.observations, seconds(took));
    let bound = Bound::AtLeast(Milli::whole(2_000_000));
    goals.measured("query-service rebuilt from the log", Milli::whole(rate), bound, "observations/s", detail);
    Ok(())
}

/// How soon an ingest-service is ready after a restart.
pub fn restart_ingest(stage: &mut Stage, reports: u64, goals: &mut Goals) {
    let took = stage.restart_ingest();
    let units = stage.load.size.units;
    let name = format!("ingest-service ready after a restart, {units} units");
    goals.measured(name, seconds(took), Bound::AtMost(Milli::whole(2)), "s", format!("{reports} reports"));
}

/// A time in seconds.
fn seconds(took: Duration) -> Milli {
    Milli::thousandths(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}
