//! Calls to the file system that fail, fall short or hang, at the n-th call of their kind.

use std::{path::Path, sync::Arc};

use proto::v1::{GetUnitRequest, registry_service_client::RegistryServiceClient};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{
    faults::{
        disk::{Cuts, Disk},
        journal::{Event, Journals, Moment},
    },
    harness::{FREE_PORT, Service},
};
use tonic::Code;

use super::{
    Plan, block_on,
    kills::start,
    model::read_log,
    power::{Shim, start_over},
    writers::{self, Clock, End, Shared, Writer},
};

/// Failing calls in the short form.
const FAULTS: usize = 40;
const WRITERS: u64 = 4;
const REQUESTS_A_TURN: usize = 8;

/// What becomes of one run.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The service refused to start; a restart without the fault is fine.
    Refused,
    /// It ended with 74 while serving.
    Ended,
    /// The call was survived, or never came.
    Survived,
}

/// A fault, and when it comes.
fn any_fault(random: &mut StdRng) -> String {
    let call = ["write", "sync", "sync_file_range"][random.random_range(0..3)];
    let action = match call {
        "write" => ["EIO", "ENOSPC", "EFBIG", "short"][random.random_range(0..4)],
        _ => "EIO",
    };
    let rest = if random.random_bool(0.3) { "+" } else { "" };
    format!("{call}:{}{rest}={action}", random.random_range(1..60))
}

/// One store that meets a failing call, is started again, and then the power goes.
async fn fail(seed: u64) -> Result<Outcome, String> {
    let random = &mut StdRng::seed_from_u64(seed);
    let fault = any_fault(random);
    let (mut directory, place) = (super::directory_in_memory(), super::directory_in_memory());
    let mut run = Run { journals: Journals::new(place.path()), shared: Shared::default(), fault };
    let mut writers = Writer::several(seed, WRITERS);
    let outcome = run.turn(0, directory.path(), &mut writers).await?;

    let mut disk = Disk::new(random.random());
    let mut events = run.journals.read(0);
    if events.iter().any(|(_, event)| matches!(event, Event::SyncFailed { .. })) {
        // The kernel has dropped what the sync could not save. The service sees to it that it does not read it from memory;
        // here that is done for it.
        events.iter().for_each(|(_, event)| disk.apply(event));
        let forgotten = super::directory_in_memory();
        disk.forget(random, forgotten.path());
        disk = Disk::of_directory(forgotten.path(), disk.keeps_synchronous());
        (directory, events) = (forgotten, Vec::new());
    }
    if run.turn(1, directory.path(), &mut writers).await? != Outcome::Survived {
        return Err(run.found("it does not go on after a restart".to_owned()));
    }
    events.extend(run.journals.read(1));
    let last = events.last().map_or_else(Moment::default, |(moment, _)| *moment);
    let image = super::directory_in_memory();
    Cuts::new(disk, &events).at(last).cut(random, image.path());
    let service = start(image.path(), &[]).map_err(|what| run.found(format!("after a power cut {what}")))?;
    run.check(&service, last).await?;
    Ok(outcome)
}

struct Run {
    journals: Journals,
    shared: Shared,
    fault: String,
}

impl Run {
    fn found(&self, what: String) -> String {
        format!("{}: {what}", self.fault)
    }

    async fn check(&self, service: &Service, moment: Moment) -> Result<(), String> {
        let log = read_log(service.channel()).await.map_err(|what| self.found(what))?;
        self.shared.lock().unwrap().check(&log, moment).map_err(|what| self.found(what))
    }

    /// A process, which meets the fault if it is the first one, and work for it.
    async fn turn(&mut self, life: usize, directory: &Path, writers: &mut Vec<Writer>) -> Result<Outcome, String> {
        let clock: Clock = {
            let journals = self.journals.clone();
            Arc::new(move || journals.now(life))
        };
        let journal = self.journals.path(life);
        let faults = if life == 0 { self.fault.as_str() } else { "" };
        let service = match start_over(&Shim { directory, journal: Some(&journal), faults }, &[]) {
            Ok(service) => service,
            Err(_) if life == 0 => return Ok(Outcome::Refused),
            Err(what) => return Err(self.found(what)),
        };
        if life > 0 {
            self.check(&service, Moment { life, bytes: 0 }).await?;
        }
        let mut ends = vec![writers::settle_in(&service, &self.shared, &clock).await];
        if ends == [End::Done] {
            ends = writers::work(&service, writers, &self.shared, &clock, REQUESTS_A_TURN).await;
        }
        if let Some(what) = writers::broken(&ends) {
            return Err(self.found(what));
        }
        if !ends.iter().any(|end| matches!(end, End::Gone(..))) {
            service.strike();
            service.wait();
            return Ok(Outcome::Survived);
        }
        let ended = service.wait();
        if ended.status.code() != Some(74) {
            return Err(self.found(format!("it ended with {}\n{}", ended.status, ended.log)));
        }
        // A caller whose connection goes first hears no reason; nobody hears that it was written.
        let is_told = |end: &End| match end {
            End::Gone(_, reason) => matches!(reason.as_str(), "STORAGE_FAILED" | "SHUTTING_DOWN" | ""),
            End::Done | End::Broken(_) => true,
        };
        if ends.iter().all(is_told) {
            Ok(Outcome::Ended)
        } else {
            Err(self.found(format!("callers were told {ends:?}")))
        }
    }
}

#[test]
fn a_failing_call_ends_the_service_and_loses_nothing_that_was_acknowledged() {
    let plan = Plan::of("a_failing_call_ends", "TONGHOP_TEST_CALLS", FAULTS);
    let outcomes = plan.run(&plan.seeds(plan.count), 1, |seed| block_on(fail(seed)));
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let [refused, ended, survived] = [Outcome::Refused, Outcome::Ended, Outcome::Survived].map(count);
    println!("{ended} ended with 74, {refused} refused to start, {survived} went on; 0 lost");
    assert!(plan.count < FAULTS || ended > 0, "some of the faults were met while serving");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_costs_callers_their_deadline_and_then_the_process() {
    let directory = super::directory_in_memory();
    let data = directory.path().to_str().unwrap();
    let library = tests::harness::faultfs();
    // Enough syncs for the start and a little work; from then on none ends within the test.
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAULTFS_DIRECTORY", data),
        ("FAULTFS_FAULTS", "sync:30+=sleep(600000)"),
    ];
    let arguments = [
        &["--data", data, "--listen", FREE_PORT, "--free-mib-min", "0", "--free-percent-min", "0"][..],
        &["--deadline-ms-max", "500", "--stall-ms-max", "3000"],
    ];
    let service = Service::start_in("ingest-service", &arguments.concat(), &environment).unwrap();
    let (shared, clock): (Shared, Clock) = (Shared::default(), Arc::new(Moment::default));
    assert_eq!(writers::settle_in(&service, &shared, &clock).await, End::Done);
    let ends = writers::work(&service, &mut Writer::several(1, 3), &shared, &clock, 100).await;
    let late = End::Gone(Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned());
    assert!(ends.contains(&late), "{ends:?}");
    // Reading goes on.
    let unit = GetUnitRequest { id: "c0".into(), on: String::new() };
    RegistryServiceClient::new(service.channel()).get_unit(unit).await.unwrap();
    let ended = service.wait();
    assert_eq!(ended.status.code(), Some(74), "{}", ended.log);
    assert!(ended.log.contains("a write has not ended within 3000 ms"), "{}", ended.log);
    let service = start(directory.path(), &[]).unwrap();
    let log = read_log(service.channel()).await.unwrap();
    shared.lock().unwrap().check(&log, Moment::default()).unwrap();
}
