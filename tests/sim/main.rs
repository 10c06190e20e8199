//! The pair inside one process: over a simulated network with a log in memory, and under random input.

mod access;
mod campaign;
mod clients;
mod feed_fold;
mod fuzz;
mod hosts;
mod net;
mod services;
mod world;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The seed of a run: that of `TONGHOP_TEST_SEED`, else any; it is printed.
fn seed() -> u64 {
    let seed = setting("TONGHOP_TEST_SEED").unwrap_or_else(|| rand::Rng::random_range(&mut rand::rng(), 0..1 << 32));
    println!("TONGHOP_TEST_SEED={seed}");
    seed
}
