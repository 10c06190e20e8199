//! What callers know: which requests they made, which were acknowledged, at which revision and when. The log is held
//! against it.

use std::collections::{HashMap, HashSet};

use proto::v1::{
    Entry, FollowRequest, entry::Change, feed_service_client::FeedServiceClient, follow_response::Message,
};
use tests::faults::journal::Moment;
use tonic::{Code, transport::Channel};

use crate::support::eventually;

/// What a request would write.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// One entry for each unit.
    Units(Vec<String>),
    /// The flag of the small world.
    Indicator,
    Report {
        unit: String,
        title: String,
        flag: bool,
        /// The revision that must be its newest; 0: the report must be new.
        expected: i64,
    },
}

/// A request as its caller knows it.
#[derive(Clone, Debug)]
pub struct Known {
    pub content: Content,
    pub acknowledged: Option<Acknowledged>,
}

/// A receipt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Acknowledged {
    pub revision: i64,
    /// When the caller had it.
    pub at: Moment,
}

/// All requests by their ids.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub requests: HashMap<String, Known>,
}

impl Model {
    /// Holds a log against what callers knew at a moment.
    ///
    /// | request | in the log |
    /// |---|---|
    /// | acknowledged by then | once, whole, at the revision of its receipt |
    /// | not acknowledged | once and whole, or not at all |
    /// | never made | not there |
    ///
    /// And no report follows on another version than the one that its caller expected.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, log: &[Entry], moment: Moment) -> Result<(), String> {
        let mut revisions: HashMap<&str, i64> = HashMap::new();
        let mut newest: HashMap<&str, i64> = HashMap::new();
        for change in changes(log)? {
            let end = change.last().expect("a change has an entry");
            let (request, revision) = (end.request_id.as_str(), end.revision);
            let known =
                self.requests.get(request).ok_or_else(|| format!("revision {revision}: nobody asked for it"))?;
            if !is_written(&known.content, change) {
                return Err(format!("revision {revision} is not the whole of request {request}: {:?}", known.content));
            }
            if let Some(other) = revisions.insert(request, revision) {
                return Err(format!("request {request} is there twice, at revisions {other} and {revision}"));
            }
            if let Content::Report { title, expected, .. } = &known.content {
                let before = newest.insert(title, revision).unwrap_or_default();
                if before != *expected {
                    return Err(format!("revision {revision} was to follow on {expected} and follows on {before}"));
                }
            }
        }
        for (request, known) in &self.requests {
            let Some(acknowledged) = known.acknowledged.filter(|acknowledged| acknowledged.at <= moment) else {
                continue;
            };
            let found = revisions.get(request.as_str()).copied();
            if found != Some(acknowledged.revision) {
                let Acknowledged { revision, .. } = acknowledged;
                return Err(format!("request {request} was acknowledged at revision {revision}; it is at {found:?}"));
            }
        }
        Ok(())
    }

    /// What the callers of a restored store can rely on: what is in it.
    pub fn forget_all_but(&mut self, log: &[Entry], at: Moment) {
        let ends = log.iter().filter(|entry| entry.ends_change);
        let there: HashMap<&str, i64> = ends.map(|entry| (entry.request_id.as_str(), entry.revision)).collect();
        self.requests.retain(|request, _| there.contains_key(request.as_str()));
        for (request, known) in &mut self.requests {
            known.acknowledged = Some(Acknowledged { revision: there[request.as_str()], at });
        }
    }

    /// How many requests were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.requests.values().filter(|known| known.acknowledged.is_some()).count()
    }
}

/// The entries of each change.
fn changes(log: &[Entry]) -> Result<Vec<&[Entry]>, String> {
    if log.last().is_some_and(|entry| !entry.ends_change) {
        return Err("the log ends within a change".to_owned());
    }
    Ok(log.split_inclusive(|entry| entry.ends_change).collect())
}

fn is_written(content: &Content, change: &[Entry]) -> bool {
    match (content, change) {
        (Content::Units(ids), _) => {
            let registered = change.iter().filter_map(|entry| match &entry.change {
                Some(Change::Unit(unit)) => Some(unit.id.as_str()),
                _ => None,
            });
            let registered: HashSet<&str> = registered.collect();
            change.len() == ids.len() && ids.iter().all(|id| registered.contains(id.as_str()))
        }
        (Content::Indicator, [entry]) => matches!(entry.change, Some(Change::Indicator(_))),
        (Content::Report { unit, title, flag, .. }, [entry]) => match &entry.change {
            Some(Change::Report(report)) => {
                let source = report.source.as_ref().map(|source| source.title.as_str());
                let value = report.observations.first().and_then(|observation| observation.value.clone());
                report.unit == *unit
                    && source == Some(title)
                    && value == Some(proto::v1::observation::Value::Flag(*flag))
            }
            _ => false,
        },
        (Content::Indicator | Content::Report { .. }, _) => false,
    }
}

/// The whole log, its chain recomputed.
///
/// # Errors
/// What is wrong with it, in words.
pub async fn read_log(channel: Channel) -> Result<Vec<Entry>, String> {
    use prost::Message as _;
    let opened =
        eventually(async || match FeedServiceClient::new(channel.clone()).follow(FollowRequest::default()).await {
            Ok(messages) => Some(Ok(messages.into_inner())),
            Err(status) if status.code() == Code::Unavailable => None,
            Err(status) => Some(Err(status)),
        });
    let mut messages = opened.await.map_err(|status| status.to_string())?;
    let (mut log, mut hash, mut newest) = (Vec::new(), None, i64::MAX);
    while i64::try_from(log.len()).unwrap() < newest {
        let message = messages.message().await.map_err(|status| status.to_string())?.ok_or("the feed has ended")?;
        match message.message.ok_or("an empty message")? {
            Message::Opened(opened) => {
                newest = opened.newest_revision;
                let store: uuid::Uuid = opened.store_id.parse().map_err(|_| "a store without an id")?;
                hash = Some(blake3::Hasher::new().update(b"tonghop.v1").update(store.as_bytes()).finalize());
            }
            Message::Records(records) => {
                for record in records.records {
                    let before = hash.ok_or("records before the feed was opened")?;
                    let next = blake3::Hasher::new().update(before.as_bytes()).update(&record.entry).finalize();
                    let entry = Entry::decode(record.entry.as_slice()).map_err(|error| error.to_string())?;
                    if record.chain_hash != next.as_bytes() || entry.revision != i64::try_from(log.len()).unwrap() + 1 {
                        return Err(format!("revision {} does not follow on the one before it", entry.revision));
                    }
                    hash = Some(next);
                    log.push(entry);
                }
            }
            Message::Progress(_) => {}
        }
    }
    Ok(log)
}
