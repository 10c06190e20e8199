//! How long calls take, and how many of them there are in a second.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tonic::Status;

/// Times of single calls, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Times {
    sorted: Vec<u64>,
    open: Vec<u64>,
}

impl Times {
    /// Notes one.
    pub fn note(&mut self, took: Duration) {
        self.open.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The time that so many of a thousand calls do not exceed.
    pub fn quantile(&mut self, of_thousand: usize) -> u64 {
        if !self.open.is_empty() {
            self.sorted.append(&mut self.open);
            self.sorted.sort_unstable();
        }
        let rank = (self.sorted.len() * of_thousand).div_ceil(1000);
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The median.
    pub fn p50(&mut self) -> u64 {
        self.quantile(500)
    }

    /// What one call in a hundred exceeds.
    pub fn p99(&mut self) -> u64 {
        self.quantile(990)
    }
}

/// Nanoseconds as microseconds, with one digit.
pub fn micros(nanos: u64) -> String {
    format!("{}.{} µs", nanos / 1000, nanos / 100 % 10)
}

/// Times of the calls of one client, one after the other.
///
/// # Errors
/// The first refusal.
pub async fn one_by_one<F>(times: &mut Times, count: usize, mut call: impl FnMut() -> F) -> Result<(), Status>
where
    F: Future<Output = Result<(), Status>>,
{
    for _ in 0..count {
        let start = Instant::now();
        call().await?;
        times.note(start.elapsed());
    }
    Ok(())
}

/// Calls a second of many clients, each of which calls again as soon as it has its answer. `client` makes the calls of
/// one of them; it is told which one and which call.
///
/// # Errors
/// The first refusal.
///
/// # Panics
/// If a client panics.
pub async fn rate<C, F>(clients: usize, lasting: Duration, client: impl Fn(usize) -> C) -> Result<u64, Status>
where
    C: FnMut(usize) -> F + Send + 'static,
    F: Future<Output = Result<(), Status>> + Send,
{
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for number in 0..clients {
        let mut call = client(number);
        tasks.spawn(async move {
            let mut count = 0_u64;
            while start.elapsed() < lasting {
                call(usize::try_from(count).unwrap_or_default()).await?;
                count += 1;
            }
            Ok::<u64, Status>(count)
        });
    }
    let mut total = 0;
    while let Some(done) = tasks.join_next().await {
        total += done.expect("a client panicked")?;
    }
    Ok(per_second(total, start.elapsed()))
}

/// So many in that time, a second.
pub fn per_second(count: u64, took: Duration) -> u64 {
    let nanos = took.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}
