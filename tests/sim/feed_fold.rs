//! The feed and its follower as what they are without a network: a server that answers a position with events, faults on
//! the way, and a fold that takes in what fits. Ten thousands of short lives of it, and planted bugs that they must catch.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};
use query_service::{apply::Applier, archive::MemoryArchive};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use shared::{
    change::{Change, Entry},
    codec::{Record, encode, genesis, next_link},
    feed::{Event, Position},
    model::{
        log::{Link, Revision, StoreId},
        query::KnownAt,
    },
};
use uuid::Uuid;

use crate::{seed, setting};

const STORE: StoreId = StoreId(Uuid::from_u128(1));
const LIVES: u64 = 20_000;
/// Sessions with faults in one life; the last one has none.
const SESSIONS_MAX: usize = 5;
const ENTRIES_MAX: u64 = 12;

/// A log in which every entry says another day, in changes of one to four entries.
struct Log {
    records: Vec<Record>,
    /// The day that is shown at the end of each change, by its revision; nothing before the first.
    shown: Vec<(Revision, Option<Date>)>,
}

impl Log {
    fn new(random: &mut StdRng, store: StoreId) -> Self {
        let count = random.random_range(1..=ENTRIES_MAX);
        let (mut link, mut records, mut shown) = (genesis(store), Vec::new(), vec![(Revision::ZERO, None)]);
        for revision in 1..=count {
            let day = Date::constant(2000, 1, 1).saturating_add(jiff::Span::new().days(random.random_range(0..9000)));
            let ends_change = revision == count || random.random_bool(0.4);
            let entry = Entry {
                revision: revision.into(),
                record_time: Timestamp::UNIX_EPOCH,
                ends_change,
                request: None,
                principal: Default::default(),
                findings: Vec::new(),
                change: Change::RegisterCompleteFrom(day),
            };
            let entry = encode(&entry).expect("it is small");
            link = next_link(&link, &entry);
            records.push(Record { link, entry });
            if ends_change {
                shown.push((link.revision, Some(day)));
            }
        }
        Self { records, shown }
    }

    /// The link at a revision; none beyond the end.
    fn link(&self, revision: Revision) -> Option<Link> {
        let start = genesis(STORE);
        let links = self.records.iter().map(|record| record.link);
        std::iter::once(start).chain(links).find(|link| link.revision == revision)
    }

    fn after(&self, revision: Revision) -> &[Record] {
        &self.records[usize::try_from(revision.get()).expect("few").min(self.records.len())..]
    }
}

/// A bug that somebody could write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// The server goes on one entry too late.
    ResumeSkips,
    /// The server goes on one entry too early.
    ResumeRepeats,
    /// The follower believes every record to follow on those that it has.
    NoChainCheck,
    /// The follower shows a change before its end.
    PublishesWithinChange,
}

/// What the server answers; nothing where it refuses the position.
fn serve(log: &Log, position: Option<Position>, bug: Option<Bug>) -> Option<Vec<Event>> {
    let after = position.map_or(Revision::ZERO, |position| position.link.revision);
    if position.is_some_and(|position| Some(position.link) != log.link(after)) {
        return None;
    }
    let start = match bug {
        Some(Bug::ResumeSkips) if after > Revision::ZERO => after.next(),
        Some(Bug::ResumeRepeats) => Revision::from(after.get().saturating_sub(1)),
        _ => after,
    };
    let newest = log.records.last().expect("it has one").link.revision;
    let mut events = vec![Event::Opened { store: STORE, epoch: 1, newest }];
    events.extend(log.after(start).chunks(3).map(|records| Event::Records(records.to_vec())));
    events.push(Event::Progress { newest });
    Some(events)
}

/// What becomes of the events on their way.
fn spoil(random: &mut StdRng, events: &mut Vec<Event>, foreign: &Log) {
    let place = random.random_range(0..events.len());
    match random.random_range(0..7) {
        0 => drop(events.remove(place)),
        1 => events.insert(place, events[place].clone()),
        2 => {
            let other = random.random_range(0..events.len());
            events.swap(place, other);
        }
        3 => events.truncate(place),
        4 => events[0] = Event::Opened { store: StoreId(Uuid::from_u128(2)), epoch: 1, newest: Revision::from(1) },
        5 => {
            let record = foreign.records.choose(random).expect("it has one").clone();
            events.insert(place, Event::Records(vec![record]));
        }
        _ => {
            if let Event::Records(records) = &mut events[place] {
                let record = random.random_range(0..records.len());
                let bytes = &mut records[record].entry;
                let byte = random.random_range(0..bytes.len());
                bytes[byte] ^= 1 << random.random_range(0..8);
            }
        }
    }
}

/// A follower, or a follower with a bug: around the real one, to which every record then looks as the bug wants it.
struct Follower {
    applier: Applier,
    /// Its last entry as it came.
    link: Option<Link>,
    bug: Option<Bug>,
}

impl Follower {
    fn new(bug: Option<Bug>) -> Self {
        Self { applier: Applier::new(Arc::new(MemoryArchive::default())), link: None, bug }
    }

    fn position(&self) -> Option<Position> {
        let position = self.applier.position()?;
        Some(Position { link: self.link.unwrap_or(position.link), ..position })
    }

    /// Takes in events until one does not fit, as the follower does.
    fn follow(&mut self, events: &[Event]) -> Result<(), String> {
        let mut is_open = false;
        for event in events {
            match event {
                Event::Opened { store, epoch, .. } => {
                    self.applier.open(*store, *epoch).map_err(|fault| fault.to_string())?;
                    is_open = true;
                }
                _ if !is_open => return Err("not opened".to_owned()),
                Event::Records(records) => {
                    for record in records {
                        self.applier.apply(&self.seen(record)).map_err(|fault| fault.to_string())?;
                        self.link = Some(record.link);
                    }
                }
                Event::Progress { .. } => {}
            }
        }
        Ok(())
    }

    /// The record as a follower with that bug sees it.
    fn seen(&self, record: &Record) -> Record {
        let last = self.applier.position().expect("it is open").link;
        let expected = last.revision.next() == record.link.revision;
        let mut entry = record.entry.clone();
        match self.bug {
            // Without a check is as if the check were always right.
            Some(Bug::NoChainCheck) if expected => {}
            // Field 3 says that the change ends, and of several the last one counts.
            Some(Bug::PublishesWithinChange) if expected => entry.extend([3 << 3, 1]),
            _ => return record.clone(),
        }
        Record { link: next_link(&last, &entry), entry }
    }
}

/// What a follower shows is the fold of a prefix of the log, up to the end of a change.
fn check(log: &Log, applier: &Applier) -> Result<(), String> {
    let known = applier.index().known_at(KnownAt::Now).map_err(|fault| fault.to_string())?;
    let shown = (known.revision(), known.registry().complete_from());
    if log.shown.contains(&shown) { Ok(()) } else { Err(format!("shown is {shown:?}, the log says {:?}", log.shown)) }
}

/// One life: sessions with faults, then one without, after which the follower knows all of the log.
fn live(seed: u64, bug: Option<Bug>) -> Result<(), String> {
    let random = &mut StdRng::seed_from_u64(seed);
    let (log, foreign) = (Log::new(random, STORE), Log::new(random, StoreId(Uuid::from_u128(2))));
    let mut follower = Follower::new(bug);
    for _ in 0..random.random_range(0..SESSIONS_MAX) {
        let Some(mut events) = serve(&log, follower.position(), bug) else {
            // A follower that was told of another store has nothing of it, and begins again.
            follower = Follower::new(bug);
            continue;
        };
        spoil(random, &mut events, &foreign);
        // That it stops is right; what it shows then is what matters.
        let _ = follower.follow(&events);
        check(&log, &follower.applier)?;
    }
    let is_lost = follower.position().is_some_and(|position| position.store != STORE);
    if is_lost {
        return Ok(());
    }
    let events = serve(&log, follower.position(), bug).ok_or("the follower has another history")?;
    follower.follow(&events)?;
    check(&log, &follower.applier)?;
    let newest = log.records.last().expect("it has one").link.revision;
    if follower.applier.index().revision() == newest {
        Ok(())
    } else {
        Err("it does not come to know all of the log".to_owned())
    }
}

#[test]
fn a_follower_shows_the_fold_of_a_prefix_whatever_happens_on_the_way() {
    let seed = seed();
    for seed in seed..seed + setting("TONGHOP_FEED_LIVES").unwrap_or(LIVES) {
        live(seed, None).unwrap_or_else(|what| panic!("TONGHOP_TEST_SEED={seed} TONGHOP_FEED_LIVES=1: {what}"));
    }
}

#[test]
fn every_planted_bug_of_the_feed_is_caught() {
    let seed = seed();
    for bug in [Bug::ResumeSkips, Bug::ResumeRepeats, Bug::NoChainCheck, Bug::PublishesWithinChange] {
        let caught = (seed..seed + LIVES).find_map(|seed| live(seed, Some(bug)).err().map(|what| (seed, what)));
        let (at, what) = caught.unwrap_or_else(|| panic!("{bug:?} was not caught in {LIVES} lives from {seed}"));
        println!("{bug:?}: caught after {} lives: {what}", at - seed + 1);
    }
}
