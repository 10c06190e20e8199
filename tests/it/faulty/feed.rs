//! A feed with faults: follows the real one and hands its messages on, dropped, doubled, reordered, changed.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use prost::Message as _;
use proto::v1::{
    Entry, FollowRequest, FollowResponse, Unit,
    entry::Change,
    feed_service_client::FeedServiceClient,
    feed_service_server::{FeedService, FeedServiceServer},
    follow_response::{Message, Opened, Record},
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_types::{ErrorDetails, StatusExt};

/// What happens to the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They are handed on.
    None,
    /// The first entry of every message is lost.
    Drops,
    /// It comes twice.
    Doubles,
    /// The entries of a message come in the opposite order.
    Reorders,
    /// The last byte of an entry is another one.
    ChangesByte,
    /// Entries are of another history.
    Foreign,
    /// An entry is a change that this version does not know.
    PoisonUnknownChange,
    /// A known change has a value that this version does not know.
    PoisonUnknownValue,
    /// An entry is no message at all.
    PoisonGarbage,
    /// The feed does not say whose it is.
    NotOpened,
    /// It says that it is of another store.
    OtherStore,
    /// It says what cannot be.
    NegativeRevision,
    /// It says something that this version does not know.
    UnknownMessage,
    /// It refuses with this code and reason.
    Refuses(Code, &'static str),
    /// It ends without a word.
    Ends,
}

/// A service to follow instead of the real one.
#[derive(Clone)]
pub struct FaultyFeed {
    upstream: FeedServiceClient<Channel>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    /// How often it happened.
    count: usize,
}

impl FaultyFeed {
    /// Stands in front of that feed, and where.
    pub async fn before(upstream: FeedServiceClient<Channel>) -> (Self, SocketAddr) {
        let feed = Self { upstream, state: Arc::new(Mutex::new(State { fault: Fault::None, count: 0 })) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(FeedServiceServer::new(feed.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (feed, address)
    }

    /// From now on.
    pub fn set(&self, fault: Fault) {
        *self.state.lock().unwrap() = State { fault, count: 0 };
    }

    /// How often the fault has happened since it was set.
    pub fn count(&self) -> usize {
        self.state.lock().unwrap().count
    }

    /// The fault of now; noted if it happens.
    fn happens(&self, is_met: impl FnOnce(Fault) -> bool) -> Fault {
        let mut state = self.state.lock().unwrap();
        if !is_met(state.fault) {
            return Fault::None;
        }
        state.count += 1;
        state.fault
    }

    /// What becomes of a message; `last` is the chain hash before it.
    fn spoil(&self, mut response: FollowResponse, last: &mut Vec<u8>) -> Option<FollowResponse> {
        use Fault::{NegativeRevision, None as Fine, NotOpened, OtherStore, UnknownMessage};
        match &mut response.message {
            Some(Message::Opened(opened)) => {
                if last.is_empty() {
                    *last = genesis(opened);
                }
                match self.happens(|fault| matches!(fault, NotOpened | OtherStore | NegativeRevision | UnknownMessage))
                {
                    NotOpened => return None,
                    OtherStore => opened.store_id = uuid::Uuid::from_u128(7).to_string(),
                    NegativeRevision => opened.newest_revision = -1,
                    UnknownMessage => response.message = None,
                    _ => {}
                }
            }
            Some(Message::Records(records)) => {
                let newest = records.records.last().map(|record| record.chain_hash.clone());
                let fault = self.happens(|fault| {
                    !matches!(fault, Fine | NotOpened | OtherStore | NegativeRevision | UnknownMessage)
                        && (fault != Fault::Reorders || records.records.len() > 1)
                });
                spoil_records(fault, &mut records.records, last);
                *last = newest.unwrap_or_default();
            }
            _ => {}
        }
        Some(response)
    }
}

fn genesis(opened: &Opened) -> Vec<u8> {
    let store: uuid::Uuid = opened.store_id.parse().unwrap();
    hash(b"tonghop.v1", store.as_bytes())
}

fn hash(last: &[u8], entry: &[u8]) -> Vec<u8> {
    blake3::Hasher::new().update(last).update(entry).finalize().as_bytes().to_vec()
}

fn spoil_records(fault: Fault, records: &mut Vec<Record>, last: &[u8]) {
    let first = &mut records[0];
    let entry = Entry::decode(first.entry.as_slice()).unwrap();
    match fault {
        Fault::Drops => drop(records.remove(0)),
        Fault::Doubles => records.insert(0, records[0].clone()),
        Fault::Reorders => records.reverse(),
        Fault::ChangesByte => *first.entry.last_mut().unwrap() ^= 1,
        Fault::Foreign => first.chain_hash = hash(b"another history", &first.entry),
        Fault::PoisonUnknownChange => {
            // Field 99, with two bytes.
            let unknown = [0x9a, 0x06, 2, b'?', b'?'];
            *first = poisoned(last, &Entry { change: None, ..entry }, &unknown);
        }
        Fault::PoisonUnknownValue => {
            let unit = Unit { id: "x".into(), name: "X".into(), parent: "d".into(), level: 99, ..Default::default() };
            *first = poisoned(last, &Entry { change: Some(Change::Unit(unit)), ..entry }, &[]);
        }
        Fault::PoisonGarbage => {
            // Its revision, and then a field that is longer than what is left.
            let entry = Entry { revision: entry.revision, ..Default::default() };
            *first = poisoned(last, &entry, &[0x72, 0x7f, 0]);
        }
        _ => {}
    }
}

/// An entry whose place in the chain is right: so it was written, by a version that knew what it meant.
fn poisoned(last: &[u8], entry: &Entry, more: &[u8]) -> Record {
    let entry = [entry.encode_to_vec(), more.to_vec()].concat();
    Record { chain_hash: hash(last, &entry), entry }
}

fn refusal(code: Code, reason: &str) -> Status {
    Status::with_error_details(code, "refused by the test", ErrorDetails::with_error_info(reason, "tonghop", []))
}

#[tonic::async_trait]
impl FeedService for FaultyFeed {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        if let Fault::Refuses(code, reason) = self.happens(|fault| matches!(fault, Fault::Refuses(..))) {
            return Err(refusal(code, reason));
        }
        let mut last = request.get_ref().last_chain_hash.clone();
        let mut messages = self.upstream.clone().follow(request.into_inner()).await?.into_inner();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let feed = self.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let fault = feed.state.lock().unwrap().fault;
                if let Fault::Refuses(code, reason) = fault {
                    feed.happens(|_| true);
                    let _ = sender.send(Err(refusal(code, reason))).await;
                    return;
                }
                let is_over = fault == Fault::Ends && feed.happens(|_| true) == fault;
                let message = message.map(|message| feed.spoil(message, &mut last)).transpose();
                let Some(message) = message else { continue };
                if is_over || sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
