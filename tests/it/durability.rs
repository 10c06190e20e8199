//! The campaign for durability: processes are killed, the power is cut, calls fail, stored bytes change, and a model outside
//! says what must still be there. `tests/FAULTS.md` has the commands and what is covered where.
//!
//! Every part has a short form, which runs always, and takes a number from the environment for a long one. A failure prints
//! the seed and the command that repeats it.

mod calls;
mod damaged;
mod kept;
mod kills;
mod model;
mod planted;
mod power;
mod writers;

use std::fmt;

use rand::Rng;

const RUNS_AT_ONCE: usize = 2;

/// Runs what waits for services on the thread that asks for it.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A directory for tests to which it does not matter what the disk does: in memory, where that can be had.
pub fn directory_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A run that has found something, and how to repeat it.
pub struct Found {
    pub seed: u64,
    pub what: String,
}

/// How much of a part is run, and from which seed on.
pub struct Plan {
    pub seed: u64,
    pub count: usize,
    /// The test and the variable with the count.
    test: &'static str,
    variable: &'static str,
}

impl Plan {
    /// The short form, unless the environment asks for more.
    pub fn of(test: &'static str, variable: &'static str, count: usize) -> Self {
        let seed = setting("TONGHOP_TEST_SEED").unwrap_or_else(|| rand::rng().random());
        let count = setting(variable).map_or(count, |count| usize::try_from(count).unwrap());
        println!("TONGHOP_TEST_SEED={seed} {variable}={count}");
        Self { seed, count, test, variable }
    }

    /// The seeds of so many runs.
    pub fn seeds(&self, runs: usize) -> Vec<u64> {
        (0..runs).map(|run| self.seed.wrapping_add(u64::try_from(run).unwrap())).collect()
    }

    /// Runs every seed, some at a time, each on a thread of its own; ends the test at the first that finds something.
    pub fn run<T: Send>(&self, seeds: &[u64], count: usize, run: impl Fn(u64) -> Result<T, String> + Sync) -> Vec<T> {
        let mut all = Vec::new();
        for seeds in seeds.chunks(RUNS_AT_ONCE) {
            let results = std::thread::scope(|scope| {
                let threads: Vec<_> = seeds.iter().map(|seed| scope.spawn(|| run(*seed))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            for (seed, result) in seeds.iter().zip(results) {
                all.push(result.unwrap_or_else(|what| self.fail(&Found { seed: *seed, what }, count)));
            }
        }
        all
    }

    /// Ends the test.
    pub fn fail(&self, found: &Found, count: usize) -> ! {
        let Self { test, variable, .. } = self;
        let Found { seed, what } = found;
        panic!(
            "{what}\nTONGHOP_TEST_SEED={seed} {variable}={count} cargo test -p tests --test it -- {test} --nocapture"
        )
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
