//! Reports on their way to the ingest-service, encoded beforehand.

use std::time::{Duration, Instant};

use prost::{Message, bytes::Bytes};
use proto::v1::{SubmitReportResponse, SubmitReportsResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

use super::raw::Raw;
use crate::{harness::Service, stream::receipt, workload::Workload};

/// Reports, and receipts, that wait in this process at most.
const AHEAD_MAX: usize = 4_096;

/// Reports as they go over the wire.
#[derive(Debug, Default)]
pub struct Encoded {
    /// The requests.
    pub requests: Vec<Bytes>,
    /// Observations in all of them.
    pub observations: u64,
}

impl Encoded {
    /// Encodes the reports of some units about one quarter.
    pub fn of(load: &Workload, quarter: usize, units: std::ops::Range<usize>) -> Self {
        let mut encoded = Self::default();
        for unit in units {
            for part in 0..load.parts() {
                if let Some((request, count)) = load.report(unit, quarter, part) {
                    encoded.requests.push(request.encode_to_vec().into());
                    encoded.observations += u64::try_from(count).expect("it is small");
                }
            }
        }
        encoded
    }
}

/// A connection of its own.
pub fn connection(service: &Service) -> Channel {
    Endpoint::from_shared(service.uri()).expect("an address is a URI").tcp_nodelay(true).connect_lazy()
}

/// Submits one report, and says at which revision it is on disk.
///
/// # Errors
/// The refusal.
pub async fn unary(channel: &Channel, request: Bytes) -> Result<i64, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/tonghop.v1.IngestService/SubmitReport");
    let answer = client.unary(Request::new(request), path, Raw).await?.into_inner();
    let answer = SubmitReportResponse::decode(answer).map_err(|error| Status::internal(error.to_string()))?;
    answer.revision.ok_or_else(|| Status::internal("a receipt without revision"))
}

/// Reports that are sent one after the other, and their receipts.
#[derive(Debug)]
pub struct Stream {
    /// Takes reports; drop it when all have been sent.
    pub reports: mpsc::Sender<Bytes>,
    /// Revisions at which reports are on disk.
    pub receipts: mpsc::Receiver<Result<i64, Status>>,
}

/// Opens a stream of reports.
pub fn open(channel: Channel) -> Stream {
    let (reports, queue) = mpsc::channel(AHEAD_MAX);
    let (acknowledge, receipts) = mpsc::channel(AHEAD_MAX);
    tokio::spawn(async move {
        if let Err(status) = acknowledged(channel, queue, &acknowledge).await {
            // Whoever counts receipts has left if this is not heard.
            let _ = acknowledge.send(Err(status)).await;
        }
    });
    Stream { reports, receipts }
}

async fn acknowledged(
    channel: Channel,
    queue: mpsc::Receiver<Bytes>,
    receipts: &mpsc::Sender<Result<i64, Status>>,
) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/tonghop.v1.IngestService/SubmitReports");
    let mut answers = client.streaming(Request::new(ReceiverStream::new(queue)), path, Raw).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        let answer = SubmitReportsResponse::decode(answer).map_err(|error| Status::internal(error.to_string()))?;
        let revision = receipt(answer)?.revision.ok_or_else(|| Status::internal("a receipt without revision"))?;
        if receipts.send(Ok(revision)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends reports as fast as they are taken, and waits for all receipts. Answers how long it took, and the newest revision.
///
/// # Errors
/// The first refusal.
pub async fn all(channel: Channel, requests: Vec<Bytes>) -> Result<(Duration, i64), Status> {
    let start = Instant::now();
    let count = requests.len();
    let Stream { reports, mut receipts } = open(channel);
    tokio::spawn(async move {
        for request in requests {
            if reports.send(request).await.is_err() {
                return;
            }
        }
    });
    let (mut acknowledged, mut newest) = (0, 0);
    while let Some(receipt) = receipts.recv().await {
        newest = receipt?.max(newest);
        acknowledged += 1;
    }
    if acknowledged != count {
        return Err(Status::internal(format!("{acknowledged} of {count} reports were acknowledged")));
    }
    Ok((start.elapsed(), newest))
}
