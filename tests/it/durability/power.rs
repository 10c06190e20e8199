//! Power cuts: what was synced stays, what was not is lost, kept or torn, and the service opens what is left.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tests::{
    faults::{
        damage,
        disk::{Cuts, Disk},
        journal::{Event, Journals, Moment},
    },
    harness::{Service, faultfs},
};

use super::{
    Plan,
    kills::{STEPS, start},
    model::{Model, read_log},
    writers::{self, Clock, End, Shared, Writer},
};

/// Power cuts in the short form.
const CUTS: usize = 60;
/// So many moments of one story are looked at.
const CUTS_A_STORY: usize = 10;
/// Processes that the story goes through before the power goes: each finds what the one before it left in the page cache.
const LIVES: usize = 3;
const WRITERS: u64 = 4;
const REQUESTS_A_TURN: usize = 6;

/// A store, how it came to be, and what its callers know.
struct Story {
    events: Vec<(Moment, Event)>,
    model: Model,
    /// Between which moments each process opened its store.
    openings: Vec<(Moment, Moment)>,
    /// The disk at the start.
    disk: Disk,
}

/// Starts a service over the shim.
pub fn start_over(shim: &Shim, environment: &[(&str, &str)]) -> Result<Service, String> {
    let (library, directory) = (faultfs(), shim.directory);
    let journal = shim.journal.unwrap_or(Path::new(""));
    let mut all =
        vec![("LD_PRELOAD", text(&library)), ("FAULTFS_DIRECTORY", text(directory)), ("FAULTFS_FAULTS", shim.faults)];
    if shim.journal.is_some() {
        all.push(("FAULTFS_JOURNAL", text(journal)));
    }
    all.extend(environment);
    Ok(start(directory, &all)?)
}

/// What the shim is told.
pub struct Shim<'a> {
    pub directory: &'a Path,
    pub journal: Option<&'a Path>,
    pub faults: &'a str,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is text")
}

/// Lets several processes use one directory, each killed at some step, and keeps the journal.
async fn tell(seed: u64, data: &Path, keeps_synchronous: bool, model: Model, bug: &str) -> Result<Story, String> {
    let random = &mut StdRng::seed_from_u64(seed);
    let place = super::directory_in_memory();
    let journals = Journals::new(place.path());
    let disk = Disk::of_directory(data, keeps_synchronous);
    let shared: Shared = Arc::new(std::sync::Mutex::new(model));
    let mut writers = Writer::several(seed, WRITERS);
    let (mut events, mut openings) = (Vec::new(), Vec::new());
    for life in 0..LIVES {
        let clock: Clock = {
            let journals = journals.clone();
            Arc::new(move || journals.now(life))
        };
        let journal = journals.path(life);
        let step = STEPS[random.random_range(2..STEPS.len())];
        let points = format!("{step}={}*off->return;{bug}", random.random_range(4..30));
        let shim = Shim { directory: data, journal: Some(&journal), faults: "" };
        let service = start_over(&shim, &[("FAILPOINTS", &points)]);
        // The step can come while it opens.
        if let Ok(service) = service {
            openings.push((Moment { life, bytes: 0 }, clock()));
            let mut ends = vec![writers::settle_in(&service, &shared, &clock).await];
            if ends == [End::Done] {
                ends = writers::work(&service, &mut writers, &shared, &clock, REQUESTS_A_TURN).await;
            }
            service.strike();
            service.wait();
            if let Some(what) = writers::broken(&ends) {
                return Err(format!("{points}: {what}"));
            }
        } else {
            openings.push((Moment { life, bytes: 0 }, Moment { life, bytes: u64::MAX }));
        }
        events.extend(journals.read(life));
    }
    let model = shared.lock().unwrap().clone();
    Ok(Story { events, model, openings, disk })
}

/// What was found after power cuts.
#[derive(Debug, Default)]
pub struct Seen {
    pub cuts: usize,
    /// The service opened, and everything was there.
    pub whole: usize,
    /// The power went while the store was opened on a disk that drops the attribute "synchronous", and the service says
    /// that the store is damaged.
    pub refused: usize,
    pub events: BTreeMap<&'static str, usize>,
}

/// A story, and cuts of the power at some of its moments; then another story on what one of the cuts has left.
///
/// # Errors
/// What was lost, made up, or cannot be opened any more.
pub fn cut_power(seed: u64, cuts: usize, bug: &str) -> Result<Seen, String> {
    super::block_on(async {
        let random = &mut StdRng::seed_from_u64(seed ^ 0xc0ffee);
        let keeps_synchronous = random.random();
        let first = tempfile::tempdir().unwrap();
        let mut seen = Seen::default();
        let story = tell(seed, first.path(), keeps_synchronous, Model::default(), bug).await?;
        let rest = look(random, &story, cuts / 2, &mut seen).await?;
        let Some((left, model)) = rest else { return Ok(seen) };
        let story = tell(seed ^ 1, left.path(), keeps_synchronous, model, bug).await?;
        look(random, &story, cuts - cuts / 2, &mut seen).await?;
        Ok(seen)
    })
}

/// Cuts the power at so many moments. Answers what the last cut left, with what callers then know.
async fn look(
    random: &mut StdRng,
    story: &Story,
    count: usize,
    seen: &mut Seen,
) -> Result<Option<(TempDir, Model)>, String> {
    for (_, event) in &story.events {
        *seen.events.entry(name(event)).or_default() += 1;
    }
    // Some within the openings, which are short; the others anywhere.
    let moments: Vec<Moment> = story.events.iter().map(|(moment, _)| *moment).collect();
    let is_opening = |moment: &Moment| story.openings.iter().any(|(start, end)| start <= moment && moment <= end);
    let (opening, serving): (Vec<Moment>, Vec<Moment>) = moments.iter().partition(|moment| is_opening(moment));
    let mut chosen: Vec<Moment> = (0..count)
        .filter_map(|place| {
            let of = if place % 5 == 0 || serving.is_empty() { &opening } else { &serving };
            (!of.is_empty()).then(|| of[random.random_range(0..of.len())])
        })
        .collect();
    chosen.sort();
    let mut cuts = Cuts::new(story.disk.clone(), &story.events);
    let mut left = None;
    for moment in chosen {
        let image = tempfile::tempdir().unwrap();
        cuts.at(moment).cut(random, image.path());
        seen.cuts += 1;
        let service = match start(image.path(), &[]) {
            Ok(service) => service,
            // sled cannot be opened after a cut while it opened, unless the disk keeps its files synchronous.
            Err(what)
                if is_opening(&moment) && !cuts.at(moment).keeps_synchronous() && what.status.code() == Some(65) =>
            {
                seen.refused += 1;
                continue;
            }
            Err(what) => return Err(format!("the power was cut at {moment:?}: {what}")),
        };
        let log = read_log(service.channel()).await?;
        story.model.check(&log, moment).map_err(|what| format!("the power was cut at {moment:?}: {what}"))?;
        service.strike();
        service.wait();
        seen.whole += 1;
        let mut model = story.model.clone();
        model.forget_all_but(&log, Moment::default());
        left = Some((image, model));
    }
    Ok(left)
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Opened { .. } => "opened",
        Event::Written { .. } => "written",
        Event::Truncated { .. } => "truncated",
        Event::SyncBegun { .. } => "sync begun",
        Event::SyncDone { .. } => "sync done",
        Event::SyncFailed { .. } => "sync failed",
        Event::Renamed { .. } => "renamed",
        Event::Removed { .. } => "removed",
        Event::DirectoryMade { .. } => "directory made",
    }
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged() {
    let plan = Plan::of("a_power_cut_at_any_moment", "TONGHOP_TEST_CUTS", CUTS);
    let cuts = plan.count.min(CUTS_A_STORY);
    let mut total = Seen::default();
    for seen in plan.run(&plan.seeds(plan.count.div_ceil(CUTS_A_STORY)), cuts, |seed| cut_power(seed, cuts, "")) {
        total.cuts += seen.cuts;
        total.whole += seen.whole;
        total.refused += seen.refused;
        seen.events.into_iter().for_each(|(name, count)| *total.events.entry(name).or_default() += count);
    }
    println!("{total:?}, 0 lost");
    assert!(
        total.whole * 2 > total.cuts && total.events.contains_key("sync done"),
        "the shim and the cuts did their work"
    );
}

#[test]
fn a_disk_after_a_power_cut_is_what_the_journal_allows() {
    let path = "log/db".to_owned();
    let opened = Event::Opened {
        file: 7,
        path,
        is_created: true,
        is_emptied: false,
        is_synchronous: false,
        is_directory: false,
    };
    let write = |offset, byte| Event::Written { file: 7, offset, bytes: vec![byte; 1024] };
    let mut disk = Disk::new(true);
    let sync = [Event::SyncBegun { file: 7, sync: 1 }, write(1024, 2), Event::SyncDone { file: 7, sync: 1 }];
    [opened, write(0, 1)].iter().chain(&sync).for_each(|event| disk.apply(event));
    let mut seen = BTreeMap::new();
    for seed in 0..200 {
        let image = tempfile::tempdir().unwrap();
        disk.cut(&mut StdRng::seed_from_u64(seed), image.path());
        let (_, bytes) = damage::files(image.path()).remove(0);
        assert_eq!(bytes[..1024], [1; 1024], "what was written before the sync began");
        *seen.entry(bytes[1024..].iter().filter(|byte| **byte == 2).count()).or_insert(0) += 1;
    }
    // The later write is not there, torn after its first sector, or there.
    assert_eq!(seen.keys().copied().collect::<Vec<usize>>(), [0, 512, 1024]);
}
