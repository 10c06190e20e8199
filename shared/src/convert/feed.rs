//! FeedService through the door, on both sides of it.

use jiff::Timestamp;
use proto::v1::{
    self,
    follow_response::{self, Message},
};
use uuid::Uuid;

use super::{Door, timestamp};
use crate::{
    codec::{Record, genesis},
    feed::{Event, Position},
    model::{
        fault::{Fault, Reason},
        log::{ChainHash, Link, Revision, StoreId},
    },
};

/// Traces that are read of one message.
const TRACES_MAX: usize = 1_024;
/// What is longer is no traceparent of today.
const TRACEPARENT_BYTES_MAX: usize = 128;

/// Follow, as the server reads it: where the follower stands; nothing if it follows no store yet.
///
/// # Errors
/// Every fault of form.
pub fn follow(request: &v1::FollowRequest) -> Result<Option<Position>, Fault> {
    let mut door = Door::default();
    let revision = Revision::try_from(request.last_revision)
        .map_err(|_| door.add("last_revision", Reason::InvalidNumber, "is negative; 0 means that nothing is there yet"))
        .ok();
    let has_nothing = revision == Some(Revision::ZERO);
    if has_nothing && request.store_id.is_empty() {
        return door.finish(Some(None));
    }
    let store: Option<StoreId> = door.required("store_id", &request.store_id, Reason::InvalidUuid).map(StoreId);
    let epoch = u64::try_from(request.epoch).map_err(|_| door.add("epoch", Reason::InvalidNumber, "is negative")).ok();
    let hash = match <[u8; 32]>::try_from(request.last_chain_hash.as_slice()) {
        Ok(hash) => Some(ChainHash(hash)),
        Err(_) if has_nothing => store.map(|store| genesis(store).chain_hash),
        Err(_) => {
            door.missing("last_chain_hash", "has 32 bytes: the chain hash of the entry at last_revision");
            None
        }
    };
    let position = || {
        let link = Link { revision: revision?, chain_hash: hash? };
        Some(Position { store: store?, epoch: epoch?, link })
    };
    let position = position();
    door.finish(Some(position))
}

/// Follow, as the follower asks it.
pub fn follow_request(position: Option<Position>) -> v1::FollowRequest {
    let Some(Position { store, epoch, link }) = position else { return v1::FollowRequest::default() };
    v1::FollowRequest {
        store_id: store.to_string(),
        epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
        last_revision: link.revision.as_i64(),
        last_chain_hash: link.chain_hash.0.to_vec(),
    }
}

/// The first message of the feed.
pub fn opened(store: StoreId, epoch: u64, newest: Revision) -> v1::FollowResponse {
    message(Message::Opened(follow_response::Opened {
        store_id: store.to_string(),
        epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
        newest_revision: newest.as_i64(),
    }))
}

/// Consecutive entries, how far the log is, and of which traces the ends of changes among them are. Their revisions follow from their own bytes.
pub fn records(records: Vec<Record>, newest: Revision, traces: Vec<(Revision, String)>) -> v1::FollowResponse {
    let record =
        |record: Record| follow_response::Record { entry: record.entry, chain_hash: record.link.chain_hash.0.to_vec() };
    let records = records.into_iter().map(record).collect();
    let trace =
        |(revision, traceparent): (Revision, _)| follow_response::Trace { revision: revision.as_i64(), traceparent };
    let traces = traces.into_iter().map(trace).collect();
    message(Message::Records(follow_response::Records { records, newest_revision: newest.as_i64(), traces }))
}

/// A progress mark.
pub fn progress(newest: Revision, now: Timestamp) -> v1::FollowResponse {
    message(Message::Progress(follow_response::Progress {
        newest_revision: newest.as_i64(),
        time: Some(timestamp(now)),
    }))
}

fn message(message: Message) -> v1::FollowResponse {
    v1::FollowResponse { message: Some(message) }
}

/// A message as the follower reads it. A record's revision is the one that its entry says; that it is the next one is for
/// the follower to check.
///
/// # Errors
/// A message that breaks its form: the two services do not fit, or somebody else answers.
pub fn event(response: v1::FollowResponse) -> Result<Event, Fault> {
    let broken = |what: &str| Fault::new(Reason::DataCorrupt, format!("the feed sent {what}"));
    let revision = |number: i64| Revision::try_from(number).map_err(|_| broken("a negative revision"));
    match response.message {
        None => Err(broken("a message that this version does not know")),
        Some(Message::Opened(opened)) => Ok(Event::Opened {
            store: StoreId(Uuid::try_parse(&opened.store_id).map_err(|_| broken("a store id that is no UUID"))?),
            epoch: u64::try_from(opened.epoch).map_err(|_| broken("a negative epoch"))?,
            newest: revision(opened.newest_revision)?,
        }),
        Some(Message::Progress(progress)) => Ok(Event::Progress { newest: revision(progress.newest_revision)? }),
        Some(Message::Records(records)) => {
            let record = |record: follow_response::Record| {
                let number = entry_revision(&record.entry).ok_or_else(|| broken("an entry without revision"))?;
                let hash = record.chain_hash.try_into().map_err(|_| broken("a chain hash of another length"))?;
                let link = Link { revision: revision(number)?, chain_hash: ChainHash(hash) };
                Ok(Record { link, entry: record.entry })
            };
            records.records.into_iter().map(record).collect::<Result<_, _>>().map(Event::Records)
        }
    }
}

/// How far the log is, if a message says so.
pub fn newest(response: &v1::FollowResponse) -> Option<Revision> {
    let newest = match response.message.as_ref()? {
        Message::Opened(opened) => opened.newest_revision,
        Message::Progress(progress) => progress.newest_revision,
        // An earlier version does not say it.
        Message::Records(records) => Some(records.newest_revision).filter(|newest| *newest > 0)?,
    };
    Revision::try_from(newest).ok()
}

/// Traces of changes that a message brings, each with the revision of the change's end; one that is no traceparent is left
/// out.
pub fn traces(response: &v1::FollowResponse) -> Vec<(Revision, String)> {
    let Some(Message::Records(records)) = &response.message else { return Vec::new() };
    let traces = records.traces.iter().filter(|trace| trace.traceparent.len() <= TRACEPARENT_BYTES_MAX);
    traces
        .take(TRACES_MAX)
        .filter_map(|trace| Some((trace.revision.try_into().ok()?, trace.traceparent.clone())))
        .collect()
}

/// The revision that an encoded entry says of itself, without reading the rest of it.
fn entry_revision(entry: &[u8]) -> Option<i64> {
    #[derive(prost::Message)]
    struct RevisionOnly {
        #[prost(int64, tag = "1")]
        revision: i64,
    }
    prost::Message::decode(entry).ok().map(|RevisionOnly { revision }| revision)
}
