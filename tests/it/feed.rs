//! The feed: order, resumption, refusals.

use prost::Message as _;
use proto::v1::{
    Entry, FollowRequest,
    follow_response::{Message, Opened, Record},
};
use tests::harness::Pair;
use tonic::Code;

use crate::support::{flag_report, reason, small_world, submit};

/// Follows until a progress mark says that everything was sent.
pub async fn follow(pair: &Pair, request: FollowRequest) -> Result<(Opened, Vec<Record>), tonic::Status> {
    let mut messages = pair.feed().follow(request).await?.into_inner();
    let mut opened = None;
    let mut records = Vec::new();
    loop {
        let message = messages.message().await?.expect("a feed does not end");
        match message.message.unwrap() {
            Message::Opened(first) => opened = Some(first),
            Message::Records(more) => records.extend(more.records),
            Message::Progress(_) => return Ok((opened.expect("it comes first"), records)),
        }
    }
}

/// Every entry of the log, its place in the chain recomputed.
pub async fn entries(pair: &Pair) -> Vec<Entry> {
    let (opened, records) = follow(pair, FollowRequest::default()).await.unwrap();
    let store: uuid::Uuid = opened.store_id.parse().unwrap();
    let mut hash = blake3::Hasher::new().update(b"tonghop.v1").update(store.as_bytes()).finalize();
    let mut entries = Vec::new();
    for (record, revision) in records.iter().zip(1..) {
        hash = blake3::Hasher::new().update(hash.as_bytes()).update(&record.entry).finalize();
        assert_eq!(record.chain_hash, hash.as_bytes(), "revision {revision}");
        let entry = Entry::decode(record.entry.as_slice()).unwrap();
        assert_eq!(entry.revision, revision, "dense from 1");
        entries.push(entry);
    }
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_the_log_in_order_and_anyone_can_verify_it() {
    let pair = Pair::start();
    small_world(&pair).await;
    submit(&pair, flag_report("c0", "t", true)).await.unwrap();
    let entries = entries(&pair).await;
    // Eight units and the day from which they are complete are one change, the indicator another, the report a third.
    let ends: Vec<i64> = entries.iter().filter(|entry| entry.ends_change).map(|entry| entry.revision).collect();
    assert_eq!(ends, [9, 10, 11]);
    assert_eq!(entries.len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_resumes_after_its_last_entry_and_a_stranger_is_told() {
    let pair = Pair::start();
    small_world(&pair).await;
    for title in ["a", "b", "c"] {
        submit(&pair, flag_report("c0", title, true)).await.unwrap();
    }
    let (opened, all) = follow(&pair, FollowRequest::default()).await.unwrap();
    assert_eq!(opened.newest_revision, i64::try_from(all.len()).unwrap());
    let at = |revision: usize| FollowRequest {
        store_id: opened.store_id.clone(),
        epoch: opened.epoch,
        last_revision: i64::try_from(revision).unwrap(),
        last_chain_hash: all[revision - 1].chain_hash.clone(),
    };
    for revision in 1..=all.len() {
        let (_, rest) = follow(&pair, at(revision)).await.unwrap();
        assert_eq!(rest, all[revision..], "after {revision}");
    }

    let nothing_yet = FollowRequest { store_id: opened.store_id.clone(), epoch: opened.epoch, ..Default::default() };
    assert_eq!(follow(&pair, nothing_yet.clone()).await.unwrap().1, all);

    let other_store = uuid::Uuid::from_u128(1).to_string();
    let refusals = [
        (FollowRequest { store_id: other_store.clone(), ..at(5) }, Code::FailedPrecondition, "STORE_MISMATCH"),
        (FollowRequest { store_id: other_store, ..nothing_yet }, Code::FailedPrecondition, "STORE_MISMATCH"),
        (FollowRequest { last_chain_hash: vec![0; 32], ..at(5) }, Code::FailedPrecondition, "HISTORY_DIVERGED"),
        (FollowRequest { last_revision: 999, ..at(5) }, Code::OutOfRange, "FUTURE_REVISION"),
        (FollowRequest { epoch: opened.epoch + 1, ..at(5) }, Code::FailedPrecondition, "HISTORY_TRUNCATED"),
        (FollowRequest { last_chain_hash: vec![0; 31], ..at(5) }, Code::InvalidArgument, "REQUIRED_FIELD_MISSING"),
        (FollowRequest { last_revision: -1, ..at(5) }, Code::InvalidArgument, "INVALID_NUMBER"),
    ];
    for (request, code, expected) in refusals {
        let refused = follow(&pair, request).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_feed_says_how_far_the_log_is() {
    let pair = Pair::start();
    small_world(&pair).await;
    let mut messages = pair.feed().follow(FollowRequest::default()).await.unwrap().into_inner();
    let mut marks = 0;
    while marks < 3 {
        if let Message::Progress(progress) = messages.message().await.unwrap().unwrap().message.unwrap() {
            assert_eq!(progress.newest_revision, 10);
            marks += 1;
        }
    }
}
