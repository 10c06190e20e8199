//! The pair under partitions, lost and late messages and crashes. After every storm the network is repaired, and the
//! query-service has to come to know all of the log.
//!
//! `TONGHOP_TEST_SEED` replays a run, `TONGHOP_SIM_HOURS` asks for more simulated hours.

use std::{rc::Rc, sync::Arc, time::Duration};

use ingest_service::log::{Log, memory::MemoryLog};
use rand::Rng;
use turmoil::{Builder, Sim};

use crate::{
    clients,
    hosts::{self, Bug},
    net::{self, choose, up_to},
    seed, setting,
    world::{Shared, World, disk},
};

/// Simulated hours of a run.
const HOURS: u64 = 5;
/// One simulation, with a log of its own.
const ROUND: Duration = Duration::from_secs(30 * 60);
/// Of it a storm, and then calm.
const STORM: Duration = Duration::from_secs(8 * 60);
/// Longer than any back-off, deadline and silence after one another.
const CALM: Duration = Duration::from_secs(2 * 60);
const TICK: Duration = Duration::from_millis(100);
const HOSTS: [&str; 5] = ["ingest", "query", "writer-a", "writer-b", "reader"];

/// Figures of a campaign.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    acknowledged: usize,
    answers: u64,
    crashes: u64,
    misfortunes: u64,
    query_starts: u32,
}

struct Storm<'a> {
    sim: Sim<'a>,
    world: Shared,
    disk: Arc<MemoryLog>,
    seen: Seen,
}

impl Storm<'_> {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        net::seed(seed);
        let (world, disk) = (Rc::new(World::default().into()), disk());
        let mut sim = Builder::new()
            .tick_duration(TICK)
            .simulation_duration(ROUND * 2)
            .max_message_latency(Duration::from_millis(200))
            .tcp_capacity(1024)
            .rng_seed(seed)
            .build();
        if bug == Some(Bug::DiskLies) {
            disk.lie();
        }
        let log = disk.clone();
        sim.host("ingest", move || hosts::ingest(log.clone(), bug));
        let shared: Shared = Rc::clone(&world);
        sim.host("query", move || hosts::query(shared.clone()));
        for name in ["writer-a", "writer-b"] {
            sim.client(name, clients::writer(world.clone(), name));
        }
        sim.client("reader", clients::reader(world.clone()));
        Self { sim, world, disk, seen: Seen::default() }
    }

    fn run(&mut self, time: Duration) {
        let end = self.sim.elapsed() + time;
        while self.sim.elapsed() < end {
            self.sim.step().expect("hosts and clients run for ever");
        }
    }

    /// One misfortune after another.
    fn storm(&mut self) {
        let end = self.sim.elapsed() + STORM;
        while self.sim.elapsed() < end {
            self.run(up_to(Duration::from_secs(30)));
            let [a, b] = choose(|random| {
                let pairs = [["ingest", "query"], ["ingest", "writer-a"], ["query", "writer-b"], ["query", "reader"]];
                pairs[random.random_range(0..pairs.len())]
            });
            match choose(|random| random.random_range(0..8)) {
                0 => self.sim.partition(a, b),
                1 => self.sim.partition_oneway(a, b),
                2 => self.sim.partition_oneway(b, a),
                3 => self.sim.hold(a, b),
                4 => self.sim.set_link_fail_rate(a, b, 0.05),
                5 => self.sim.set_link_max_message_latency(a, b, Duration::from_secs(20)),
                6 => self.crash("ingest"),
                _ => self.crash("query"),
            }
            self.seen.misfortunes += 1;
            self.run(up_to(Duration::from_secs(60)));
            self.mend(a, b);
        }
    }

    fn crash(&mut self, host: &str) {
        self.seen.crashes += 1;
        self.sim.crash(host);
        if host == "ingest" {
            self.disk.crash(choose(|random| random.random()));
        }
        self.run(up_to(Duration::from_secs(30)));
        self.sim.bounce(host);
    }

    fn mend(&mut self, a: &str, b: &str) {
        self.sim.set_link_fail_rate(a, b, 0.0);
        self.sim.set_link_max_message_latency(a, b, Duration::from_millis(200));
        self.sim.release(a, b);
        self.sim.repair(a, b);
    }

    /// Everything is mended: the query-service comes to know what the log is at the beginning of the calm.
    fn calm(&mut self) {
        for (index, a) in HOSTS.iter().enumerate() {
            for b in &HOSTS[index + 1..] {
                self.mend(a, b);
            }
        }
        let tail = i64::try_from(self.disk.tail().revision.get()).expect("not that many");
        self.run(CALM);
        let mut world = self.world.borrow_mut();
        let known = world.answered.keys().next_back().copied().unwrap_or_default();
        if known < tail {
            world.break_promise(format!("after the repair nobody heard of revision {tail}, only of {known}"));
        }
        world.check(&self.disk);
    }
}

/// Runs a simulation until something is broken; answers that, and what was seen.
fn round(seed: u64, bug: Option<Bug>) -> (Vec<String>, Seen) {
    let mut storm = Storm::new(seed, bug);
    while storm.sim.elapsed() < ROUND && storm.world.borrow().broken.is_empty() {
        storm.storm();
        storm.calm();
    }
    let world = storm.world.borrow();
    let seen = Seen {
        acknowledged: world.acknowledged.len(),
        answers: world.answers,
        query_starts: world.query_starts,
        ..storm.seen
    };
    (world.broken.clone(), seen)
}

#[test]
fn the_pair_keeps_its_promises_under_network_faults_and_crashes() {
    let seed = seed();
    let rounds = setting("TONGHOP_SIM_HOURS").unwrap_or(HOURS) * 3600 / ROUND.as_secs();
    let mut all = Seen::default();
    for seed in seed..seed + rounds {
        let (broken, seen) = round(seed, None);
        assert!(broken.is_empty(), "TONGHOP_TEST_SEED={seed} TONGHOP_SIM_HOURS=1: {broken:#?}");
        all.acknowledged += seen.acknowledged;
        all.answers += seen.answers;
        all.crashes += seen.crashes;
        all.misfortunes += seen.misfortunes;
        all.query_starts += seen.query_starts;
    }
    println!("{} simulated hours: {all:?}", rounds * ROUND.as_secs() / 3600);
}

#[test]
fn every_planted_bug_of_the_pair_is_caught() {
    let seed = seed();
    for bug in [Bug::ResumeSkips, Bug::ResumeRepeats, Bug::DiskLies] {
        let caught = (seed..seed + 2 * HOURS).find_map(|seed| Some((seed, round(seed, Some(bug)).0.pop()?)));
        let (at, what) = caught.unwrap_or_else(|| panic!("{bug:?} was not caught"));
        println!("{bug:?}: caught in simulation {}: {what}", at - seed + 1);
    }
}

#[test]
fn a_seed_replays_a_simulation() {
    let seed = seed();
    assert_eq!(round(seed, None), round(seed, None));
}
