//! What a simulation knows from outside: what was acknowledged, what was answered, and what the log says it should be.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
};

use ingest_service::log::{Log, memory::MemoryLog};
use prost::Message;
use proto::v1::{Entry, GetShareResponse, entry::Change, observation::Value, unit::Level};
use shared::model::log::Revision;

/// Shared by the hosts of one simulation, which run one after another.
pub type Shared = Rc<RefCell<World>>;

/// How many communes said yes, said no, and said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    pub yes: i32,
    pub no: i32,
    pub silent: i32,
}

/// What was seen from outside.
#[derive(Default)]
pub struct World {
    /// Revision by request id, of what was acknowledged.
    pub acknowledged: BTreeMap<String, i64>,
    /// Answers by the revision that they speak for.
    pub answered: BTreeMap<i64, Counts>,
    /// How often the query-service was started.
    pub query_starts: u32,
    /// What went wrong with a promise, in words.
    pub broken: Vec<String>,
    /// Answers seen, for the figures of a campaign.
    pub answers: u64,
}

impl World {
    /// A promise was broken.
    pub fn break_promise(&mut self, what: String) {
        self.broken.push(what);
    }

    /// A write was acknowledged.
    pub fn acknowledge(&mut self, request: String, revision: i64) {
        if let Some(before) = self.acknowledged.insert(request.clone(), revision)
            && before != revision
        {
            self.break_promise(format!("{request} was acknowledged at {before}, and at {revision}"));
        }
    }

    /// A question was answered: the same question about the same knowledge has the same answer for ever.
    pub fn answer(&mut self, asked: Option<i64>, answer: &GetShareResponse) -> i64 {
        self.answers += 1;
        let revision = answer.meta.as_ref().map_or(0, |meta| meta.revision);
        let share = &answer.shares[0];
        let count = |count: Option<i32>| count.unwrap_or_default();
        let counts = Counts { yes: count(share.yes), no: count(share.no), silent: count(share.not_reported) };
        let at = asked.unwrap_or(revision);
        if let Some(before) = self.answered.insert(at, counts)
            && before != counts
        {
            self.break_promise(format!("revision {at} was answered with {before:?}, and with {counts:?}"));
        }
        revision
    }

    /// Compares everything that was told with the log.
    pub fn check(&mut self, disk: &MemoryLog) {
        let told = Told::of(disk);
        for (request, revision) in self.acknowledged.clone() {
            if told.requests.get(&request).map(Vec::as_slice) != Some(&[revision]) {
                let there = told.requests.get(&request);
                self.break_promise(format!("{request}, acknowledged at {revision}, is in the log at {there:?}"));
            }
        }
        for (revision, counts) in self.answered.clone() {
            match told.counts.get(&revision) {
                None => self.break_promise(format!("an answer spoke for revision {revision}, which ends no change")),
                Some(expected) if *expected != counts => {
                    self.break_promise(format!(
                        "at revision {revision} the log says {expected:?}, told was {counts:?}"
                    ));
                }
                Some(_) => {}
            }
        }
    }
}

/// What the log says, by a fold that shares no code with the services.
#[derive(Default)]
struct Told {
    /// Revisions by request id.
    requests: HashMap<String, Vec<i64>>,
    /// At the end of every change.
    counts: BTreeMap<i64, Counts>,
}

impl Told {
    fn of(disk: &MemoryLog) -> Self {
        let mut told = Self::default();
        let (mut communes, mut flags) = (BTreeSet::new(), HashMap::new());
        for record in disk.read(Revision::ZERO, usize::MAX).expect("a log in memory can be read") {
            let entry = Entry::decode(record.entry.as_slice()).expect("it was written");
            match entry.change {
                Some(Change::Unit(unit)) if unit.level() == Level::Commune => {
                    communes.insert(unit.id);
                }
                Some(Change::Report(report)) => {
                    // Reports differ in nothing but their source: the one that was recorded last speaks.
                    flags.insert(report.unit, report.observations[0].value == Some(Value::Flag(true)));
                }
                _ => {}
            }
            if !entry.request_id.is_empty() {
                told.requests.entry(entry.request_id).or_default().push(entry.revision);
            }
            if entry.ends_change {
                let count = |wanted| flags.values().filter(|flag| **flag == wanted).count();
                let number = |count| i32::try_from(count).expect("few communes");
                let silent = communes.len() - flags.len();
                let counts = Counts { yes: number(count(true)), no: number(count(false)), silent: number(silent) };
                told.counts.insert(entry.revision, counts);
            }
        }
        told
    }
}

/// The disk of the ingest-service.
pub fn disk() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::default())
}
