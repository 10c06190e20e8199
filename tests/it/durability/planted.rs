//! Bugs that are planted in the service, in debug builds only. The campaign must find each of them, or it finds nothing.

use super::{Plan, damaged::harm, kills::torment, power::cut_power};

/// So many runs may pass before a bug is found.
const RUNS_MAX: usize = 6;

/// Runs until something is found.
fn must_find(bug: &str, run: impl Fn(u64) -> Result<(), String>) {
    let plan = Plan::of("planted", "TONGHOP_TEST_PLANTED", RUNS_MAX);
    for seed in plan.seeds(plan.count) {
        if let Err(what) = run(seed) {
            println!("{bug}: seed {seed} finds: {}", what.lines().next().unwrap_or_default());
            return;
        }
    }
    panic!("{bug} was not found in {} runs from seed {} on", plan.count, plan.seed);
}

#[test]
fn kills_find_a_planted_acknowledgement_before_the_flush() {
    must_find("acknowledge_before_flush", |seed| torment(seed, 8, "acknowledge_before_flush=return").map(drop));
}

#[test]
fn kills_find_a_planted_hole_in_the_rule_of_expected_revisions() {
    must_find("skip_expected_revision", |seed| torment(seed, 3, "skip_expected_revision=return").map(drop));
}

#[test]
fn power_cuts_find_a_planted_lack_of_fdatasync() {
    must_find("drop_fdatasync", |seed| cut_power(seed, 10, "drop_fdatasync=return").map(drop));
}

#[test]
fn damage_finds_a_planted_head_that_is_not_written() {
    must_find("head_not_written", |seed| harm(seed, 50, "head_not_written=return").map(drop));
}

#[test]
fn damage_finds_a_planted_head_that_is_ignored() {
    must_find("head_ignored", |seed| harm(seed, 50, "head_ignored=return").map(drop));
}

#[test]
fn damage_finds_a_planted_lack_of_the_chain_check_at_the_start() {
    must_find("skip_chain_check", |seed| harm(seed, 50, "skip_chain_check=return").map(drop));
}
