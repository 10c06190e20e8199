//! Load on the services: as fast as they answer, or at a rate of its own whatever they answer.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::{Code, Status};

/// What came of calls.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Calls that were made.
    pub offered: usize,
    /// Calls that were due and could not be made, because too many were open: the generator had no room or no time for more.
    pub unmade: usize,
    /// How long each accepted call took, shortest first.
    pub accepted: Vec<Duration>,
    /// Refusals of a service that has too much to do.
    pub refused: Vec<Status>,
    /// Anything else.
    pub failed: Vec<Status>,
    /// How long it was offered, and the last answers took to come.
    pub elapsed: Duration,
}

impl Outcome {
    /// Accepted calls a second.
    pub fn goodput(&self) -> u128 {
        self.accepted.len() as u128 * 1_000_000 / self.elapsed.as_micros().max(1)
    }

    /// The time within which that many in a thousand of the accepted calls were answered.
    pub fn within(&self, permille: usize) -> Duration {
        let index = self.accepted.len() * permille / 1_000;
        self.accepted.get(index.min(self.accepted.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    fn note(&mut self, (took, answer): (Duration, Result<(), Status>)) {
        self.offered += 1;
        match answer {
            Ok(()) => self.accepted.push(took),
            Err(status) if status.code() == Code::ResourceExhausted => self.refused.push(status),
            Err(status) => self.failed.push(status),
        }
    }

    fn finish(mut self, start: Instant) -> Self {
        self.elapsed = start.elapsed();
        self.accepted.sort_unstable();
        self
    }
}

async fn timed(call: impl Future<Output = Result<(), Status>>) -> (Duration, Result<(), Status>) {
    let begin = Instant::now();
    let answer = call.await;
    (begin.elapsed(), answer)
}

/// Callers that each make their next call when the one before is answered, for that long. Calls are numbered from 0 on in
/// steps of one for each caller.
///
/// # Panics
/// If a call panics.
pub async fn closed<F>(callers: usize, time: Duration, call: impl Fn(usize) -> F + Clone + Send + 'static) -> Outcome
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut done = Vec::new();
            for number in (caller..).step_by(callers) {
                if start.elapsed() >= time {
                    break;
                }
                done.push(timed(call(number)).await);
            }
            done
        });
    }
    let mut outcome = Outcome::default();
    while let Some(done) = tasks.join_next().await {
        done.expect("a caller does not panic").into_iter().for_each(|done| outcome.note(done));
    }
    outcome.finish(start)
}

/// So many calls a second, evenly, for that long, whether the ones before are answered or not: what callers do who do not
/// know of each other. Calls are numbered from 0 on. While `open_max` of them are open no more are made: else the generator
/// measures its own queue.
///
/// # Panics
/// If a call panics.
pub async fn open<F>(a_second: u128, open_max: usize, time: Duration, call: impl Fn(usize) -> F) -> Outcome
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let start = Instant::now();
    let (mut tasks, mut outcome, mut made) = (JoinSet::new(), Outcome::default(), 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    while start.elapsed() < time {
        ticks.tick().await;
        let due = usize::try_from(start.elapsed().as_micros() * a_second / 1_000_000).unwrap_or(usize::MAX);
        for number in made..due {
            if tasks.len() < open_max {
                tasks.spawn(timed(call(number)));
            } else {
                outcome.unmade += 1;
            }
        }
        made = made.max(due);
        while let Some(done) = tasks.try_join_next() {
            outcome.note(done.expect("a call does not panic"));
        }
    }
    while let Some(done) = tasks.join_next().await {
        outcome.note(done.expect("a call does not panic"));
    }
    outcome.finish(start)
}
